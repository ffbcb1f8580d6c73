//! What C sees.

use std::ffi::{c_char, c_void};

use crate::client::Client;

/// The largest datagram that `smoq_poll_transmit` gives, in bytes.
pub const SMOQ_MAX_DATAGRAM: usize = 1200;

/// What came of a call. Below 0 it failed, and `smoq_last_error` says why.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmoqStatus {
    /// Done.
    Ok = 0,
    /// There is nothing now.
    Nothing = 1,
    /// There will be nothing more.
    End = 2,
    /// The caller's mistake: an argument is wrong, or an id names what has ended. Nothing was changed.
    Invalid = -1,
    /// The other end does not do it.
    Failed = -2,
    /// A bug in smoq. The client can only be freed.
    Panicked = -3,
}

/// A client: one connection to one server. Made by `smoq_client_new`.
///
/// It may go from thread to thread, but only one may use it at a time.
pub struct SmoqClient {
    pub(crate) client: Client,
    /// It has panicked, so nobody knows what state it is in.
    pub(crate) broken: bool,
}

/// Where to connect to, and whom to believe. All texts are UTF-8 and end with a 0; none is kept.
#[repr(C)]
pub struct SmoqOptions {
    /// The server, `192.0.2.1:4443` or `[2001:db8::1]:4443`: the address that the caller's socket is
    /// connected to.
    pub address: *const c_char,
    /// The name that the server's certificate has to be for. NULL for the IP address.
    pub host: *const c_char,
    /// The path of the session with its query, `/room?jwt=x`. NULL for none.
    pub path: *const c_char,
    /// The SHA-256 of the server's certificate, as `smoq relay` prints it. NULL to go by `roots`.
    pub fingerprint: *const c_char,
    /// Root certificates in PEM, one of which has signed that of the server. NULL to go by `fingerprint`.
    pub roots: *const c_char,
}

/// A broadcast that the client publishes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmoqBroadcast {
    /// Opaque.
    pub id: u64,
}

/// A track of such a broadcast.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmoqTrack {
    /// Opaque.
    pub id: u64,
}

/// A group of such a track.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmoqGroup {
    /// Opaque.
    pub id: u64,
}

/// A track that the client receives.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmoqSubscription {
    /// Opaque.
    pub id: u64,
}

/// What happened.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmoqEventKind {
    /// The session is up. What was published before is announced, and subscriptions can be made.
    Ready = 0,
    /// There will be no session: `text` says why. The client is of no more use.
    ConnectFailed,
    /// The session is over: `text` says why, `code` is the number on the wire. The client is of no more
    /// use.
    Closed,
    /// Somebody publishes a broadcast below a prefix that is watched: `text` is its path.
    Announced,
    /// Nobody does any more: `text` is its path.
    Unannounced,
    /// `smoq_read_frame` of `subscription` may have something. Comes once until it is called.
    Readable,
    /// Somebody subscribes to `track`. Until then nothing of it is sent.
    Wanted,
    /// Nobody does any more.
    Unwanted,
    /// The server is about to go: `text` is the URI where it says to connect to, empty for the same place.
    /// It says so without proof. What runs goes on; what is asked from now on fails.
    Goaway,
}

/// What happened, and to what. Fields that the kind does not name are 0 or empty.
#[repr(C)]
pub struct SmoqEvent {
    /// What.
    pub kind: SmoqEventKind,
    /// Whose track has something to read.
    pub subscription: SmoqSubscription,
    /// What is wanted or not.
    pub track: SmoqTrack,
    /// A code on the wire.
    pub code: u64,
    /// In words, or a path. Never NULL. It belongs to the client, until the next call of
    /// `smoq_poll_event`.
    pub text: *const c_char,
}

/// A frame that was received.
#[repr(C)]
pub struct SmoqFrame {
    /// Sequence of its group in the track. Groups come as they arrive, which need not be in order.
    pub group: u64,
    /// Its place in the group, from 0. Frames of a group come in order.
    pub index: u64,
    /// When to show it, in units of the track's timescale.
    pub timestamp: u64,
    /// The payload. It belongs to the client, until the next call of `smoq_read_frame`. Not to be read if
    /// `size` is 0.
    pub data: *const c_void,
    /// Its bytes.
    pub size: usize,
}
