//! Which part of a program serves which track.

use std::collections::BTreeMap;

use smoq_core::Path;

/// Which broadcasts a route is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Reach {
    /// That of the path itself.
    Exact,
    /// That of the path and all below it.
    Prefix,
}

/// What a value of a [`Mux`] is for: broadcasts by their path, and their tracks by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    path: Path,
    reach: Reach,
    track: Option<String>,
}

impl Route {
    /// Every track of one broadcast.
    pub fn exact(path: Path) -> Self {
        Self { path, reach: Reach::Exact, track: None }
    }

    /// Every track of the broadcasts at this path and below it.
    pub fn prefix(path: Path) -> Self {
        Self { path, reach: Reach::Prefix, track: None }
    }

    /// Only the tracks of this name.
    #[must_use]
    pub fn track(mut self, name: impl Into<String>) -> Self {
        self.track = Some(name.into());
        self
    }
}

/// A table from the names of tracks to whatever serves them: a channel, a function, a number. It does no work
/// itself; ask it about each [`TrackRequest`](crate::TrackRequest).
///
/// The longest path counts, and at the same path a route for it alone comes before one for what is below it
/// too. Among the routes of that path one for the track by its name comes before one for all tracks. If none of
/// them is for the track there is no value, whatever shorter paths have: a broadcast is served by one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mux<T> {
    routes: BTreeMap<(Path, Reach), Tracks<T>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Tracks<T> {
    all: Option<T>,
    named: BTreeMap<String, T>,
}

impl<T> Default for Mux<T> {
    fn default() -> Self {
        Self { routes: BTreeMap::new() }
    }
}

impl<T> Mux<T> {
    /// A table without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. Returns the value that it had before.
    pub fn insert(&mut self, route: Route, value: T) -> Option<T> {
        let Route { path, reach, track } = route;
        let empty = Tracks { all: None, named: BTreeMap::new() };
        let tracks = self.routes.entry((path, reach)).or_insert(empty);
        match track {
            Some(name) => tracks.named.insert(name, value),
            None => tracks.all.replace(value),
        }
    }

    /// Takes a route away. Returns its value.
    pub fn remove(&mut self, route: Route) -> Option<T> {
        let Route { path, reach, track } = route;
        let key = (path, reach);
        let tracks = self.routes.get_mut(&key)?;
        let value = match track {
            Some(name) => tracks.named.remove(&name),
            None => tracks.all.take(),
        };
        if tracks.all.is_none() && tracks.named.is_empty() {
            self.routes.remove(&key);
        }
        value
    }

    /// Who serves this track.
    pub fn find(&self, path: &Path, track: &str) -> Option<&T> {
        let tracks = self.tracks_of(path)?;
        tracks.named.get(track).or(tracks.all.as_ref())
    }

    fn tracks_of(&self, path: &Path) -> Option<&Tracks<T>> {
        let exact = self.routes.get(&(path.clone(), Reach::Exact));
        let mut above = Some(path.clone());
        let mut prefixes = std::iter::from_fn(|| {
            let path = above.take()?;
            above = path.parent();
            Some((path, Reach::Prefix))
        });
        exact.or_else(|| prefixes.find_map(|key| self.routes.get(&key)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        Path::new(text).unwrap()
    }

    #[test]
    fn the_longest_path_counts_and_then_the_name() {
        let mut mux = Mux::new();
        mux.insert(Route::prefix(path("")), "else");
        mux.insert(Route::prefix(path("rooms")), "room");
        mux.insert(Route::prefix(path("rooms")).track("chat"), "chat");
        mux.insert(Route::exact(path("rooms")), "lobby");
        mux.insert(Route::exact(path("rooms/1")).track("video"), "camera");
        let found = [
            ("rooms/7", "chat", Some("chat")),
            ("rooms/7/low", "video", Some("room")),
            ("rooms", "chat", Some("lobby")),
            ("rooms/1", "video", Some("camera")),
            // A broadcast that has an own route is served by nobody else.
            ("rooms/1", "chat", None),
            ("rooms/1/low", "video", Some("room")),
            // Paths are not text: this one is not below "rooms".
            ("roomsy", "chat", Some("else")),
        ];
        for (at, track, value) in found {
            assert_eq!(mux.find(&path(at), track).copied(), value, "{at} {track}");
        }
    }

    #[test]
    fn a_route_has_one_value_and_leaves_nothing_behind() {
        let mut mux = Mux::new();
        let route = || Route::exact(path("a")).track("t");
        assert_eq!(mux.insert(route(), 1), None);
        assert_eq!(mux.insert(route(), 2), Some(1));
        assert_eq!(mux.remove(Route::exact(path("a"))), None);
        assert_eq!(mux.remove(Route::prefix(path("a")).track("t")), None);
        assert_eq!(mux.remove(route()), Some(2));
        assert_eq!(mux, Mux::new());
    }

    fn names() -> impl Strategy<Value = (Path, String)> {
        ("([ab](/[ab]){0,2})?", "[tu]").prop_map(|(at, track)| (path(&at), track))
    }

    fn routes() -> impl Strategy<Value = Route> {
        (names(), any::<bool>(), any::<bool>()).prop_map(|((path, track), exact, all)| {
            let route = if exact { Route::exact(path) } else { Route::prefix(path) };
            if all { route } else { route.track(track) }
        })
    }

    proptest! {
        /// Against a list of all routes, each looked at.
        #[test]
        fn it_finds_what_a_search_finds(
            changes in prop::collection::vec((routes(), any::<bool>()), 0..20),
            (at, track) in names(),
        ) {
            let (mut mux, mut list) = (Mux::new(), Vec::<(Route, usize)>::new());
            for (number, (route, insert)) in changes.into_iter().enumerate() {
                let known = list.iter().position(|(other, _)| *other == route);
                let before = known.map(|known| list.remove(known).1);
                if insert {
                    list.push((route.clone(), number));
                    prop_assert_eq!(mux.insert(route, number), before);
                } else {
                    prop_assert_eq!(mux.remove(route), before);
                }
            }
            let covers = |route: &&(Route, usize)| match route.0.reach {
                Reach::Exact => at == route.0.path,
                Reach::Prefix => at.starts_with(&route.0.path),
            };
            let place = |route: &(Route, usize)| {
                (route.0.path.as_str().len(), route.0.reach == Reach::Exact)
            };
            let best = list.iter().filter(covers).map(place).max();
            let there = list.iter().filter(covers).filter(|route| Some(place(route)) == best);
            let fits = there.filter(|(route, _)| route.track.as_ref().is_none_or(|t| *t == track));
            let expected = fits.max_by_key(|(route, _)| route.track.is_some());
            prop_assert_eq!(mux.find(&at, &track), expected.map(|(_, value)| value));
        }
    }
}
