//! A relay of ours, in this process.

use std::net::Ipv4Addr;

use smoq_conformance::Target;
use smoq_core::Carrier;
use smoq_quic::{ClientTls, Trust};
use smoq_relay::{Config, Relay};

/// Starts one, and says how to reach it.
pub(crate) fn relay(carrier: Carrier) -> Target {
    let listen = Some((Ipv4Addr::LOCALHOST, 0).into());
    let relay = Relay::bind(Config { listen, ..Config::default() }).unwrap();
    let (address, fingerprint) = (relay.local_addr(), relay.fingerprint());
    tokio::spawn(relay.run(std::future::pending()));
    let tls = ClientTls::new(Trust::Fingerprints(vec![fingerprint])).unwrap();
    Target { address, host: "localhost".into(), carrier, path: String::new(), tls }
}
