//! What runs the sockets, the timers and the protocol.

use smoq_tokio::{
    ClientOptions, ConnectError, Connection, ListenError, Server, ServerOptions, Url,
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

    /// Opens a server's socket and begins to serve.
    pub fn listen(self, options: ServerOptions) -> Result<Server, ListenError> {
        match self {
            Self::Tokio => smoq_tokio::listen(options),
            #[cfg(feature = "smol")]
            Self::Smol => smoq_smol::listen(options),
        }
    }
}
