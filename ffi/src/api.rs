//! The functions that C calls. Their documentation is that of the header.

use std::{
    ffi::{c_char, c_void},
    net::SocketAddr,
};

use bytes::Bytes;
use smoq_core::{Id, Path, wire::TrackInfo};
use smoq_quic::{Trust, parse_fingerprint, roots_from_pem};

use crate::{
    client::Client,
    error::{Error, guard, last},
    pointers::{bytes, copy_to, optional_text, out, text, with},
    types::{
        SMOQ_MAX_DATAGRAM, SmoqBroadcast, SmoqClient, SmoqEvent, SmoqFrame, SmoqGroup, SmoqOptions,
        SmoqStatus, SmoqSubscription, SmoqTrack,
    },
};

/// Why the last call of this thread that failed did so, in words. Never NULL; valid until a call of this
/// thread fails again.
#[unsafe(no_mangle)]
pub extern "C" fn smoq_last_error() -> *const c_char {
    last()
}

/// Makes a client, which dials at once: the first datagram is ready to be sent. `SMOQ_STATUS_INVALID` if an
/// option is wrong.
///
/// # Safety
/// `options` and what it points to is valid during the call. `client` is valid for a write; what is put
/// there is to be freed by `smoq_client_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_client_new(
    now: u64,
    options: *const SmoqOptions,
    client: *mut *mut SmoqClient,
) -> SmoqStatus {
    guard(|| {
        // SAFETY: all of it as the caller promises.
        let (client, options) = unsafe { (out(client, "client")?, options.as_ref()) };
        let options = options.ok_or(Error::Null("options"))?;
        // SAFETY: as before.
        let (address, host, path, fingerprint, roots) = unsafe {
            (
                text(options.address, "address")?,
                optional_text(options.host, "host")?,
                optional_text(options.path, "path")?,
                optional_text(options.fingerprint, "fingerprint")?,
                optional_text(options.roots, "roots")?,
            )
        };
        let trust = match (fingerprint, roots) {
            (Some(fingerprint), None) => Trust::Fingerprints(vec![parse_fingerprint(fingerprint)?]),
            (None, Some(roots)) => Trust::Roots(roots_from_pem(roots.as_bytes())?),
            (Some(_), Some(_)) | (None, None) => return Err(Error::Trust),
        };
        let new = Client::new(now, address.parse::<SocketAddr>()?, host, path, trust)?;
        client.put(Box::into_raw(Box::new(SmoqClient { client: new, broken: false })));
        Ok(SmoqStatus::Ok)
    })
}

/// Frees a client and what was lent of it. The other end is told nothing: `smoq_close` does that.
///
/// # Safety
/// `client` is NULL, or from `smoq_client_new` and not freed before. Nobody uses it meanwhile or later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_client_free(client: *mut SmoqClient) {
    if client.is_null() {
        return;
    }
    guard(|| {
        // SAFETY: made by `Box::into_raw`, and given back once, as the caller promises.
        drop(unsafe { Box::from_raw(client) });
        Ok(SmoqStatus::Ok)
    });
}

