//! Other servers that a server dials.

use std::{net::SocketAddr, time::Instant};

use smoq_core::{Discover, Grant, Path, Version};
use smoq_quic::ClientTls;

use crate::{
    client::resolver,
    driver::{Dial, Keeper},
    random::random,
    reconnect::Reconnect,
    runtime::Runtime,
    slot::slot,
    status::{StatusQueue, Statuses},
    url::Url,
};

/// Another server, to which a server connects by itself, so that the two are a cluster: each tells the other
/// what it has, and what is published on one can be subscribed to on both. Which of them dials makes no
/// difference. Connected to several, a server takes the cheapest way to each broadcast, which is the shortest one if nobody names a price, and another one
/// when that is lost; nothing goes in circles.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it is. What this server has is seen there below the path of the URL, and what is there below that
    /// path is seen here.
    pub url: Url,
    /// Whom to believe that it is the one.
    pub tls: ClientTls,
    /// What to offer, most wanted first. Up to moq-lite-03 nobody says who he is, so what is gone may go
    /// round a ring for a while; offer that alone only where there is none.
    pub versions: Vec<Version>,
    /// The price of this connection, in both directions, from 0 to 2^62-1 in units that all servers of the
    /// cluster share; `None` for 1, the price of any other. Of the ways to a broadcast the one with the lowest
    /// sum is taken. Told to the other server from moq-lite-05 on; sums are passed on from 06 on.
    pub cost: Option<u64>,
    /// How to go on when the connection is lost, or was refused, whatever the reason; the first attempt is
    /// made at once. [`give_up`](Reconnect::give_up) and [`rejoin`](Reconnect::rejoin) are not looked at: it
    /// is tried for ever, and [`Config::rejoin`](smoq_core::Config::rejoin) says how long subscriptions wait.
    pub reconnect: Reconnect,
}

impl Upstream {
    /// Every version, and the defaults of [`Reconnect`].
    pub fn new(url: Url, tls: ClientTls) -> Self {
        let versions = Version::ALL.to_vec();
        Self { url, tls, versions, cost: None, reconnect: Reconnect::default() }
    }

    /// What keeps the connection up, from a socket bound to `local`, and what tells of it.
    pub(crate) fn keep<R: Runtime>(
        self,
        runtime: &R,
        local: SocketAddr,
        now: Instant,
    ) -> (Keeper, (Url, Statuses)) {
        let Self { url, tls, versions, cost, reconnect } = self;
        let name = url.clone().with_path(url.path_only());
        let (discover, grant) = (Discover::Everything, Grant::all(Path::root()));
        let resolve = resolver(runtime.clone());
        let dial = Dial { home: url, resolve, tls, versions, discover, grant, cost, local };
        let (near, far) = slot(StatusQueue::default());
        let keeper = Keeper::forever(dial, reconnect, random(), far, now);
        (keeper, (name, Statuses::new(near)))
    }
}
