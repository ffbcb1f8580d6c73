//! Two endpoints that reach each other.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use smoq_quic::{
    ClientTls, Endpoint, EndpointConfig, ServerConfig, ServerTls, Target, TransportOptions, Trust,
    fingerprint, parse_fingerprint, rustls::pki_types::PrivateKeyDer,
};

use crate::Error;

/// A server to dial, as `smoq relay` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    /// The SHA-256 of its certificate.
    pub fingerprint: [u8; 32],
}

impl Relay {
    /// The arguments of this program: `moqt://127.0.0.1:4443 FINGERPRINT`, or nothing.
    ///
    /// # Errors
    /// If they are anything else.
    pub fn from_args() -> Result<Option<Self>, Error> {
        let args: Vec<String> = env::args().skip(1).collect();
        match args.as_slice() {
            [] => Ok(None),
            [url, fingerprint] => {
                let address = url.strip_prefix("moqt://").unwrap_or(url).parse()?;
                Ok(Some(Self { address, fingerprint: parse_fingerprint(fingerprint)? }))
            }
            _ => Err("give the two words that `smoq relay` prints, or nothing".into()),
        }
    }
}

/// An endpoint and the socket it speaks through, which blocks.
pub struct Peer {
    /// The machine.
    pub endpoint: Endpoint,
    /// The outside.
    pub socket: UdpSocket,
}

/// Two peers: clients of the relay or, without one, a server and its client.
///
/// # Errors
/// If there is no socket for them.
pub fn peers(relay: Option<Relay>, now: Instant) -> Result<[Peer; 2], Error> {
    if let Some(relay) = relay {
        return Ok([client(relay, now)?, client(relay, now)?]);
    }
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = made.cert.der().clone();
    let fingerprint = fingerprint(&certificate);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = Some(ServerConfig::new(ServerTls::new(vec![certificate], key)?));
    let endpoint = Endpoint::new(EndpointConfig { server, ..config() }, now);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    Ok([Peer { endpoint, socket }, client(Relay { address, fingerprint }, now)?])
}

fn client(relay: Relay, now: Instant) -> Result<Peer, Error> {
    let local = match relay.address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((local, 0))?;
    let mut endpoint = Endpoint::new(config(), now);
    let tls = ClientTls::new(Trust::Fingerprints(vec![relay.fingerprint]))?;
    let target = Target::new(vec![relay.address], relay.address.ip().to_string(), "");
    endpoint.connect(now, target, &tls)?;
    Ok(Peer { endpoint, socket })
}

fn config() -> EndpointConfig {
    let transport = TransportOptions {
        // The standard library cannot ask the system never to fragment.
        mtu_discovery: false,
        // For tests on machines with a lot to do.
        handshake_timeout: Duration::from_secs(30),
        ..TransportOptions::default()
    };
    EndpointConfig { transport, ..EndpointConfig::default() }
}
