//! Why a call fails, and how C learns of it.

use std::{
    any::Any,
    cell::RefCell,
    ffi::{CString, c_char},
    net::AddrParseError,
    panic::{AssertUnwindSafe, catch_unwind},
};

use smoq_core::{Misuse, PathError, wire::StreamCode};
use smoq_quic::{ConnectError, TlsError};
use thiserror::Error;

use crate::types::{SMOQ_MAX_DATAGRAM, SmoqStatus};

/// Why a call fails.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("{0} is NULL: pass a valid pointer")]
    Null(&'static str),
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    #[error("this size is larger than any object can be: {0}")]
    Size(usize),
    #[error("this time is too far away: {0} microseconds")]
    Time(u64),
    #[error("the buffer has {0} bytes: it needs SMOQ_MAX_DATAGRAM, {SMOQ_MAX_DATAGRAM}")]
    Buffer(usize),
    #[error("the address is not IP:PORT: {0}; resolve names first")]
    Address(#[from] AddrParseError),
    #[error("set either the fingerprint or the roots, to say whom to believe")]
    Trust,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Misuse(#[from] Misuse),
    #[error("the subscription failed: {0}")]
    Subscription(StreamCode),
    #[error("this client has met a bug in smoq before: free it and make another one")]
    Broken,
}

impl Error {
    fn status(&self) -> SmoqStatus {
        match self {
            Self::Null(_)
            | Self::NotUtf8(_)
            | Self::Size(_)
            | Self::Time(_)
            | Self::Buffer(_)
            | Self::Address(_)
            | Self::Trust
            | Self::Tls(_)
            | Self::Connect(_)
            | Self::Path(_)
            | Self::Misuse(_) => SmoqStatus::Invalid,
            Self::Subscription(_) => SmoqStatus::Failed,
            Self::Broken => SmoqStatus::Panicked,
        }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Why the last call of this thread that failed did so.
pub(crate) fn last() -> *const c_char {
    // A thread that ends has no place left for it.
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

fn tell(text: &str) {
    let _ = LAST.try_with(|last| *last.borrow_mut() = text_for_c(text));
}

/// A text for C, up to its first 0 if it has one.
pub(crate) fn text_for_c(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// Runs `work`, keeps why it failed, and lets no panic through to C.
pub(crate) fn guard(work: impl FnOnce() -> Result<SmoqStatus, Error>) -> SmoqStatus {
    // What a panic leaves is never looked at again: a client is marked as broken meanwhile.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            tell(&error.to_string());
            error.status()
        }
        Err(panic) => {
            tell(&format!("a bug in smoq, please report it: {}", message(&*panic)));
            // Dropping what was thrown might throw again.
            std::mem::forget(panic);
            SmoqStatus::Panicked
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    /// What C would read.
    fn last_text() -> String {
        LAST.with(|last| CStr::to_string_lossy(&last.borrow()).into_owned())
    }

    #[test]
    fn a_panic_is_a_status() {
        let status = guard(|| panic!("planted {}", 1));
        assert_eq!(status, SmoqStatus::Panicked);
        assert!(last_text().ends_with("planted 1"));
        assert_eq!(guard(|| std::panic::panic_any(5)), SmoqStatus::Panicked);
        assert!(last_text().ends_with("no message"));
    }

    #[test]
    fn an_error_is_kept_until_the_next_one() {
        assert_eq!(guard(|| Err(Error::Misuse(Misuse::Stale))), SmoqStatus::Invalid);
        assert_eq!(guard(|| Ok(SmoqStatus::Nothing)), SmoqStatus::Nothing);
        assert_eq!(last_text(), Misuse::Stale.to_string());
        let gone = Error::Subscription(StreamCode::NOT_FOUND);
        assert_eq!(guard(|| Err(gone)), SmoqStatus::Failed);
        assert!(last_text().contains("not found"));
    }

    #[test]
    fn a_text_ends_at_its_first_zero() {
        assert_eq!(text_for_c("a\0b").as_c_str(), c"a");
    }
}