/// Gives the client a datagram that the socket has received. One that is not from the server is ignored.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `data` has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_handle_datagram(
    client: *mut SmoqClient,
    now: u64,
    data: *const c_void,
    size: usize,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        client.handle_datagram(now, unsafe { bytes(data, size) }?)?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Does what is due. To be called when the time of `smoq_poll_timeout` has come; earlier is harmless.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_handle_timeout(client: *mut SmoqClient, now: u64) -> SmoqStatus {
    let work = |client: &mut Client| client.handle_timeout(now).map(|()| SmoqStatus::Ok);
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// When to call `smoq_handle_timeout`, into `at`. `SMOQ_STATUS_NOTHING` if never. Valid once
/// `smoq_poll_transmit` has nothing.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `at` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_poll_timeout(client: *mut SmoqClient, at: *mut u64) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let at = unsafe { out(at, "at") }?;
        let Some(timeout) = client.poll_timeout() else { return Ok(SmoqStatus::Nothing) };
        at.put(timeout);
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Puts the next datagram to send into `buffer`, and its bytes into `size`. `SMOQ_STATUS_NOTHING` if there
/// is none. To be called until then; what the socket does not take is lost and repeated later.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `buffer` has `capacity` bytes, at least
/// `SMOQ_MAX_DATAGRAM`. `size` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_poll_transmit(
    client: *mut SmoqClient,
    now: u64,
    buffer: *mut c_void,
    capacity: usize,
    size: *mut usize,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let (buffer, size) = unsafe { (out(buffer.cast::<u8>(), "buffer")?, out(size, "size")?) };
        if capacity < SMOQ_MAX_DATAGRAM {
            return Err(Error::Buffer(capacity));
        }
        let Some(datagram) = client.poll_transmit(now)? else { return Ok(SmoqStatus::Nothing) };
        // SAFETY: as the caller promises.
        unsafe { copy_to(buffer, capacity, datagram) };
        size.put(datagram.len());
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Puts the next event into `event`. `SMOQ_STATUS_NOTHING` if there is none. To be called until then.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `event` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_poll_event(
    client: *mut SmoqClient,
    event: *mut SmoqEvent,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let event = unsafe { out(event, "event") }?;
        let Some(next) = client.poll_event()? else { return Ok(SmoqStatus::Nothing) };
        event.put(next);
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Makes a broadcast that nobody is told of yet, so that it can be given its tracks first.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `path` is a text. `broadcast` is valid for a
/// write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_create_broadcast(
    client: *mut SmoqClient,
    now: u64,
    path: *const c_char,
    broadcast: *mut SmoqBroadcast,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let (path, broadcast) = unsafe { (text(path, "path")?, out(broadcast, "broadcast")?) };
        let (node, time) = client.node(now)?;
        let id = node.create_broadcast(time, &Path::new(path)?)?;
        broadcast.put(SmoqBroadcast { id: id.to_bits() });
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Adds a track to a broadcast. Timestamps of its frames count `timescale` units per second, above 0.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `name` is a text. `track` is valid for a
/// write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_create_track(
    client: *mut SmoqClient,
    now: u64,
    broadcast: SmoqBroadcast,
    name: *const c_char,
    timescale: u64,
    track: *mut SmoqTrack,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let (name, track) = unsafe { (text(name, "name")?, out(track, "track")?) };
        let info = TrackInfo { timescale, ..TrackInfo::default() };
        let (node, time) = client.node(now)?;
        let id = node.create_track(time, Id::from_bits(broadcast.id), name, info)?;
        track.put(SmoqTrack { id: id.to_bits() });
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Tells of a broadcast whoever wants to know.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_announce(
    client: *mut SmoqClient,
    now: u64,
    broadcast: SmoqBroadcast,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        let (node, time) = client.node(now)?;
        node.announce(time, Id::from_bits(broadcast.id))?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Withdraws a broadcast. Its tracks that are not finished are cut off.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_unpublish(
    client: *mut SmoqClient,
    now: u64,
    broadcast: SmoqBroadcast,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        let (node, time) = client.node(now)?;
        node.unpublish(time, Id::from_bits(broadcast.id))?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Begins the next group of a track: where subscribers can begin, and what is left out when they are late.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `group` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_create_group(
    client: *mut SmoqClient,
    now: u64,
    track: SmoqTrack,
    group: *mut SmoqGroup,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let group = unsafe { out(group, "group") }?;
        let (node, time) = client.node(now)?;
        let (id, _) = node.create_group(time, Id::from_bits(track.id), None)?;
        group.put(SmoqGroup { id: id.to_bits() });
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Adds a frame to a group. Its bytes are copied. `timestamp` is below 2^61.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `data` has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_write_frame(
    client: *mut SmoqClient,
    now: u64,
    group: SmoqGroup,
    timestamp: u64,
    data: *const c_void,
    size: usize,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let payload = Bytes::copy_from_slice(unsafe { bytes(data, size) }?);
        let (node, time) = client.node(now)?;
        node.write_frame(time, Id::from_bits(group.id), timestamp, payload)?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Ends a group.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_finish_group(
    client: *mut SmoqClient,
    now: u64,
    group: SmoqGroup,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        let (node, time) = client.node(now)?;
        node.finish_group(time, Id::from_bits(group.id))?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Ends a track after the groups begun so far. When its subscribers have everything,
/// `SMOQ_EVENT_KIND_UNWANTED` follows.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_finish_track(
    client: *mut SmoqClient,
    now: u64,
    track: SmoqTrack,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        let (node, time) = client.node(now)?;
        node.finish_track(time, Id::from_bits(track.id))?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Asks to be told of the broadcasts at and below a path, the empty one for all.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `prefix` is a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_watch(
    client: *mut SmoqClient,
    now: u64,
    prefix: *const c_char,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let prefix = Path::new(unsafe { text(prefix, "prefix") }?)?;
        let (node, time) = client.node(now)?;
        node.watch(time, &prefix);
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Subscribes to a track: to `all` of it, from the oldest group that is held and without leaving any out, or
/// from the newest group on, of which old ones are left out when they are late.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `path` and `track` are texts.
/// `subscription` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_subscribe(
    client: *mut SmoqClient,
    now: u64,
    path: *const c_char,
    track: *const c_char,
    all: bool,
    subscription: *mut SmoqSubscription,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let (path, track, subscription) = unsafe {
            (text(path, "path")?, text(track, "track")?, out(subscription, "subscription")?)
        };
        let id = client.subscribe(now, &Path::new(path)?, track, all)?;
        subscription.put(SmoqSubscription { id: id.to_bits() });
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Ends a subscription, also one that has ended or failed by itself.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_unsubscribe(
    client: *mut SmoqClient,
    now: u64,
    subscription: SmoqSubscription,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        client.unsubscribe(now, Id::from_bits(subscription.id))?;
        Ok(SmoqStatus::Ok)
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Puts the next whole frame of a subscription into `frame`. `SMOQ_STATUS_NOTHING` if none is there yet,
/// `SMOQ_STATUS_END` at the end of the track, `SMOQ_STATUS_FAILED` if the subscription has failed. To be
/// called until it gives no frame. A group that was cut off has its first frames only.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses. `frame` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_read_frame(
    client: *mut SmoqClient,
    now: u64,
    subscription: SmoqSubscription,
    frame: *mut SmoqFrame,
) -> SmoqStatus {
    let work = |client: &mut Client| {
        // SAFETY: as the caller promises.
        let frame = unsafe { out(frame, "frame") }?;
        Ok(match client.read_frame(now, Id::from_bits(subscription.id))? {
            Ok(next) => {
                frame.put(next);
                SmoqStatus::Ok
            }
            Err(status) => status,
        })
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// Ends the session, or gives up dialing. The other end is told by datagrams, which are to be sent:
/// `smoq_is_idle` says when they are.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_close(client: *mut SmoqClient, now: u64) -> SmoqStatus {
    let work = |client: &mut Client| client.close(now).map(|()| SmoqStatus::Ok);
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}

/// `SMOQ_STATUS_OK` if there is no session any more and the other end was told: a good moment to free the
/// client. `SMOQ_STATUS_NOTHING` otherwise.
///
/// # Safety
/// `client` is one that is not freed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smoq_is_idle(client: *mut SmoqClient) -> SmoqStatus {
    let work = |client: &mut Client| {
        Ok(if client.is_idle() { SmoqStatus::Ok } else { SmoqStatus::Nothing })
    };
    // SAFETY: as the caller promises.
    unsafe { with(client, work) }
}
