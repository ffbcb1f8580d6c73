//! Groups of one frame as datagrams (05 and later).

mod common;

use bytes::{Bytes, BytesMut};
use common::{script::*, *};
use smoq_core::{
    Broadcast, Carrier, Dir, Id, Misuse, SessionConfig, Track, Version,
    wire::{
        BidiType, DatagramHeader, MAX_DATAGRAM, MAX_TIMESTAMP, SessionCode, StreamCode, Subscribe,
        SubscribeParams, SubscribeResponse, TrackInfo,
    },
};
use smoq_sim::{Bench, LinkConfig, PeerId, Viewer};

fn having() -> impl Iterator<Item = Version> {
    Version::ALL.into_iter().filter(|version| version.has_datagrams())
}

fn encoded(subscribe: u64, sequence: u64, timestamp: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    DatagramHeader { subscribe, sequence, timestamp }.encode(&mut out);
    out.extend_from_slice(payload);
    out.freeze()
}

/// A node that publishes a track, and nobody yet.
fn publisher() -> (Bench, Id<Broadcast>, Id<Track>) {
    let mut bench = Bench::new(relay_config(100));
    let now = bench.now();
    let broadcast = bench.node.publish(now, &path("cam")).unwrap();
    let track = bench.node.create_track(now, broadcast, "video", TrackInfo::default()).unwrap();
    (bench, broadcast, track)
}

/// A peer that takes datagrams if `datagrams`.
fn peer(bench: &mut Bench, version: Version, datagrams: bool) -> PeerId {
    let config = SessionConfig::server(version, Carrier::Raw, "");
    let peer = bench.peer(SessionConfig { datagrams, ..config });
    bench.greet(peer);
    peer
}

fn write(bench: &mut Bench, track: Id<Track>, payload: &[u8]) -> u64 {
    let (now, payload) = (bench.now(), Bytes::copy_from_slice(payload));
    let sequence = bench.node.write_datagram(now, track, None, 500, payload).unwrap();
    bench.run();
    sequence
}

fn everything(version: Version) -> SubscribeParams {
    let start = if version.start_is_floor() { None } else { Some(0) };
    SubscribeParams { max_age_ms: (1 << 53) - 1, start, ..SubscribeParams::default() }
}

#[test]
fn one_goes_once_and_opens_no_stream() {
    for version in having() {
        let (mut bench, _, track) = publisher();
        let viewer = peer(&mut bench, version, true);
        let stream = subscribe(&mut bench, viewer, 7, "cam", everything(version));
        assert_eq!(write(&mut bench, track, b"zero"), 0);
        assert_eq!(write(&mut bench, track, b""), 1);
        let now = bench.now();
        bench.node.finish_track(now, track).unwrap();
        bench.run();
        let expected = [encoded(7, 0, 500, b"zero"), encoded(7, 1, 500, b"")];
        assert_eq!(bench[viewer].datagrams, expected, "{version}");
        assert_eq!(bench.groups(viewer).len(), 0, "{version}");
        let told = heard_responses(bench.sent(viewer, stream), version);
        let (start, end) =
            (SubscribeResponse::Start { group: 0 }, SubscribeResponse::End { group: 2 });
        assert_eq!(told, [start, end], "{version}");
        assert!(bench.sent(viewer, stream).fin, "{version}");
    }
}

#[test]
fn who_takes_none_gets_a_stream() {
    for version in Version::ALL {
        let (mut bench, _, track) = publisher();
        let viewer = peer(&mut bench, version, !version.has_datagrams());
        subscribe(&mut bench, viewer, 7, "cam", everything(version));
        write(&mut bench, track, b"zero");
        assert_eq!(bench[viewer].datagrams.len(), 0, "{version}");
        let groups = bench.groups(viewer);
        assert_eq!(groups.len(), 1, "{version}");
        assert!(groups[0].fin, "{version}");
        let (header, frames) = heard_group(groups[0], version);
        let delta = if version.has_timestamps() { 500 } else { 0 };
        assert_eq!((header.sequence, frames), (0, vec![(delta, b"zero".to_vec())]), "{version}");
    }
}

