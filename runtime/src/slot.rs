//! A value shared by one handle and the driver, with the handle's waker.

use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, lock};

struct Inner<T> {
    value: T,
    waker: Option<Waker>,
    gone: bool,
}

/// The handle's end.
///
/// A look at the value and the registration of the waker happen under one lock, so no change falls
/// between them. Wakers are woken and dropped after the lock is given back, so they may use the handle.
pub(crate) struct Near<T>(Arc<Mutex<Inner<T>>>);

/// The driver's end. When it is dropped, with a driver's table or inside a message that nobody read,
/// the handle is told so.
pub(crate) struct Far<T>(Arc<Mutex<Inner<T>>>);

/// Both ends of a new value.
pub(crate) fn slot<T>(value: T) -> (Near<T>, Far<T>) {
    let inner = Arc::new(Mutex::new(Inner { value, waker: None, gone: false }));
    (Near(inner.clone()), Far(inner))
}

impl<T> Near<T> {
    /// Looks or changes. The flag says whether the driver's end is gone.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T, bool) -> R) -> R {
        let mut inner = lock(&self.0);
        let gone = inner.gone;
        look(&mut inner.value, gone)
    }

    /// Looks; on [`Poll::Pending`] the handle is woken by the next change from the driver.
    pub(crate) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut T, bool) -> Poll<R>,
    ) -> Poll<R> {
        self.look(Some(cx.waker()), look)
    }

    /// [`poll`](Self::poll) for one who waits, if there is a waker, or for one who only tries: that does
    /// not take the place of one who waits.
    pub(crate) fn look<R>(
        &self,
        waker: Option<&Waker>,
        look: impl FnOnce(&mut T, bool) -> Poll<R>,
    ) -> Poll<R> {
        // Declared before the lock, so dropped after it.
        let _stale;
        let mut inner = lock(&self.0);
        let gone = inner.gone;
        let result = look(&mut inner.value, gone);
        if let Some(waker) = waker.filter(|_| result.is_pending()) {
            _stale = inner.waker.replace(waker.clone());
        }
        result
    }
}

impl<T> Far<T> {
    /// Looks or changes without waking the handle.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut lock(&self.0).value)
    }

    /// Changes the value and wakes the handle, if it waits.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.change(|inner| change(&mut inner.value))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Inner<T>) -> R) -> R {
        let mut inner = lock(&self.0);
        let result = change(&mut inner);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

impl<T> Drop for Far<T> {
    fn drop(&mut self) {
        self.change(|inner| inner.gone = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::Count;

    fn take(near: &Near<Option<u8>>, count: &Arc<Count>) -> Poll<Option<u8>> {
        let waker = count.waker();
        near.poll(&mut Context::from_waker(&waker), |value, gone| match value.take() {
            Some(value) => Poll::Ready(Some(value)),
            None if gone => Poll::Ready(None),
            None => Poll::Pending,
        })
    }

    #[test]
    fn an_update_wakes_the_waiting_handle_once() {
        let (near, far) = slot(None);
        let count = Count::new();
        assert!(take(&near, &count).is_pending());
        far.update(|value| *value = Some(1));
        far.update(|value| *value = Some(2));
        assert_eq!(count.get(), 1);
        assert_eq!(take(&near, &count), Poll::Ready(Some(2)));
        far.update(|value| *value = Some(3));
        assert_eq!(count.get(), 1, "nobody waits after a result");
    }

    #[test]
    fn the_latest_waker_is_the_one_that_is_woken() {
        let (near, far) = slot(None);
        let (first, second) = (Count::new(), Count::new());
        assert!(take(&near, &first).is_pending());
        assert!(take(&near, &second).is_pending());
        far.update(|value| *value = Some(1));
        assert_eq!((first.get(), second.get()), (0, 1));
    }

    #[test]
    fn a_waker_may_use_the_slot() {
        struct Reenter(Near<Option<u8>>);
        impl std::task::Wake for Reenter {
            fn wake(self: Arc<Self>) {
                assert_eq!(self.0.with(|value, _| value.take()), Some(7));
            }
        }
        let (near, far) = slot(None);
        let reenter = Arc::new(Reenter(near));
        let waker = Waker::from(reenter.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(reenter.0.poll(&mut cx, |_, _| Poll::<()>::Pending).is_pending());
        far.update(|value| *value = Some(7));
        assert_eq!(far.with(|value| *value), None);
    }

    #[test]
    fn a_dropped_driver_wakes_and_what_it_left_is_still_read() {
        let (near, far) = slot(None);
        let count = Count::new();
        assert!(take(&near, &count).is_pending());
        far.with(|value| *value = Some(1));
        assert_eq!(count.get(), 0);
        drop(far);
        assert_eq!(count.get(), 1);
        assert_eq!(take(&near, &count), Poll::Ready(Some(1)));
        assert_eq!(take(&near, &count), Poll::Ready(None));
    }
}
