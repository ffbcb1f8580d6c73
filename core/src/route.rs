//! Who can serve which broadcast.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    Id, Path,
    node::{Broadcast, Session},
    session::Stream,
    wire::{Cost, Hop, Hops, MAX_HOPS},
};

/// Where a route leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Via {
    /// To the application.
    Local(Id<Broadcast>),
    /// To a peer, who announced it on this stream.
    Peer(Id<Session>, Id<Stream>),
    /// The same over a link to another node of this process.
    Link(Id<Session>, Id<Stream>),
}

impl Via {
    /// The session it leads to, if it is not to the application.
    pub(crate) fn session(self) -> Option<Id<Session>> {
        match self {
            Self::Local(_) => None,
            Self::Peer(session, _) | Self::Link(session, _) => Some(session),
        }
    }
}

/// One way to a broadcast, and to everything below its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    pub(crate) via: Via,
    pub(crate) hops: Hops,
    /// As it was announced.
    announced: Cost,
    /// Of the way to the peer.
    price: u64,
    /// Counts announcements; a later announcement of the same path by the same peer is another
    /// broadcast.
    pub(crate) epoch: u64,
}

impl Route {
    /// The session that leads there; `None` for the application.
    pub(crate) fn session(&self) -> Option<Id<Session>> {
        self.via.session()
    }

    /// What it costs, the way to the peer included.
    pub(crate) fn cost(&self) -> Cost {
        self.announced.plus(self.price)
    }

    /// Better routes compare higher: those that stay, fully known chains, cheaper ones, local ones,
    /// shorter ones, and the newest of what is left. A link leads nowhere else: all nodes of a process
    /// take the same publisher for the best, wherever it is.
    fn rank(&self) -> impl Ord {
        use core::cmp::Reverse;
        let within = usize::from(matches!(self.via, Via::Link(..)));
        let cost = self.cost();
        (
            cost != Cost::DRAIN,
            self.hops.iter().all(Hop::is_known),
            Reverse((cost.warm, cost.cold)),
            self.session().is_none(),
            Reverse(self.hops.len().saturating_sub(within)),
            self.epoch,
        )
    }
}

/// Who looks for a route: nobody is shown what came from itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Viewer {
    /// The session that asks; `None` for the application.
    pub(crate) session: Option<Id<Session>>,
    /// The identity behind it, and one more that it wants left out.
    pub(crate) hops: [Hop; 2],
    /// It asks over a link: what came over one is no news on another.
    pub(crate) link: bool,
}

impl Viewer {
    /// The application of this node.
    pub(crate) const LOCAL: Self = Self { session: None, hops: [Hop::UNKNOWN; 2], link: false };

    pub(crate) fn sees(&self, route: &Route) -> bool {
        let own = self.session.is_some() && route.session() == self.session;
        let linked = self.link && matches!(route.via, Via::Link(..));
        let passed = self.hops.iter().any(|hop| route.hops.contains(*hop));
        !own && !linked && !passed && self.has_room(route)
    }

    /// A peer's list gets one hop longer.
    fn has_room(&self, route: &Route) -> bool {
        self.session.is_none() || route.hops.len() < MAX_HOPS
    }
}

/// All routes of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    by_path: BTreeMap<Path, Vec<Route>>,
    epoch: u64,
    len: usize,
}

impl Routes {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a route as a new announcement. It costs what was announced and the price of the way to the peer.
    pub(crate) fn add(&mut self, path: Path, via: Via, hops: Hops, announced: Cost, price: u64) {
        self.remove(&path, via);
        self.epoch += 1;
        self.len += 1;
        let route = Route { via, hops, announced, price, epoch: self.epoch };
        self.by_path.entry(path).or_default().push(route);
    }

    /// Changes a route without making it another broadcast. Says whether it was there.
    pub(crate) fn update(&mut self, path: &Path, via: Via, hops: Hops, announced: Cost) -> bool {
        let mut routes = self.by_path.get_mut(path).into_iter().flatten();
        let Some(route) = routes.find(|route| route.via == via) else { return false };
        route.hops = hops;
        route.announced = announced;
        true
    }

    /// The way to a peer has another price now. Says of which broadcasts that changes the cost.
    pub(crate) fn reprice(&mut self, session: Id<Session>, price: u64) -> Vec<Path> {
        let mut paths = Vec::new();
        for (path, routes) in &mut self.by_path {
            let routes = routes.iter_mut().filter(|route| route.session() == Some(session));
            for route in routes.filter(|route| route.price != price) {
                route.price = price;
                paths.push(path.clone());
            }
        }
        paths
    }

    /// Takes a route away. Says whether it was there.
    pub(crate) fn remove(&mut self, path: &Path, via: Via) -> bool {
        let Some(routes) = self.by_path.get_mut(path) else { return false };
        let before = routes.len();
        routes.retain(|route| route.via != via);
        let removed = before - routes.len();
        if routes.is_empty() {
            self.by_path.remove(path);
        }
        self.len -= removed;
        removed > 0
    }

    /// The best route that is announced for exactly this path.
    pub(crate) fn best(&self, path: &Path, viewer: Viewer) -> Option<&Route> {
        let routes = self.by_path.get(path)?.iter();
        routes.filter(|route| viewer.sees(route)).max_by(|a, b| a.rank().cmp(&b.rank()))
    }

