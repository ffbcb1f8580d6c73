//! The only file that names the locks of std, so that those of loom can take their place.
//!
//! Only `loom-tests` sets `smoq_loom`. It compiles the source of this crate as its own, so that neither
//! loom nor the cfg is in any other build.

use std::sync::PoisonError;

#[cfg(smoq_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use std::sync::atomic;
#[cfg(not(smoq_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Locks. A thread that panicked while it held the lock leaves nothing half done here: every critical
/// section is a few moves.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
