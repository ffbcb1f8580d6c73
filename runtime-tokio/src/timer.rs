//! A timer on tokio's clock.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use smoq_runtime::Timer;
use tokio::time::{Sleep, sleep_until};

/// One `Sleep`, made when it is first set.
#[derive(Default)]
pub struct TokioTimer(Option<Pin<Box<Sleep>>>);

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        // It stands still when a test has paused it.
        tokio::time::Instant::now().into_std()
    }

    fn reset(&mut self, deadline: Instant) {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(deadline.into()),
            None => self.0 = Some(Box::pin(sleep_until(deadline.into()))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}
