//! The only places where pointers of C are followed.

use std::{
    ffi::{CStr, c_char, c_void},
    slice,
};

use crate::{
    client::Client,
    error::{Error, guard},
    types::{SmoqClient, SmoqStatus},
};

/// Runs `work` on a client.
///
/// # Safety
/// `client` is NULL or from `smoq_client_new`, not freed, and used by nobody else meanwhile.
pub(crate) unsafe fn with(
    client: *mut SmoqClient,
    work: impl FnOnce(&mut Client) -> Result<SmoqStatus, Error>,
) -> SmoqStatus {
    guard(|| {
        // SAFETY: not NULL as `as_mut` checks; then valid and exclusive as the caller promises.
        let client = unsafe { client.as_mut() }.ok_or(Error::Null("client"))?;
        if client.broken {
            return Err(Error::Broken);
        }
        client.broken = true;
        let result = work(&mut client.client);
        client.broken = false;
        result
    })
}

/// A text that has to be there.
///
/// # Safety
/// As for [`optional_text`].
pub(crate) unsafe fn text<'a>(
    pointer: *const c_char,
    name: &'static str,
) -> Result<&'a str, Error> {
    // SAFETY: as the caller promises.
    unsafe { optional_text(pointer, name) }?.ok_or(Error::Null(name))
}

/// A text, or `None` for NULL.
///
/// # Safety
/// `pointer` is NULL or points to bytes that end with a 0, which nobody changes during `'a`.
pub(crate) unsafe fn optional_text<'a>(
    pointer: *const c_char,
    name: &'static str,
) -> Result<Option<&'a str>, Error> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; for the rest as the caller promises.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Error::NotUtf8(name))
}

/// Bytes to read; NULL is right for none.
///
/// # Safety
/// `data` points to `size` bytes that can be read, or `size` is 0, or `data` is NULL; nobody changes
/// them during `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, size: usize) -> Result<&'a [u8], Error> {
    if size == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::Null("data"));
    }
    if isize::try_from(size).is_err() {
        return Err(Error::Size(size));
    }
    // SAFETY: not NULL, and not larger than a slice may be; for the rest as the caller promises. Bytes
    // need no alignment.
    Ok(unsafe { slice::from_raw_parts(data.cast(), size) })
}

/// Somewhere to put a `T`, which is written as a whole and never read.
///
/// # Safety
/// `pointer` is NULL, or valid for a write of a `T` and aligned for one for as long as this lives.
pub(crate) unsafe fn out<T>(pointer: *mut T, name: &'static str) -> Result<Out<T>, Error> {
    if pointer.is_null() { Err(Error::Null(name)) } else { Ok(Out(pointer)) }
}

/// See [`out`], which is the only one to make it.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Puts `value` there.
    pub(crate) fn put(self, value: T) {
        // SAFETY: valid and aligned, as whoever called `out` has promised. What was there before is not
        // dropped: it may be nothing.
        unsafe { self.0.write(value) };
    }
}

/// Copies `data` to where a buffer of `capacity` bytes begins.
///
/// # Panics
/// If the buffer is too small for it, whatever the reason: what comes from the network never decides
/// how much is written.
///
/// # Safety
/// The buffer has `capacity` bytes.
pub(crate) unsafe fn copy_to(buffer: Out<u8>, capacity: usize, data: &[u8]) {
    assert!(data.len() <= capacity, "{} bytes for a buffer of {capacity}", data.len());
    // SAFETY: large enough, as was checked; and it cannot overlap with what only we know of.
    unsafe { buffer.0.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use smoq_quic::Trust;

    use super::*;

    #[test]
    fn a_client_that_has_panicked_is_of_no_more_use() {
        let trust = Trust::Fingerprints(vec![[0; 32]]);
        let client = Client::new(0, (Ipv4Addr::LOCALHOST, 9).into(), None, None, trust).unwrap();
        let mut client = SmoqClient { client, broken: false };
        let mut call = |work: fn(&mut Client) -> Result<SmoqStatus, Error>| {
            // SAFETY: valid, and nobody else has it.
            unsafe { with(&mut client, work) }
        };
        assert_eq!(call(|_| Err(Error::Null("data"))), SmoqStatus::Invalid);
        assert_eq!(call(|_| Ok(SmoqStatus::Ok)), SmoqStatus::Ok, "a mistake is forgiven");
        assert_eq!(call(|_| panic!("a bug")), SmoqStatus::Panicked);
        assert_eq!(call(|_| Ok(SmoqStatus::Ok)), SmoqStatus::Panicked);
    }

    #[test]
    fn nothing_is_written_beyond_a_buffer() {
        let mut place = *b"......";
        let pointer = place.as_mut_ptr();
        let copy = |data: &[u8]| {
            guard(|| {
                // SAFETY: two bytes fewer than there are.
                unsafe { copy_to(out(pointer, "place")?, 4, data) };
                Ok(SmoqStatus::Ok)
            })
        };
        assert_eq!(copy(b"four"), SmoqStatus::Ok);
        assert_eq!(copy(b"five!"), SmoqStatus::Panicked);
        assert_eq!(&place, b"four..");
    }
}
