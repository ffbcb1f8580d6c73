//! smoq on async-io: smol, and async-std behind a feature.
//!
//! Everything else is in [`smoq_runtime`], whose handles are exported here. [`Smol`] is for smol and every
//! program that may have a thread of smol beside its own executor; [`connect`] and [`listen`] are on it.
#![cfg_attr(
    feature = "async-std",
    doc = "[`AsyncStd`] is for async-std: `runtime::connect(&AsyncStd, ..)` and `Server::bind(&AsyncStd, ..)`."
)]
#![forbid(unsafe_code)]

mod socket;
mod timer;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

pub use smoq_runtime::{self as runtime, exports::*};
pub use socket::AsyncSocket;
pub use timer::AsyncTimer;

/// An executor on async-io is what spawns: socket, timer and names are the same for all.
macro_rules! executor {
    ($(#[$doc:meta])* $name:ident, $spawn:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Runtime for $name {
            type Socket = AsyncSocket;
            type Timer = AsyncTimer;

            fn socket(&self, socket: std::net::UdpSocket) -> io::Result<AsyncSocket> {
                AsyncSocket::new(socket)
            }

            fn timer(&self) -> AsyncTimer {
                AsyncTimer::default()
            }

            fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
                $spawn(future);
            }

            fn resolve(
                &self,
                host: &str,
                port: u16,
            ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
                resolve(host.to_owned(), port)
            }
        }
    };
}

executor! {
    /// The global executor of smol. Its threads start by themselves; `SMOL_THREADS` says how many.
    Smol, |future| smol::spawn(future).detach()
}

#[cfg(feature = "async-std")]
executor! {
    /// The global executor of async-std.
    AsyncStd, |future| async_std::task::spawn(future)
}

/// On a thread that may block: the system has no other way.
async fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    blocking::unblock(move || Ok((host, port).to_socket_addrs()?.collect())).await
}

/// Connects to a server. See [`smoq_runtime::connect`].
pub async fn connect(url: &Url, options: ClientOptions) -> Result<Connection, ConnectError> {
    runtime::connect(&Smol, url, options).await
}

/// Opens a server's socket and begins to serve. See [`Server::bind`].
pub fn listen(options: ServerOptions) -> Result<Server, ListenError> {
    Server::bind(&Smol, options)
}