    /// The best route for a path: announced for it, or else for the closest path above it.
    pub(crate) fn covering(&self, path: &Path, viewer: Viewer) -> Option<&Route> {
        let mut path = path.clone();
        loop {
            if let Some(route) = self.best(&path, viewer) {
                return Some(route);
            }
            path = path.parent()?;
        }
    }

    /// The best usable route for a path, if possible a preferred one: of those announced for it, or else for the
    /// closest path above it that has any.
    pub(crate) fn other(
        &self,
        path: &Path,
        usable: impl Fn(&Route) -> bool,
        prefers: impl Fn(&Route) -> bool,
    ) -> Option<&Route> {
        let mut path = path.clone();
        loop {
            let routes = self.by_path.get(&path).into_iter().flatten();
            let best = routes
                .filter(|route| usable(route))
                .max_by(|a, b| (prefers(a), a.rank()).cmp(&(prefers(b), b.rank())));
            if best.is_some() {
                return best;
            }
            path = path.parent()?;
        }
    }

    /// Whether this announcement is still there.
    pub(crate) fn has_epoch(&self, path: &Path, epoch: u64) -> bool {
        self.by_path.get(path).is_some_and(|routes| routes.iter().any(|route| route.epoch == epoch))
    }

    /// The paths at and below a prefix that somebody announces, in order.
    pub(crate) fn below<'a>(&'a self, prefix: &'a Path) -> impl Iterator<Item = &'a Path> {
        // Paths sort by segments: what is below a prefix follows it.
        self.by_path
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    fn hops(ids: &[u64]) -> Hops {
        let mut hops = Hops::new();
        ids.iter().for_each(|id| hops.push(Hop::new(*id).unwrap()).unwrap());
        hops
    }

    fn via(session: u32) -> Via {
        Via::Peer(Id::numbered(session), Id::numbered(0))
    }

    fn viewer(session: Option<u32>, hops: [u64; 2]) -> Viewer {
        let hops = hops.map(|hop| Hop::new(hop).unwrap());
        Viewer { session: session.map(Id::numbered), hops, link: false }
    }

    #[test]
    fn the_best_route_wins() {
        let mut routes = Routes::default();
        let cam = path("cam");
        routes.add(cam.clone(), via(0), hops(&[0, 5]), Cost::ZERO, 0);
        routes.add(cam.clone(), via(1), hops(&[1, 2, 3]), Cost::UNKNOWN, 0);
        assert_eq!(routes.best(&cam, Viewer::LOCAL).unwrap().via, via(1));
        routes.add(cam.clone(), via(2), hops(&[1, 2]), Cost::UNKNOWN, 0);
        assert_eq!(routes.best(&cam, Viewer::LOCAL).unwrap().via, via(2));
        routes.add(cam.clone(), via(3), hops(&[1, 2, 3, 4]), Cost::ZERO, 0);
        assert_eq!(routes.best(&cam, Viewer::LOCAL).unwrap().via, via(3));
        assert!(routes.remove(&cam, via(3)) && !routes.remove(&cam, via(3)));
        assert_eq!((routes.best(&cam, Viewer::LOCAL).unwrap().via, routes.len()), (via(2), 3));
    }

    #[test]
    fn nobody_is_shown_its_own() {
        let mut routes = Routes::default();
        let cam = path("cam");
        routes.add(cam.clone(), via(0), hops(&[1, 2]), Cost::ZERO, 0);
        assert!(routes.best(&cam, viewer(Some(0), [0, 0])).is_none());
        assert!(routes.best(&cam, viewer(Some(1), [0, 0])).is_some());
        assert!(routes.best(&cam, viewer(Some(1), [1, 0])).is_none());
        assert!(routes.best(&cam, viewer(Some(1), [0, 2])).is_none());
    }

    #[test]
    fn what_came_over_a_link_goes_over_no_other() {
        let mut routes = Routes::default();
        let cam = path("cam");
        let link = Via::Link(Id::numbered(0), Id::numbered(0));
        routes.add(cam.clone(), link, hops(&[1, 2]), Cost::ZERO, 0);
        let over_a_link = Viewer { link: true, ..viewer(Some(1), [0, 0]) };
        assert!(routes.best(&cam, viewer(Some(1), [0, 0])).is_some());
        assert!(routes.best(&cam, over_a_link).is_none());
        routes.add(cam.clone(), via(2), hops(&[3]), Cost::UNKNOWN, 0);
        assert_eq!(routes.best(&cam, over_a_link).unwrap().via, via(2));
    }

    #[test]
    fn an_announcement_covers_what_is_below() {
        let mut routes = Routes::default();
        routes.add(path("a/b"), via(0), Hops::new(), Cost::ZERO, 0);
        routes.add(path("a-z"), via(0), Hops::new(), Cost::ZERO, 0);
        let local = Viewer::LOCAL;
        assert!(routes.covering(&path("a/b/c/d"), local).is_some());
        assert!(routes.covering(&path("a"), local).is_none());
        assert_eq!(routes.below(&path("a")).collect::<Vec<_>>(), [&path("a/b")]);
        assert_eq!(routes.below(&Path::root()).count(), 2);
    }
}
