//! The example of this name, on a bottleneck in virtual time: how soon its viewer goes down and up again.

#[path = "../../../runtime-tokio/examples/adaptive/bottleneck.rs"]
pub(crate) mod bottleneck;
#[path = "../../../runtime-tokio/examples/adaptive/policy.rs"]
mod policy;
#[path = "../../../runtime-tokio/examples/adaptive/viewer.rs"]
mod viewer;

use std::{
    cell::RefCell,
    error,
    future::poll_fn,
    pin::pin,
    time::{Duration, Instant},
};

use bottleneck::Bottleneck;
use smoq_runtime::{
    Connection, GroupReader, Runtime, ServerEvent, Subscription, Timer, TrackWriter,
    core::{Path, SubscribeOptions, Version, wire::TrackInfo},
};
use viewer::{Clock, NAMES, watch, write};

use crate::{
    bodies::{Raw, tools::Relay},
    executor::{Virtual, block_on, world},
    network::Narrow,
};

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error + Send + Sync>>;

impl Clock for Virtual {
    fn now(&self) -> Instant {
        self.timer().now()
    }

    async fn sleep_until(&self, at: Instant) {
        let mut timer = self.timer();
        timer.reset(at);
        poll_fn(|cx| timer.poll(cx)).await;
    }
}

/// What was shown from when on, in milliseconds.
type Shown = RefCell<Vec<(u64, &'static str)>>;

/// Runs the viewer on a way whose rate changes: for so many seconds each, so many kbit/s.
fn watched(version: Version, ways: &[(u64, u64)]) -> Vec<(u64, &'static str)> {
    let shown = Shown::default();
    block_on(async {
        let mut relay = Relay::new(Raw(Virtual));
        let publisher = relay.client_of(version).await;
        let Some(ServerEvent::Connected { remote, .. }) = relay.server.next().await else {
            panic!("the publisher is there")
        };
        let path = Path::new("show").unwrap();
        let broadcast = publisher.origin().create(&path).await.unwrap();
        let mut tracks = [
            broadcast.track(NAMES[0], TrackInfo::default()).await.unwrap(),
            broadcast.track(NAMES[1], TrackInfo::default()).await.unwrap(),
        ];
        broadcast.announce().await.unwrap();
        let (from, except) = (relay.server.local_addr().port(), remote.port());
        world(|world| {
            let line = Bottleneck::new(world.now, ways[0].1 * 1000);
            world.ports.narrow = Some(Narrow { from, except, line });
        });
        let viewer = relay.client_of(version).await;
        viewer.origin().announced(&path).await.unwrap().next().await.unwrap();
        let start = Virtual.now();
        let shows = |name| {
            let millis = (Virtual.now() - start).as_millis() as u64;
            shown.borrow_mut().push((millis, name));
        };
        let mut writing = pin!(write(&Virtual, &mut tracks));
        let mut watching = pin!(watch(&Virtual, &viewer, &path, shows));
        let mut playing = pin!(async {
            let mut at = start;
            for (seconds, rate) in ways {
                world(|world| {
                    let way = world.ports.narrow.as_mut().expect("it was made");
                    way.line.set_rate(world.now, rate * 1000);
                });
                at += Duration::from_secs(*seconds);
                Virtual.sleep_until(at).await;
            }
        });
        poll_fn(|cx| {
            for ended in [writing.as_mut().poll(cx), watching.as_mut().poll(cx)] {
                assert!(ended.is_pending(), "{ended:?}");
            }
            playing.as_mut().poll(cx)
        })
        .await;
    });
    shown.into_inner()
}

/// Wide, for so many seconds narrow, and wide again.
fn assert_adapts(version: Version, narrow: u64, stay: u64) {
    const WIDE: u64 = 10_000;
    let shown = watched(version, &[(6, WIDE), (stay, narrow), (12, WIDE)]);
    let words = format!("{version}, {narrow} kbit/s for {stay} s: {shown:?}");
    let after = |seconds: u64, name| {
        let change = shown.iter().find(|(at, shown)| *at > seconds * 1000 && *shown == name);
        change.unwrap_or_else(|| panic!("{words}")).0 - seconds * 1000
    };
    assert_eq!(shown[..2].iter().map(|(_, name)| *name).collect::<Vec<_>>(), NAMES, "{words}");
    assert!(shown[1].0 < 3000, "{words}");
    assert!(after(6, "low") < 2000, "{words}");
    assert!(after(6 + stay, "high") < 10_000, "{words}");
    assert_eq!(shown.len(), 4, "it tries without a change: {words}");
}

#[test]
fn half_of_a_megabit() {
    for stay in [5, 8, 11] {
        assert_adapts(Version::Lite06, 500, stay);
    }
}

#[test]
fn one_megabit() {
    for version in Version::ALL {
        assert_adapts(version, 1000, 7);
    }
}

#[test]
fn one_megabit_for_any_time() {
    for stay in [5, 6, 8, 9, 10, 11] {
        assert_adapts(Version::Lite06, 1000, stay);
    }
}
