//! What C may do wrong and still get an answer.

use std::{
    ffi::{CStr, CString, c_char},
    ptr::{null, null_mut},
};

use smoq_ffi::*;

const FINGERPRINT: &CStr = c"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn last() -> String {
    // SAFETY: never NULL, and valid until the next failure of this thread.
    unsafe { CStr::from_ptr(smoq_last_error()) }.to_str().unwrap().to_owned()
}

fn options(
    address: *const c_char,
    fingerprint: *const c_char,
    roots: *const c_char,
) -> SmoqOptions {
    SmoqOptions { address, host: null(), path: null(), fingerprint, roots }
}

fn client() -> *mut SmoqClient {
    let options = options(c"127.0.0.1:9".as_ptr(), FINGERPRINT.as_ptr(), null());
    let mut client = null_mut();
    // SAFETY: everything is valid.
    assert_eq!(unsafe { smoq_client_new(0, &options, &mut client) }, SmoqStatus::Ok);
    client
}

#[test]
fn options_that_cannot_work_are_refused() {
    let address = c"127.0.0.1:9".as_ptr();
    let pin = FINGERPRINT.as_ptr();
    for (options, why) in [
        (options(null(), pin, null()), "address is NULL"),
        (options(c"localhost:9".as_ptr(), pin, null()), "resolve names first"),
        (options(c"\xff:9".as_ptr(), pin, null()), "address is not UTF-8"),
        (options(address, null(), null()), "either the fingerprint or the roots"),
        (options(address, pin, c"".as_ptr()), "either the fingerprint or the roots"),
        (options(address, c"12".as_ptr(), null()), "64 hexadecimal digits"),
        (options(address, null(), c"".as_ptr()), "no root certificate"),
        (
            options(
                address,
                null(),
                c"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----".as_ptr(),
            ),
            "root certificates cannot be used",
        ),
        (
            SmoqOptions { host: c"not a host".as_ptr(), ..options(address, pin, null()) },
            "neither a DNS name",
        ),
    ] {
        let mut client = null_mut();
        // SAFETY: everything is valid or NULL.
        let status = unsafe { smoq_client_new(0, &options, &mut client) };
        assert_eq!(status, SmoqStatus::Invalid, "{why}");
        assert!(last().contains(why), "{} does not say: {why}", last());
        assert!(client.is_null());
    }
}

#[test]
fn every_pointer_may_be_null() {
    use SmoqStatus::Invalid;
    let nobody: *mut SmoqClient = null_mut();
    let (broadcast, track) = (SmoqBroadcast { id: 0 }, SmoqTrack { id: 0 });
    let (group, subscription) = (SmoqGroup { id: 0 }, SmoqSubscription { id: 0 });
    let (path, mut size, mut at) = (c"a".as_ptr(), 0, 0);
    // SAFETY: everything is valid or NULL.
    unsafe {
        assert_eq!(smoq_client_new(0, null(), null_mut()), Invalid);
        assert_eq!(smoq_client_new(0, null(), &mut null_mut()), Invalid);
        smoq_client_free(nobody);
        for client in [nobody, client()] {
            let mut statuses = vec![
                smoq_poll_timeout(client, null_mut()),
                smoq_poll_transmit(client, 0, null_mut(), 2000, &mut size),
                smoq_poll_transmit(client, 0, [0u8; 2000].as_mut_ptr().cast(), 2000, null_mut()),
                smoq_poll_transmit(client, 0, [0u8; 10].as_mut_ptr().cast(), 10, &mut size),
                smoq_poll_event(client, null_mut()),
                smoq_handle_datagram(client, 0, null(), 5),
                smoq_create_broadcast(client, 0, null(), &mut { broadcast }),
                smoq_create_broadcast(client, 0, path, null_mut()),
                smoq_create_track(client, 0, broadcast, null(), 1, &mut { track }),
                smoq_create_track(client, 0, broadcast, path, 1, null_mut()),
                smoq_create_group(client, 0, track, null_mut()),
                smoq_write_frame(client, 0, group, 0, null(), 5),
                smoq_watch(client, 0, null()),
                smoq_subscribe(client, 0, null(), path, true, &mut { subscription }),
                smoq_subscribe(client, 0, path, null(), true, &mut { subscription }),
                smoq_subscribe(client, 0, path, path, true, null_mut()),
                smoq_read_frame(client, 0, subscription, null_mut()),
            ];
            if client.is_null() {
                statuses.extend([
                    smoq_handle_datagram(client, 0, null(), 0),
                    smoq_handle_timeout(client, 0),
                    smoq_poll_timeout(client, &mut at),
                    smoq_announce(client, 0, broadcast),
                    smoq_unpublish(client, 0, broadcast),
                    smoq_finish_group(client, 0, group),
                    smoq_finish_track(client, 0, track),
                    smoq_unsubscribe(client, 0, subscription),
                    smoq_close(client, 0),
                    smoq_is_idle(client),
                ]);
            }
            assert!(statuses.iter().all(|status| *status == Invalid), "{statuses:?}");
            smoq_client_free(client);
        }
    }
}

