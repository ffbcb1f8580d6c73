//! smoq on tokio: socket, timer and spawn.
//!
//! Everything else is in [`smoq_runtime`], whose handles are exported here. Current-thread and
//! multi-thread runtimes both work; everything has to be called within one, except for what runs on a
//! [`Thread`].
#![forbid(unsafe_code)]

mod socket;
mod thread;
mod timer;

use std::{io, net::SocketAddr};

pub use smoq_runtime::exports::*;
pub use socket::TokioSocket;
pub use thread::Thread;
pub use timer::TokioTimer;

/// The tokio runtime that the caller is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    type Socket = TokioSocket;
    type Timer = TokioTimer;

    fn socket(&self, socket: std::net::UdpSocket) -> io::Result<TokioSocket> {
        TokioSocket::new(socket)
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::default()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(future);
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Connects to a server. See [`smoq_runtime::connect`].
pub async fn connect(url: &Url, options: ClientOptions) -> Result<Connection, ConnectError> {
    smoq_runtime::connect(&Tokio, url, options).await
}

/// Opens a server's socket and begins to serve. See [`Server::bind`].
pub fn listen(options: ServerOptions) -> Result<Server, ListenError> {
    Server::bind(&Tokio, options)
}