#[test]
fn one_that_does_not_fit_is_given_up_and_told() {
    for version in having() {
        let (mut bench, _, track) = publisher();
        let viewer = peer(&mut bench, version, true);
        bench.grant(viewer, |peer| peer.datagram_room = encoded(7, 0, 500, b"abc").len());
        let stream = subscribe(&mut bench, viewer, 7, "cam", everything(version));
        for payload in ["abc", "abcd", "ab"] {
            write(&mut bench, track, payload.as_bytes());
        }
        let expected = [encoded(7, 0, 500, b"abc"), encoded(7, 2, 500, b"ab")];
        assert_eq!(bench[viewer].datagrams, expected, "{version}");
        let told = heard_responses(bench.sent(viewer, stream), version);
        let code = StreamCode::FRAME_TOO_LARGE.0;
        let drop = SubscribeResponse::Drop { first: 1, last: 1, code };
        assert!(told.contains(&drop), "{version}: {told:?}");
    }
}

#[test]
fn they_wait_for_room_and_go_before_streams() {
    for version in having() {
        let (mut bench, _, track) = publisher();
        let viewer = peer(&mut bench, version, true);
        subscribe(&mut bench, viewer, 7, "cam", everything(version));
        // START is said.
        write(&mut bench, track, b"first");
        bench.grant(viewer, |peer| peer.room = 0);
        let now = bench.now();
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.write_frame(now, group, 0, Bytes::from_static(&[1; 100])).unwrap();
        write(&mut bench, track, b"datagram");
        assert_eq!(bench[viewer].datagrams.len(), 1, "{version}");
        // Enough for the datagram alone.
        bench.grant(viewer, |peer| peer.room = 1);
        assert_eq!(bench[viewer].datagrams[1..], [encoded(7, 2, 500, b"datagram")], "{version}");
        bench.grant(viewer, |peer| peer.room = 1000);
        assert_eq!(bench.groups(viewer).len(), 1, "{version}");
    }
}

#[test]
fn what_cannot_be_a_datagram_is_refused() {
    let (mut bench, broadcast, track) = publisher();
    let now = bench.now();
    let node = &mut bench.node;
    let write = |node: &mut smoq_sim::Recorder, sequence, timestamp, size| {
        node.write_datagram(now, track, sequence, timestamp, Bytes::from(vec![0; size]))
    };
    assert_eq!(write(node, None, 0, MAX_DATAGRAM + 1), Err(Misuse::DatagramSize));
    assert_eq!(write(node, None, MAX_TIMESTAMP + 1, 1), Err(Misuse::Timestamp));
    assert_eq!(write(node, Some(4), MAX_TIMESTAMP, MAX_DATAGRAM), Ok(4));
    assert_eq!(write(node, Some(4), 0, 1), Err(Misuse::DuplicateGroup(4)));
    assert_eq!(write(node, Some((1 << 62) - 1), 0, 1), Err(Misuse::Sequence));
    assert_eq!(write(node, None, 0, 1), Ok(5));
    node.finish_track(now, track).unwrap();
    assert_eq!(write(node, None, 0, 1), Err(Misuse::TrackFinished));
    node.unpublish(now, broadcast).unwrap();
}

