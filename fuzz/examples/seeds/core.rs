//! Seeds of the protocol: golden vectors, what peers say, and recordings.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use smoq_core::{
    Config, SubscribeOptions, Version,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, Cost, FrameHeader, GroupHeader, Hop, Hops,
        Message, Subscribe, SubscribeOk, SubscribeParams, SubscribeResponse, Track, TrackInfo,
        UniType, varint,
    },
};
use smoq_fuzz::core::{session::Op, wire::kind};
use smoq_sim::{Recorder, World};

use crate::{made, write};

#[path = "../../../core/tests/vectors/rows.rs"]
#[expect(dead_code, reason = "their meaning is for tests")]
mod rows;

use rows::{ACCEPTED, CANONICAL, REJECTED, Row, rows};

/// The kinds of `interop/oracle`, in its order.
const ORACLE: [&str; 14] = [
    "setup",
    "announce_ok",
    "track",
    "track_info",
    "datagram",
    "goaway",
    "announce_request",
    "announce",
    "subscribe",
    "update",
    "response",
    "fetch",
    "group",
    "probe",
];

pub(crate) fn seeds() -> io::Result<()> {
    for (value, name) in [(5, "one"), (300, "two"), (70_000, "four"), (varint::MAX, "eight")] {
        write("core_varint", name, &made(|out| varint::encode(value, out)))?;
    }
    let deep = "a/".repeat(32);
    for (name, first, second) in [
        ("below", "room/cam/hd", "room"),
        ("slashes", "//a///b//c/", "/a/b"),
        ("no_prefix", "foobar", "foo"),
        ("pattern", "a/**", "*/b"),
        ("deep", &*deep, "b"),
    ] {
        write(
            "core_path",
            name,
            &[&[first.len() as u8], first.as_bytes(), second.as_bytes()].concat(),
        )?;
    }
    for (file, text) in [("", CANONICAL), ("accepted_", ACCEPTED), ("rejected_", REJECTED)] {
        for Row { version, kinds, bytes, .. } in rows(text) {
            if bytes.len() < 100 {
                let name = format!("{file}{}_{version}", kinds[0]);
                if let Some(kind) = ORACLE.iter().position(|kind| *kind == kinds[0]) {
                    let bytes = [&[number(version), kind as u8], &bytes[..]].concat();
                    write("core_oracle", &name, &bytes)?;
                }
                write(
                    "core_wire",
                    &name,
                    &[&[number(version), kind(kinds[0])], &bytes[..]].concat(),
                )?;
            }
        }
    }
    for version in Version::ALL {
        let (publisher, viewer) = (says_as_publisher(version), says_as_viewer(version));
        for (name, said) in [("publisher", &publisher), ("viewer", &viewer)] {
            let mut bytes = vec![3, number(version)];
            for (place, said) in said {
                bytes.extend_from_slice(&[*place, said.len() as u8]);
                bytes.extend_from_slice(said);
            }
            write("core_stream", &format!("{name}_{version}"), &bytes)?;
        }
        write_sessions(version, &publisher, &viewer)?;
    }
    write_tapes()
}

fn number(version: Version) -> u8 {
    Version::ALL.iter().position(|other| *other == version).expect("one of them") as u8
}

/// What is said on new streams of one way (0, and 5 for both), and on those that the node opened for
/// announcements (2), subscriptions (3) and tracks (4). FIN is 0x80 more, or 125 to the same place.
type Said = Vec<(u8, Vec<u8>)>;

fn says_as_publisher(version: Version) -> Said {
    let mut hops = Hops::new();
    if version.sender_appends_hop() {
        let hop = if version.has_hop_ids() { Hop::new(55) } else { None };
        hops.push(hop.unwrap_or_default()).expect("the first one");
    }
    let cost = if version.has_announce_ids() { Cost::ZERO } else { Cost::UNKNOWN };
    let announce = made(|out| {
        if version.has_announce_ok() {
            AnnounceOk { hop: Hop::new(55).expect("small"), active: 1 }.encode(out, version);
        }
        let suffix = "cam".parse().expect("a good path");
        Announce::Start { suffix, hops, cost }.encode(out, version);
    });
    let info = made(|out| TrackInfo::default().encode(out, version));
    let answer = made(|out| {
        let first = if version.has_end() {
            SubscribeResponse::Start { group: 0 }
        } else {
            SubscribeResponse::Ok(SubscribeOk::default())
        };
        first.encode(out, version);
        SubscribeResponse::Drop { first: 1, last: 1, code: 1 }.encode(out, version);
    });
    let group = |sequence| {
        made(|out| {
            varint::encode(UniType::Group.to_varint(), out);
            GroupHeader { subscribe: 0, sequence, first_frame: 0 }.encode(out, version);
            for size in [3, 0, 20] {
                FrameHeader { delta: 5, size }.encode(out, version);
                out.extend_from_slice(&vec![size as u8; size as usize]);
            }
        })
    };
    vec![(2, announce), (0x80 + 1, info), (3, answer), (0x80 + 2, group(0)), (0x80 + 2, group(2))]
}

