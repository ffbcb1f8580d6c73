//! What runs the sockets, the timers and the protocol.

use std::{
    io,
    num::{NonZero, NonZeroU8},
    thread,
};

#[cfg(feature = "smol")]
use smoq_smol::Smol;
use smoq_tokio::{
    ClientOptions, ConnectError, Connection, ListenError, Server, ServerOptions, Thread, Url,
};

/// What runs the driver of an endpoint, beside which a program may be on another executor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Executor {
    /// The tokio runtime that the caller is in.
    #[default]
    Tokio,
    /// smol, on threads of its own.
    #[cfg(feature = "smol")]
    Smol,
}

impl Executor {
    /// Every one that was built.
    pub const ALL: &[Self] = &[
        Self::Tokio,
        #[cfg(feature = "smol")]
        Self::Smol,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            #[cfg(feature = "smol")]
            Self::Smol => "smol",
        }
    }

    /// Connects to a server.
    pub async fn connect(
        self,
        url: &Url,
        options: ClientOptions,
    ) -> Result<Connection, ConnectError> {
        match self {
            Self::Tokio => smoq_tokio::connect(url, options).await,
            #[cfg(feature = "smol")]
            Self::Smol => smoq_smol::connect(url, options).await,
        }
    }

    /// Opens a server's sockets and begins to serve, on threads of its own if there is more than one
    /// shard. Those of smol are shared by everything on it: `SMOL_THREADS` says how many there are.
    pub fn serve(self, options: ServerOptions, shards: NonZeroU8) -> Result<Server, ListenError> {
        match self {
            Self::Tokio if shards.get() == 1 => smoq_tokio::listen(options),
            Self::Tokio => {
                let start = |index| Thread::start(&format!("smoq shard {index}"));
                let threads: io::Result<Vec<_>> = (0..shards.get()).map(start).collect();
                let address = options.listen;
                let threads = threads.map_err(|error| ListenError { address, error })?;
                Server::bind_shards(&threads, options)
            }
            #[cfg(feature = "smol")]
            Self::Smol => Server::bind_shards(&vec![Smol; usize::from(shards.get())], options),
        }
    }

    /// One for each core, if each has a thread and the system divides peers between sockets that share an
    /// address: others than Linux give them all to one.
    pub(crate) fn default_shards(self) -> NonZeroU8 {
        let cores = match self {
            Self::Tokio if cfg!(target_os = "linux") => {
                thread::available_parallelism().map_or(1, NonZero::get)
            }
            _ => 1,
        };
        u8::try_from(cores).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MAX)
    }
}
