//! The only file that names `std::sync`, so that a model checker's types can take its place.

use std::sync::PoisonError;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Locks. A thread that panicked while it held the lock leaves nothing half done here: every critical
/// section is a few moves.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
