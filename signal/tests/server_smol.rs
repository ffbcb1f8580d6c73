//! The server's tests once more, on smol.

#[path = "server.rs"]
mod server;
