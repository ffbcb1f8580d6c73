//! A timer of async-io.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use async_io::Timer;

/// A timer of async-io.
pub struct AsyncTimer(Timer);

impl Default for AsyncTimer {
    fn default() -> Self {
        Self(Timer::never())
    }
}

impl smoq_runtime::Timer for AsyncTimer {
    fn reset(&mut self, deadline: Instant) {
        self.0.set_at(deadline);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
