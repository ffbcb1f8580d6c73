//! moq-lite as a value: bytes, resets and the time go in, stream commands and events come out.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod binding;
mod config;
mod error;
mod estimate;
mod event;
mod frames;
mod id;
mod limits;
mod link;
mod node;
mod path;
mod route;
mod session;
mod store;
mod time;
mod version;
pub mod wire;

pub use config::{
    Admission, Carrier, Config, Discover, Grant, SessionConfig, Side, Start, SubscribeOptions,
};
pub use error::{Misuse, Violation};
pub use estimate::Estimate;
pub use event::{
    Announced, Backlog, Closed, ClosedBy, Command, Dir, Event, FrameChunk, NextGroup, Probed, Read,
    Send, StreamId,
};
pub use frames::{Frame, Frames, Groups, NextFrame};
pub use id::Id;
pub use limits::Limits;
pub use link::{Batch, Heard, Link};
pub use node::{
    Broadcast, Group, GroupReader, Node, Reader, Requests, Serve, Session, Stats, Track, Wanted,
    Watcher,
};
pub use path::{Path, PathError};
pub use time::Time;
pub use version::{UnknownVersion, Version};
