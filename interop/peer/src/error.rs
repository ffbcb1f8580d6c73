//! What can go wrong with the foreign peer.

/// Why a step of the foreign peer failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// moq-tokio could not connect, listen or configure TLS.
    #[error("moq-tokio: {0}")]
    Endpoint(#[from] moq_tokio::Error),
    /// The session, broadcast or track failed.
    #[error("moq-net: {0}")]
    Session(#[from] moq_net::Error),
    /// The server generated no certificate.
    #[error("the moq-tokio server has no certificate, check its TLS options")]
    NoCertificate,
    /// The URL cannot be dialed.
    #[error("not a URL: {0}")]
    Url(#[from] url::ParseError),
    /// The origin of a sink was closed before what was waited for.
    #[error("no more announcements: the origin is closed")]
    Closed,
    /// A timestamp does not fit.
    #[error("the number of groups does not fit a moq-net timestamp, publish fewer")]
    Timestamp,
}

impl Error {
    /// The publisher has no such track, by the code of the stream.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Session(moq_net::Error::Stream(moq_net::StreamError::NotFound)))
    }

    /// The other side closed the session with code 0.
    pub fn is_orderly_close(&self) -> bool {
        matches!(self, Self::Session(moq_net::Error::Session(moq_net::SessionError::Cancel)))
    }
}
