//! Fuzz bodies: each is a function that takes any bytes and panics where a rule of ours is broken.
//!
//! Two things drive them: libFuzzer, by the binaries in `targets`, and `tests/replay.rs`, which runs
//! what lies in `seeds` and `crashes` with every `cargo test`. To add one, write the function, name it
//! in [`BODIES`] and give it a binary.
#![forbid(unsafe_code)]

pub mod core;
pub mod h3;
mod input;
pub mod quic;
pub mod runtime;
pub mod signal;
pub mod worlds;

pub use input::Input;

/// A body and its name, which its folders and its binary have too.
pub type Body = (&'static str, fn(&[u8]));

macro_rules! bodies {
    ($(#[doc = $doc:literal])+ $list:ident: $($module:ident :: $name:ident),* $(,)?) => {
        $(#[doc = $doc])+
        pub const $list: &[Body] = &[$((stringify!($name), $module::$name)),*];
    };
}

bodies! {
    /// Those that take microseconds.
    BODIES:
    core::core_varint,
    core::core_path,
    core::core_wire,
    core::core_stream,
    core::core_session,
    runtime::runtime_mailbox,
    h3::h3_varint,
    h3::h3_settings,
    h3::h3_qpack,
    h3::h3_request,
    h3::h3_capsule,
    h3::h3_frames,
    h3::h3_datagram,
    h3::h3_oracle,
    h3::h3_connection_server,
    h3::h3_connection_client,
    signal::signal_hub,
    signal::signal_client,
}

bodies! {
    /// Those that take milliseconds: much happens in each.
    SLOW:
    core::core_tape,
    quic::quic_datagrams,
    worlds::world_pair,
    worlds::world_attack,
    worlds::world_relay,
}
