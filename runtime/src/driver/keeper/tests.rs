use std::{net::Ipv4Addr, task::Waker, time::Duration};

use smoq_core::{Carrier, ClosedBy, Path, SessionConfig, SubscribeOptions};
use smoq_quic::{EndpointConfig, Trust};

use super::*;
use crate::{
    client::ConnectionState,
    driver::Role,
    slot::{Near, slot},
    status::Statuses,
};

const SECOND: Duration = Duration::from_secs(1);
const HOME: u16 = 1;
const ELSEWHERE: &str = "moqt://127.0.0.1:2";
const FORBIDDEN: (ClosedBy, SessionCode) = (ClosedBy::Peer, SessionCode::UNAUTHORIZED);
const PASSING: (ClosedBy, SessionCode) = (ClosedBy::Transport, SessionCode::INTERNAL);

/// A keeper, whose connections are made by hand.
struct World {
    keeper: Keeper,
    endpoint: Endpoint,
    now: Instant,
    statuses: Statuses,
}

impl World {
    /// The first session has a subscription, so it does not end for want of work.
    fn new(change: impl FnOnce(&mut Reconnect)) -> (Self, Id<Session>) {
        let mut options = Reconnect::default();
        change(&mut options);
        let dial = Dial {
            home: format!("moqt://127.0.0.1:{HOME}").parse().unwrap(),
            resolve: Box::new(|url| {
                let address = (Ipv4Addr::LOCALHOST, url.port()).into();
                Box::pin(async move { Ok(vec![address]) })
            }),
            tls: ClientTls::new(Trust::Insecure).unwrap(),
            versions: Version::ALL.to_vec(),
            discover: Discover::OnDemand,
            cost: None,
            grant: Grant::all(Path::root()),
            local: (Ipv4Addr::LOCALHOST, 3).into(),
        };
        let (near, far): (Near<StatusQueue>, _) = slot(StatusQueue::default());
        let now = Instant::now();
        let mut world = Self {
            keeper: Keeper::new(dial, options, 1, far),
            endpoint: Endpoint::new(EndpointConfig::default(), now),
            now,
            statuses: Statuses::new(near),
        };
        let first = world.connected();
        let time = world.endpoint.time(now);
        let node = world.endpoint.node_mut();
        let path = Path::new("a").unwrap();
        node.subscribe(time, &path, "t", SubscribeOptions::default()).unwrap();
        assert!(!node.is_quiet(first));
        (world, first)
    }

    fn connected(&mut self) -> Id<Session> {
        let time = self.endpoint.time(self.now);
        let (version, carrier) = (Version::ALL[0], Carrier::Raw);
        let config = SessionConfig::client(version, carrier, "");
        let session = self.endpoint.node_mut().add_session(time, config);
        self.hear(connected(session, version));
        let grant = Grant::all(Path::root());
        self.hear(Event::Core(Core::Ready { session, version, grant }));
        session
    }

    fn hear(&mut self, event: Event) -> Option<Change> {
        self.keeper.hear(self.now, event).0
    }

    fn goaway(&mut self, session: Id<Session>, uri: &str) {
        let change = self.hear(Event::Core(Core::Goaway { session, uri: uri.into() }));
        assert!(matches!(change, Some(Change::Leaving)), "{change:?}");
    }

    fn ends(
        &mut self,
        session: Id<Session>,
        (by, code): (ClosedBy, SessionCode),
    ) -> Option<Change> {
        let closed = Closed { by, code, reason: String::new() };
        let time = self.endpoint.time(self.now);
        self.endpoint.node_mut().handle_closed(time, session, closed.clone());
        while self.endpoint.poll_event().is_some() {}
        self.hear(Event::Core(Core::Closed { session, closed }))
    }

    /// Does what is due, and says what has changed by it.
    fn polled(&mut self) -> Vec<Change> {
        let cx = &mut Context::from_waker(Waker::noop());
        std::iter::from_fn(|| self.keeper.poll(cx, self.now, &mut self.endpoint)).collect()
    }

    /// Who was closed since the last call, which is told to the keeper.
    fn left(&mut self) -> Vec<Id<Session>> {
        let mut left = Vec::new();
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::Core(Core::Closed { session, .. }) = &event {
                left.push(*session);
            }
            self.hear(event);
        }
        left
    }
}

fn connected(session: Id<Session>, version: Version) -> Event {
    Event::Connected {
        connect: None,
        session,
        remote: (Ipv4Addr::LOCALHOST, 4).into(),
        version,
        carrier: Carrier::Raw,
        server_name: None,
        origin: None,
    }
}

#[test]
fn only_one_session_is_left_at_a_time() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, "");
    let second = world.connected();
    assert!(world.polled().is_empty());
    assert!(world.left().is_empty(), "something runs on the first");
    world.goaway(second, "");
    world.connected();
    world.polled();
    assert!(world.left().contains(&first));
}

