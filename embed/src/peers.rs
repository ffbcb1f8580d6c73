//! Two endpoints that reach each other.

use std::{
    env, fmt,
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

/// The two words.
impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "moqt://{} ", self.address)?;
        self.fingerprint.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
    match relay {
        Some(relay) => Ok([client(relay, config(), now)?, client(relay, config(), now)?]),
        None => pair(now, |_| {}),
    }
}

/// How connections are accepted by a server at 127.0.0.1 that is open to everybody, and the SHA-256 of its
/// certificate, which is a new one.
///
/// # Errors
/// If there is no randomness for a key.
pub fn server() -> Result<(ServerConfig, [u8; 32]), Error> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = made.cert.der().clone();
    let fingerprint = fingerprint(&certificate);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((ServerConfig::new(ServerTls::new(vec![certificate], key)?), fingerprint))
}

/// A server and its client. `change` may have each of them made in another way.
///
/// # Errors
/// If there is no socket for them.
pub fn pair(now: Instant, change: impl Fn(&mut EndpointConfig)) -> Result<[Peer; 2], Error> {
    let (accept, fingerprint) = server()?;
    let server = Some(accept);
    let mut configs = [EndpointConfig { server, ..config() }, config()];
    configs.iter_mut().for_each(change);
    let [accepts, dials] = configs;
    let endpoint = Endpoint::new(accepts, now);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    Ok([Peer { endpoint, socket }, client(Relay { address, fingerprint }, dials, now)?])
}

fn client(relay: Relay, config: EndpointConfig, now: Instant) -> Result<Peer, Error> {
    let local = match relay.address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((local, 0))?;
    let mut endpoint = Endpoint::new(config, now);
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
