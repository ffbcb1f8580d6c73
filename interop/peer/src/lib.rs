//! A small publisher, subscriber and server on the foreign stack (moq-net and moq-tokio), for interop tests.

mod error;
mod link;
mod payload;
mod sink;
mod source;

pub use error::Error;
pub use link::{Dial, Link, Role, Server, Trust};
pub use moq_net::Version;
pub use payload::{Groups, Shape, concat, split};
pub use sink::{Datagrams, Sink, Watch};
pub use source::Source;
