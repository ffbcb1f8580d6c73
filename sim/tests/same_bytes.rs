//! The scripted session, in the simulator: its streams are those of every driver.

use smoq_core::{Carrier, Discover, SessionConfig, Version, wire::SessionCode};
use smoq_sim::{LinkConfig, Scripted, World};
use smoq_tape::streams;

/// What `runtime/tests/suite` compares with.
const GOLDEN: &str = include_str!("../../runtime/tests/suite/session.txt");

fn session(version: Version, seed: u64) -> String {
    let mut world = World::recorded(seed);
    let now = world.now();
    let [client, server] = [false, true].map(|server| world.node(Scripted::config(server)));
    let [mut one, mut other] = [(client, false), (server, true)]
        .map(|(node, server)| Scripted::new(&mut world[node], now, server));
    let configs = [
        SessionConfig::client(version, Carrier::Raw, ""),
        SessionConfig {
            discover: Discover::OnDemand,
            ..SessionConfig::server(version, Carrier::Raw, "")
        },
    ];
    let connection = world.connect_with(client, server, configs, LinkConfig::default());
    let mut turns = 0;
    loop {
        let now = world.now();
        let done = [one.poll(&mut world[client], now), other.poll(&mut world[server], now)];
        if done == [true; 2] {
            break;
        }
        turns += 1;
        assert!(turns < 10_000, "{version} hangs");
        world.run_for(std::time::Duration::from_micros(500));
    }
    let now = world.now();
    world[client].close(now, connection.client, SessionCode::NO_ERROR, "").unwrap();
    world.run_until_idle();
    streams(world[server].recorded().to_vec().into()).unwrap()
}

#[test]
fn the_streams_of_a_session_depend_on_nothing_but_the_version() {
    for seed in 0..5 {
        let sections = Version::ALL.map(|version| format!("{version}\n{}", session(version, seed)));
        let found = sections.concat();
        assert_eq!(found, GOLDEN, "seed {seed}; if that is right:\n{found}");
    }
}