#[test]
fn stale_ids_and_wild_times_are_answers() {
    let client = client();
    let (mut broadcast, mut track) = (SmoqBroadcast { id: 0 }, SmoqTrack { id: 0 });
    let mut group = SmoqGroup { id: 0 };
    // SAFETY: everything is valid.
    unsafe {
        let path = c"a".as_ptr();
        assert_eq!(smoq_create_broadcast(client, 0, path, &mut broadcast), SmoqStatus::Ok);
        assert_eq!(smoq_create_broadcast(client, 0, path, &mut broadcast), SmoqStatus::Invalid);
        assert!(last().contains("publishes that path already"));
        let long = CString::new("a/".repeat(33)).unwrap();
        let status = smoq_create_broadcast(client, 0, long.as_ptr(), &mut broadcast);
        assert_eq!(status, SmoqStatus::Invalid);
        let name = c"t".as_ptr();
        assert_eq!(
            smoq_create_track(client, 0, broadcast, name, 0, &mut track),
            SmoqStatus::Invalid
        );
        assert!(last().contains("timescale"));
        assert_eq!(smoq_create_track(client, 0, broadcast, name, 1, &mut track), SmoqStatus::Ok);
        assert_eq!(smoq_create_group(client, 0, track, &mut group), SmoqStatus::Ok);
        assert_eq!(smoq_write_frame(client, 0, group, 0, null(), 0), SmoqStatus::Ok);
        assert_eq!(smoq_finish_group(client, 0, group), SmoqStatus::Ok);
        assert_eq!(smoq_write_frame(client, 0, group, 0, null(), 0), SmoqStatus::Invalid);
        assert_eq!(smoq_unpublish(client, 0, broadcast), SmoqStatus::Ok);
        for id in [track.id, u64::MAX, 1 << 32] {
            assert_eq!(smoq_finish_track(client, 0, SmoqTrack { id }), SmoqStatus::Invalid);
            let mut frame = std::mem::MaybeUninit::uninit();
            let status = smoq_read_frame(client, 0, SmoqSubscription { id }, frame.as_mut_ptr());
            assert_eq!(status, SmoqStatus::Invalid);
        }
        // A clock that runs backwards stands still.
        for now in [5_000_000, 0, 1 << 50] {
            assert_eq!(smoq_handle_timeout(client, now), SmoqStatus::Ok);
        }
        let mut event = std::mem::MaybeUninit::uninit();
        assert_eq!(smoq_poll_event(client, event.as_mut_ptr()), SmoqStatus::Ok);
        let event: SmoqEvent = event.assume_init();
        assert_eq!(event.kind, SmoqEventKind::ConnectFailed);
        assert!(CStr::from_ptr(event.text).to_str().unwrap().contains("no answer"));
        assert_eq!(smoq_close(client, 0), SmoqStatus::Ok);
        smoq_client_free(client);
    }
}

#[test]
fn the_first_datagram_is_there_at_once() {
    let client = client();
    let (mut buffer, mut size, mut at) = ([0u8; SMOQ_MAX_DATAGRAM], 0, 0);
    // SAFETY: everything is valid.
    unsafe {
        let status =
            smoq_poll_transmit(client, 0, buffer.as_mut_ptr().cast(), buffer.len(), &mut size);
        assert_eq!((status, size), (SmoqStatus::Ok, SMOQ_MAX_DATAGRAM));
        assert_eq!(smoq_poll_timeout(client, &mut at), SmoqStatus::Ok);
        assert!(
            (1..=5_000_000).contains(&at),
            "the first repetition, or the end of patience: {at}"
        );
        assert_eq!(smoq_is_idle(client), SmoqStatus::Nothing);
        // What is no QUIC is ignored.
        assert_eq!(smoq_handle_datagram(client, 1, [7u8; 3].as_ptr().cast(), 3), SmoqStatus::Ok);
        smoq_client_free(client);
    }
}

#[test]
fn a_client_may_go_to_another_thread() {
    fn goes<T: Send>() {}
    goes::<SmoqClient>();
}
