//! A thread with a tokio runtime of its own.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    thread,
};

use smoq_runtime::Runtime;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use crate::{TokioSocket, TokioTimer};

/// A thread with a current-thread tokio runtime, for one shard of a server. It ends when this, its
/// clones and what was spawned are gone.
#[derive(Clone, Debug)]
pub struct Thread {
    handle: Handle,
    alive: Arc<oneshot::Sender<()>>,
}

impl Thread {
    /// Starts one, under a name for the operating system.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, over) = oneshot::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nothing is ever sent: an error says that everybody has gone.
            let _ = runtime.block_on(over);
        })?;
        Ok(Self { handle, alive: Arc::new(alive) })
    }
}

impl Runtime for Thread {
    type Socket = TokioSocket;
    type Timer = TokioTimer;

    fn socket(&self, socket: UdpSocket) -> io::Result<TokioSocket> {
        let _here = self.handle.enter();
        TokioSocket::new(socket)
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::default()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        self.handle.spawn(async move {
            future.await;
            drop(alive);
        });
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        let lookup = async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) };
        self.handle.spawn(lookup).await.map_err(io::Error::other)?
    }
}
