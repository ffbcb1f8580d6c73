//! A host: an endpoint with a clock and an address of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use smoq_core::{Config, Event, Time};
use smoq_quic::{Endpoint, EndpointConfig, ServerConfig, TransportOptions};

use crate::{Rng, world::BEGINNING};

/// How often a full socket takes a datagram.
const SQUEEZED: Duration = Duration::from_millis(20);

pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    pub(super) address: SocketAddr,
    pub(super) events: Vec<Event>,
    /// It has died, and hears nothing.
    pub(super) down: bool,
    /// Its socket is full; the next datagram can leave then.
    pub(super) squeezed: Option<Time>,
    /// When it is to be called, as the network has noted it.
    pub(super) timer: Option<Time>,
    /// What its clock shows at the beginning.
    epoch: Instant,
    /// How fast that is, in parts of a million.
    drift: u64,
    tardy: Duration,
}

/// What endpoints are made of.
pub(super) struct Make {
    pub(super) node: Config,
    pub(super) server: Option<ServerConfig>,
    pub(super) transport: TransportOptions,
    /// Of all randomness but that of TLS.
    pub(super) seed: Rng,
}

impl Host {
    pub(super) fn new(make: Make, at: usize, epoch: Instant, drift: u64, tardy: Duration) -> Self {
        let instant = instant(epoch, drift, BEGINNING);
        Self {
            endpoint: endpoint(make, instant),
            address: address(at, 0),
            events: Vec::new(),
            down: false,
            squeezed: None,
            timer: None,
            epoch,
            drift,
            tardy,
        }
    }

    /// Begins anew, with nothing.
    pub(super) fn renew(&mut self, make: Make, now: Time) {
        self.endpoint = endpoint(make, self.instant(now));
        self.events.clear();
        self.squeezed = None;
    }

    /// What its clock shows.
    pub(super) fn instant(&self, now: Time) -> Instant {
        instant(self.epoch, self.drift, now)
    }

    /// When it wants to be called; later than now if it was called just now.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        let timeout = self.endpoint.poll_timeout().map(|at| {
            let shown = at.saturating_duration_since(self.epoch).as_nanos();
            let nanos = (shown * 1_000_000).div_ceil(1_000_000 + u128::from(self.drift));
            let micros = u64::try_from(nanos.div_ceil(1000)).unwrap_or(u64::MAX);
            let time = BEGINNING.after(Duration::from_micros(micros)).after(self.tardy);
            // Who cannot send cannot do what is due either.
            if self.squeezed.is_some() { time.max(now.after(SQUEEZED)) } else { time.max(now) }
        });
        timeout.into_iter().chain(self.squeezed).min()
    }

    /// Whether a datagram can leave now.
    pub(super) fn takes(&mut self, now: Time) -> bool {
        match &mut self.squeezed {
            None => !self.down,
            Some(next) if *next <= now => {
                *next = now.after(SQUEEZED);
                !self.down
            }
            Some(_) => false,
        }
    }
}

/// The address of a host, after it has changed so often.
pub(super) fn address(at: usize, changes: u16) -> SocketAddr {
    let ip = Ipv4Addr::from(0x0a00_0001 + at as u32);
    SocketAddr::new(IpAddr::V4(ip), 4443 + changes)
}

fn instant(epoch: Instant, drift: u64, now: Time) -> Instant {
    let nanos = now.since(BEGINNING).as_nanos() * (1_000_000 + u128::from(drift)) / 1_000_000;
    epoch + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn endpoint(make: Make, now: Instant) -> Endpoint {
    let Make { node, server, transport, mut seed } = make;
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&seed.next().to_le_bytes()));
    let config =
        EndpointConfig { node, server, transport, seed: Some(bytes), ..EndpointConfig::default() };
    Endpoint::new(config, now)
}
