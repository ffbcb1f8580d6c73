//! The protocol: its decoders, and a node that hears and is told anything.

mod names;
pub mod session;
mod stream;
mod tape;
pub mod wire;

pub use names::{core_path, core_varint};
pub use session::core_session;
pub use stream::core_stream;
pub use tape::core_tape;
pub use wire::core_wire;