#[test]
fn those_that_make_no_sense_are_dropped_without_blame() {
    for version in Version::ALL {
        let mut bench = Bench::new(relay_config(100));
        let publisher = peer(&mut bench, version, true);
        announce(&mut bench, publisher, "cam");
        let now = bench.now();
        let reader = bench.node.subscribe(now, &path("cam"), "video", from(0)).unwrap();
        bench.run();
        accept(&mut bench, publisher, 0);
        let request = bench.requests(publisher, 2)[0];
        let (asked, _) = heard_subscribe(bench.sent(publisher, request), version);
        let id = asked.id;
        send_group(&mut bench, publisher, id, 1, b"stream");
        if version.has_end() {
            respond(&mut bench, publisher, request, &SubscribeResponse::End { group: 3 });
        }
        let mut late = BytesMut::from(&encoded(id, 2, 0, b"")[..]);
        late.truncate(1);
        for data in [
            encoded(id + 1, 0, 0, b"of nobody"),
            encoded(id, 1, 0, b"twice"),
            encoded(id, 3, 0, b"after the end"),
            encoded(id, 2, MAX_TIMESTAMP + 1, b"no timestamp"),
            late.freeze(),
            Bytes::new(),
            encoded(id, 0, 9, b"good"),
            encoded(id, 0, 9, b"again"),
        ] {
            bench.datagram(publisher, &data);
        }
        if version.has_datagrams() {
            send_group(&mut bench, publisher, id, 0, b"as a stream now");
        }
        assert_eq!(violations(&mut bench), [], "{version}");
        let mut groups = Vec::new();
        while let smoq_core::NextGroup::Group { id, sequence } =
            bench.node.next_group(now, reader).unwrap()
        {
            let smoq_core::Read::Chunk(chunk) = bench.node.read(id, 100).unwrap() else {
                panic!("{version}: a group without bytes")
            };
            groups.push((sequence, chunk.data));
        }
        let mut expected = vec![(1, Bytes::from_static(b"stream"))];
        if version.has_datagrams() {
            expected.insert(0, (0, Bytes::from_static(b"good")));
        }
        assert_eq!(groups, expected, "{version}");
    }
}

/// Publishes through a relay. Gives what the viewer has got, and how many there were.
fn through_a_relay(up: Version, down: Version, loss: u64) -> (Viewer, u64) {
    const COUNT: u64 = 50;
    let mut world = world(1);
    world.link = LinkConfig { datagrams: Some(1200), datagram_loss: loss, ..LinkConfig::default() };
    let net = Net::new(&mut world, up, down);
    let source = Source::new(&mut world, net.publisher, "cam", "video");
    world.run_until_idle();
    let mut viewer = Viewer::new(&mut world, net.viewers[0], "cam", "video", from(0));
    world.run_until_idle();
    for index in 0..COUNT {
        let now = world.now();
        let payload = Bytes::from(vec![index as u8; 100]);
        world[source.node].write_datagram(now, source.track, None, index, payload).unwrap();
        world.run_for(std::time::Duration::from_millis(20));
        viewer.read(&mut world);
    }
    source.finish(&mut world);
    world.run_for(std::time::Duration::from_secs(5));
    viewer.read(&mut world);
    assert_quiet(&mut world, &net);
    (viewer, COUNT)
}

#[test]
fn a_relay_passes_them_on() {
    for (up, down) in hops() {
        let (viewer, count) = through_a_relay(up, down, 0);
        assert_eq!(viewer.groups.len() as u64, count, "{up} {down}");
        for (sequence, group) in &viewer.groups {
            assert_eq!(group.bytes(), vec![*sequence as u8; 100], "{up} {down}");
            assert_eq!(group.end, Some(Ok(())), "{up} {down}");
        }
        assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
    }
}

#[test]
fn lost_ones_stop_nobody() {
    for (up, down) in hops() {
        let (viewer, count) = through_a_relay(up, down, 30);
        let got = viewer.groups.len() as u64;
        // What came as a stream goes on as one.
        let lossy = up.has_datagrams();
        assert_eq!(got < count, lossy, "{up} {down}: {got}");
        assert!(got > count / 4, "{up} {down}: {got}");
        assert_eq!(viewer.end, Some(Ok(())), "{up} {down}");
    }
}

#[test]
fn what_control_streams_say_goes_first() {
    for version in having() {
        let (mut bench, _, track) = publisher();
        let viewer = peer(&mut bench, version, true);
        subscribe(&mut bench, viewer, 7, "cam", everything(version));
        bench.grant(viewer, |peer| peer.room = 0);
        write(&mut bench, track, b"datagram");
        let asked = ask_track(&mut bench, viewer, "cam");
        bench.grant(viewer, |peer| peer.room = 1);
        assert_eq!(bench.sent(viewer, asked).bytes.len(), 1, "{version}");
        assert_eq!(bench[viewer].datagrams.len(), 0, "{version}");
        bench.grant(viewer, |peer| peer.room = 1000);
        assert_eq!(bench[viewer].datagrams.len(), 1, "{version}");
        assert!(bench.sent(viewer, asked).fin, "{version}");
    }
}

