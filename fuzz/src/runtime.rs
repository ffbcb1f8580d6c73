//! What handles and drivers share.

pub use smoq_runtime::fuzz::runtime_mailbox;