#[test]
fn a_session_that_is_left_ends_though_the_next_one_was_lost() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, "");
    let second = world.connected();
    assert!(matches!(world.ends(second, PASSING), Some(Change::Away)));
    world.polled();
    world.connected();
    world.polled();
    assert!(world.left().is_empty());
    world.now += 10 * SECOND;
    world.polled();
    assert_eq!(world.left(), [first]);
}

#[test]
fn while_a_server_goes_nothing_is_settled() {
    let (mut world, first) = World::new(|_| {});
    world.now += 25 * SECOND;
    world.goaway(first, "");
    world.now += 10 * SECOND;
    assert!(world.polled().is_empty());
}

#[test]
fn the_end_cancels_the_next_connection() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, "");
    world.now += SECOND;
    assert!(world.polled().is_empty());
    assert!(matches!(world.keeper.next, Next::Racing(_)));
    let Some(Change::Over(_)) = world.ends(first, FORBIDDEN) else { panic!("it is refused") };
    world.keeper.over();
    assert!(world.polled().is_empty());
    assert_eq!(world.keeper.deadline(), None);
    world.now += 60 * SECOND;
    world.endpoint.handle_timeout(world.now);
    assert!(world.endpoint.poll_event().is_none(), "nobody dials");
}

#[test]
fn the_end_is_one_of_all_sessions() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, "");
    let second = world.connected();
    let Some(Change::Over(_)) = world.ends(second, FORBIDDEN) else { panic!("it is refused") };
    world.keeper.over();
    let third = world.connected();
    world.polled();
    let left = world.left();
    assert!(left.contains(&first) && left.contains(&third), "{left:?}");
    assert!(world.ends(third, PASSING).is_none());
    assert!(world.polled().is_empty());
    let cx = &mut Context::from_waker(Waker::noop());
    while let Poll::Ready(status) = world.statuses.poll_next(cx) {
        if status.is_none() {
            return;
        }
    }
    panic!("statuses end with the connection");
}

#[test]
fn when_the_old_session_is_over_all_have_moved() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, "");
    world.connected();
    assert!(matches!(world.ends(first, PASSING), Some(Change::Back)));
    let changes = world.polled();
    assert!(matches!(changes[..], [Change::Moved]), "{changes:?}");
}

#[test]
fn a_place_that_refuses_says_nothing_of_the_first() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, ELSEWHERE);
    assert_eq!(world.keeper.place().port(), 2);
    let second = world.connected();
    assert!(matches!(world.ends(second, FORBIDDEN), Some(Change::Away)));
    assert_eq!(world.keeper.place().port(), HOME);
    world.now += 20 * SECOND;
    world.polled();
    assert!(matches!(world.keeper.next, Next::Racing(_)));
    assert!(world.left().is_empty(), "what runs on the first is served until there is another");
    let third = world.connected();
    world.now += 20 * SECOND;
    world.polled();
    assert_eq!(world.left(), [first]);
    assert!(matches!(world.ends(third, FORBIDDEN), Some(Change::Over(_))));
}

#[test]
fn who_never_gives_up_goes_home_too() {
    let (mut world, first) = World::new(|_| {});
    world.keeper.forever = true;
    world.goaway(first, ELSEWHERE);
    let second = world.connected();
    assert!(matches!(world.ends(second, FORBIDDEN), Some(Change::Away)));
    assert_eq!(world.keeper.place().port(), HOME);
    world.now += 20 * SECOND;
    world.polled();
    let third = world.connected();
    assert!(matches!(world.ends(third, FORBIDDEN), Some(Change::Away)), "it tries for ever");
}

#[test]
fn who_shuts_down_does_not_connect_again() {
    let (mut world, first) = World::new(|_| {});
    world.keeper.stop();
    let change = world.ends(first, (ClosedBy::Local, SessionCode::TIMEOUT));
    assert!(matches!(change, Some(Change::Over(_))), "{change:?}");
}

#[test]
fn no_time_is_too_long() {
    let (mut world, first) =
        World::new(|options| (options.rejoin, options.overlap) = (Duration::MAX, Duration::MAX));
    world.goaway(first, "");
    world.connected();
    assert!(world.polled().is_empty());
    assert_eq!(world.keeper.deadline(), None);
}

#[test]
fn the_place_decides_whether_its_path_goes_into_names() {
    let (mut world, first) = World::new(|_| {});
    world.goaway(first, &format!("{ELSEWHERE}/room"));
    let (near, far) = slot(ConnectionState::default());
    let home = world.keeper.dial.home.clone();
    let mut role = Role::Client { far, home, keeper: Some(Box::new(world.keeper)) };
    for (version, in_names) in [(Version::Lite04, true), (Version::Lite06, false)] {
        let (_, event) = role.hear(world.now, connected(first, version));
        role.event(event.unwrap());
        let talk = near.with(|state, _| state.talk).unwrap();
        assert_eq!((talk.version, talk.path_in_names), (version, in_names));
    }
}
