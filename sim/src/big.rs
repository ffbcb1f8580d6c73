//! A large network in one thread: relays in a tree, viewers everywhere, one publisher at a leaf.

use std::time::{Duration, Instant};

use smoq_core::{Carrier, Config, Discover, SessionConfig, Time, Version, wire::Hop};

use crate::{
    Broken, NodeId,
    actors::{Ending, Publisher, Stage, Viewer, live},
    packets::{Air, Net},
    swarm::depth::Depth,
    tap::Tap,
};

/// Relays that dial the same one.
const BRANCHES: usize = 4;

/// Frames a second, as many as make a group, and the bytes of each.
const RATE: u64 = 25;
const SIZE: u64 = 1000;

const NAME: &str = "cam";

/// What a large world took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Big {
    /// Time in the world while it was watched.
    pub time: Duration,
    /// Time outside of it for that.
    pub real: Duration,
    /// The same for the beginning, in which everybody connects.
    pub joining: (Duration, Duration),
    /// Things that happened: datagrams that arrived, and timers.
    pub steps: u64,
    /// Frames that viewers got.
    pub frames: u64,
}

/// Lets `viewers` watch one broadcast for some seconds over a tree of `relays`, each one an endpoint with
/// QUIC and TLS over a good network. Says what that took.
///
/// # Errors
/// If one of them did not get every frame from its first one on, as it was published.
pub fn big(relays: usize, viewers: usize, seconds: u64) -> Result<Big, Broken> {
    let world = Net::new(0, Air::default(), Tap::new(0, None, true, false));
    let mut crowd = Crowd { world, viewers: Vec::new() };
    let begun = (crowd.world.now(), Instant::now());
    let tree: Vec<_> = (0..relays)
        .map(|at| {
            crowd.world.add(Config {
                hop: Hop::new(at as u64 + 1).unwrap_or_default(),
                seed: at as u64,
                ..Config::default()
            })
        })
        .collect();
    for at in 1..relays {
        crowd.connect(tree[at], tree[(at - 1) / BRANCHES], Discover::Everything);
    }
    let node = crowd.world.add(Config::default());
    crowd.connect(node, tree[relays - 1], Discover::OnDemand);
    let mut publisher = Publisher::new(node, NAME.into());
    publisher.publish(&mut crowd.world);
    for at in 0..viewers {
        let seed = (relays + at) as u64;
        let node = crowd.world.add(Config { seed, ..Config::default() });
        crowd.connect(node, tree[at % relays], Discover::OnDemand);
        crowd.viewers.push(Viewer::new(node, true));
        crowd.pass(Duration::from_millis(1))?;
    }
    crowd.pass(Duration::from_secs(1))?;
    for viewer in &mut crowd.viewers {
        viewer.subscribe(&mut crowd.world, 0, NAME, live());
    }
    crowd.pass(Duration::from_secs(1))?;
    let joined = (crowd.world.now(), Instant::now());
    let steps = crowd.world.steps();
    for frame in 1..=seconds * RATE {
        let ending = if frame % RATE == 0 { Ending::Complete } else { Ending::Open };
        publisher.group(&mut crowd.world, 1, SIZE, ending);
        crowd.pass(Duration::from_micros(1_000_000 / RATE))?;
    }
    let (time, real) = (crowd.world.now().since(joined.0), joined.1.elapsed());
    let steps = crowd.world.steps() - steps;
    publisher.finish(&mut crowd.world);
    crowd.pass(Duration::from_secs(1))?;
    let newest = crowd.world.tap().ledger.newest();
    crowd.viewers.iter().try_for_each(|viewer| viewer.has_all(newest))?;
    let frames = crowd.viewers.iter().map(Viewer::frames).sum();
    let joining = (joined.0.since(begun.0), joined.1 - begun.1);
    Ok(Big { time, real, joining, steps, frames })
}

struct Crowd {
    world: Net,
    /// Their nodes follow each other.
    viewers: Vec<Viewer>,
}

impl Crowd {
    fn connect(&mut self, client: NodeId, server: NodeId, discover: Discover) {
        let version = Version::Lite06;
        let ours = SessionConfig { discover, ..SessionConfig::client(version, Carrier::Raw, "") };
        let theirs = SessionConfig::server(version, Carrier::Raw, "");
        self.world.connect([client, server], [ours, theirs]);
    }

    /// Lets time pass, in which viewers read what comes.
    fn pass(&mut self, time: Duration) -> Result<(), Broken> {
        let until: Time = self.world.now().after(time);
        loop {
            let more = self.world.step(until);
            for node in self.world.eventful() {
                self.world.events(node);
                let first = self.viewers.first().map_or(usize::MAX, |viewer| viewer.node.0);
                let viewer = node.0.checked_sub(first).and_then(|at| self.viewers.get_mut(at));
                viewer.map_or(Ok(()), |viewer| viewer.read(&mut self.world))?;
            }
            if !more {
                self.world.pass(until);
                return Ok(());
            }
        }
    }
}