fn says_as_viewer(version: Version) -> Said {
    let asked = |kind: BidiType, message: &dyn Fn(&mut BytesMut)| {
        made(|out| {
            varint::encode(kind.to_varint(), out);
            message(out);
        })
    };
    let own: smoq_core::Path = "own".parse().expect("a good path");
    let watch = AnnounceRequest { prefix: smoq_core::Path::root(), exclude_hop: Hop::UNKNOWN };
    let params = SubscribeParams { start: Some(0), ..SubscribeParams::default() };
    let subscribe =
        Subscribe { id: 0, broadcast: own.clone(), track: "video".into(), params: params.clone() };
    let track = Track { broadcast: own, track: "video".into() };
    vec![
        (1, asked(BidiType::Announce, &|out| watch.encode(out, version))),
        (0x80 + 3, asked(BidiType::Track, &|out| track.encode(out, version))),
        (
            1,
            asked(BidiType::Subscribe, &|out| {
                subscribe.encode(out, version);
                params.encode(out, version);
            }),
        ),
    ]
}

/// What an application does, with what peers say in between.
fn write_sessions(version: Version, publisher: &Said, viewer: &Said) -> io::Result<()> {
    use Op::*;
    let versions = [number(version); 2];
    let op = |op: Op, arguments: &[u8]| [&[op as u8], arguments].concat();
    let open = |peer: u8, dir: u8, bytes: &[u8]| {
        [&[Open as u8, peer, dir, bytes.len() as u8], bytes].concat()
    };
    let publishing = [
        op(Publish, &[0]),
        op(CreateTrack, &[0, 0]),
        op(CreateGroup, &[0, 0]),
        op(WriteFrame, &[0, 1, 9]),
        op(StartFrame, &[0, 2, 30]),
        op(WriteChunk, &[0, 10]),
    ];
    let asking = viewer.iter().map(|(_, bytes)| open(0, 0, bytes));
    let ending = [
        op(WriteChunk, &[0, 20]),
        op(FinishGroup, &[0]),
        op(Room, &[0, 50]),
        op(Stop, &[0, 0]),
        op(FinishTrack, &[0]),
        op(Unpublish, &[0]),
        op(Unpublish, &[0]),
    ];
    let bytes: Vec<_> = publishing.into_iter().chain(asking).chain(ending).collect();
    write(
        "core_session",
        &format!("publishes_{version}"),
        &[&versions[..], &bytes.concat()].concat(),
    )?;

    let wanting = [op(Watch, &[3]), op(Subscribe, &[0, 9, 1]), op(Credit, &[0, 9])];
    // The streams that a server opens: 1, 5, 9 both ways, and 3, 7 in one.
    let saying = publisher.iter().map(|(place, bytes)| match place {
        0x82 => open(0, 1, bytes),
        place => [&[Say as u8, 0, 1 + 4 * (place & 3) - 4, bytes.len() as u8], &bytes[..]].concat(),
    });
    let reading = [
        op(PollAnnounced, &[0]),
        op(NextGroup, &[0]),
        op(Read, &[0, 200]),
        op(Read, &[0, 200]),
        op(Update, &[0, 1, 3]),
        op(Pass, &[30]),
        op(Skip, &[0]),
        op(Lose, &[0]),
        op(Unsubscribe, &[0]),
        op(NextGroup, &[0]),
        op(Unwatch, &[0]),
        op(Close, &[1]),
        op(Close, &[1]),
    ];
    let bytes: Vec<_> = wanting.into_iter().chain(saying).chain(reading).collect();
    write(
        "core_session",
        &format!("subscribes_{version}"),
        &[&versions[..], &bytes.concat()].concat(),
    )
}

/// What three nodes in a row heard and were told, without the beginning of each recording.
fn write_tapes() -> io::Result<()> {
    let mut world = World::recorded(1);
    let [publisher, relay, viewer] = [(); 3].map(|()| world.node(Config::default()));
    world.connect(publisher, relay, Version::Lite06, "");
    world.connect(viewer, relay, Version::Lite04, "");
    let (now, path) = (world.now(), "cam".parse().expect("a good path"));
    let node = &mut world[publisher];
    let broadcast = node.publish(now, &path).expect("the first one");
    let track =
        node.create_track(now, broadcast, "t", TrackInfo::default()).expect("the first one");
    let reader = world[viewer].subscribe(now, &path, "t", SubscribeOptions::default());
    let reader = reader.expect("the name is short");
    world.run_for(Duration::from_secs(1));
    let now = world.now();
    let node = &mut world[publisher];
    let (group, _) = node.create_group(now, track, None).expect("a new one");
    node.write_frame(now, group, 5, Bytes::from_static(b"frame")).expect("small");
    node.finish_group(now, group).expect("it is there");
    world.run_for(Duration::from_secs(1));
    let now = world.now();
    world[viewer].unsubscribe(now, reader).expect("it is there");
    world.run_for(Duration::from_secs(1));
    let beginning = Recorder::recording(Config::default(), u64::MAX).recorded().len();
    for (name, node) in [("publisher", publisher), ("relay", relay), ("viewer", viewer)] {
        write("core_tape", name, &world[node].recorded()[beginning..])?;
    }
    Ok(())
}
