//! A relay that is to stop gives its clients time to move.

use std::{net::Ipv4Addr, time::Duration};

use smoq_quic::Trust;
use smoq_relay::{Config, Relay};
use smoq_tokio::{ClientOptions, connect};
use tokio::time::timeout;

#[tokio::test]
async fn clients_are_asked_to_go_and_waited_for() {
    let listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    let drain = Duration::from_secs(3600);
    let relay = Relay::bind(Config { listen, drain, ..Config::default() }).unwrap();
    let trust = Trust::Fingerprints(vec![relay.fingerprint()]);
    let mut client = connect(&relay.url(), ClientOptions::new(trust)).await.unwrap();
    // It has not read yet that somebody came.
    let running = tokio::spawn(relay.run(async {}));
    assert_eq!(client.goaway().await.unwrap(), "");
    assert_eq!(client.try_closed(), None, "it may stay for a while");
    assert!(!running.is_finished());
    drop(client);
    let ended = timeout(Duration::from_secs(30), running).await;
    ended.expect("it does not wait when everybody has gone").unwrap().unwrap();
}
