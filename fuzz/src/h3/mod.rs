//! HTTP/3 and WebTransport framing.

mod codec;
mod connection;
mod fields;
mod model;
mod oracle;
pub mod script;

pub use codec::{h3_capsule, h3_datagram, h3_qpack, h3_settings, h3_varint};
pub use connection::{h3_connection_client, h3_connection_server, h3_frames};
pub use fields::{NAMES, answer, ask, h3_request};
pub use oracle::h3_oracle;