#[test]
fn they_do_not_wait_for_groups_that_have_no_stream() {
    for version in having() {
        let (mut bench, broadcast, track) = publisher();
        let now = bench.now();
        let other = bench.node.create_track(now, broadcast, "audio", TrackInfo::default()).unwrap();
        let viewer = peer(&mut bench, version, true);
        let urgent = SubscribeParams { priority: 255, ..everything(version) };
        subscribe(&mut bench, viewer, 7, "cam", urgent);
        let (broadcast, name) = (path("cam"), "audio".into());
        let params = everything(version);
        let request = Subscribe { id: 8, broadcast, track: name, params };
        let bytes = typed(BidiType::Subscribe.to_varint(), &request, version);
        bench.open_with(viewer, Dir::Bi, &bytes);
        bench.grant(viewer, |peer| peer.credit[1] = 0);
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.write_frame(now, group, 0, Bytes::from_static(b"video")).unwrap();
        write(&mut bench, other, b"audio");
        assert_eq!(bench[viewer].datagrams, [encoded(8, 0, 500, b"audio")], "{version}");
        assert_eq!(bench.groups(viewer).len(), 0, "{version}");
        bench.grant(viewer, |peer| peer.credit[1] = 1);
        assert_eq!(bench.groups(viewer).len(), 1, "{version}");
    }
}

/// A viewer that takes datagrams and nothing else is no viewer.
#[test]
fn they_hide_no_stream_that_is_stuck() {
    for version in having() {
        let (mut bench, _, track) = publisher();
        let viewer = peer(&mut bench, version, true);
        subscribe(&mut bench, viewer, 7, "cam", everything(version));
        bench.grant(viewer, |peer| peer.stream_window = 10);
        let now = bench.now();
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.write_frame(now, group, 0, Bytes::from_static(&[1; 100])).unwrap();
        bench.run();
        for _ in 0..70 {
            write(&mut bench, track, b"datagram");
            bench.pass(std::time::Duration::from_secs(1));
        }
        let (code, _) = bench[viewer].closed.clone().expect("it was cut off");
        assert_eq!(code, SessionCode::TIMEOUT, "{version}");
    }
}

#[test]
fn they_hide_no_group_that_gets_no_stream() {
    for version in having() {
        let (mut bench, _, track) = publisher();
        let now = bench.now();
        let other = bench.node.publish(now, &path("mic")).unwrap();
        let other = bench.node.create_track(now, other, "video", TrackInfo::default()).unwrap();
        let viewer = peer(&mut bench, version, true);
        bench.grant(viewer, |peer| peer.credit[1] = 0);
        subscribe(&mut bench, viewer, 7, "cam", everything(version));
        subscribe(&mut bench, viewer, 8, "mic", everything(version));
        let now = bench.now();
        let (group, _) = bench.node.create_group(now, track, None).unwrap();
        bench.node.finish_group(now, group).unwrap();
        bench.run();
        for _ in 0..70 {
            write(&mut bench, other, b"datagram");
            bench.pass(std::time::Duration::from_secs(1));
        }
        assert!(bench[viewer].datagrams.len() > 50, "{version}");
        let (code, _) = bench[viewer].closed.clone().expect("it was cut off");
        assert_eq!(code, SessionCode::TIMEOUT, "{version}");
    }
}

#[test]
fn who_wants_later_frames_is_told_that_there_are_none() {
    let version = Version::Lite06;
    let (mut bench, _, track) = publisher();
    let viewer = peer(&mut bench, version, true);
    let from_second = SubscribeParams { start: Some(0), frame_start: 1, ..everything(version) };
    let stream = subscribe(&mut bench, viewer, 7, "cam", from_second);
    write(&mut bench, track, b"zero");
    write(&mut bench, track, b"one");
    assert_eq!(bench[viewer].datagrams, [encoded(7, 1, 500, b"one")]);
    let code = StreamCode::NOT_FOUND.0;
    let dropped = SubscribeResponse::Drop { first: 0, last: 0, code };
    let told = heard_responses(bench.sent(viewer, stream), version);
    assert!(told.contains(&dropped), "{told:?}");
}
