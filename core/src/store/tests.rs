//! Groups and cursors against a plain model: a list of frames.

use alloc::{vec, vec::Vec};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{Ahead, Cursor, Form, Group, GroupEnd, GroupError};
use crate::{
    Id, Limits, Time, Version,
    wire::{FrameHeader, StreamCode},
};

fn group() -> Group {
    Group::new(Id::numbered(0), 7, 0, None)
}

/// What the frames look like on the wire, the delta counting from zero at the first one.
fn encoded(frames: &[(u64, Vec<u8>)], version: Version) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut before = 0;
    for (timestamp, payload) in frames {
        let header = FrameHeader { delta: *timestamp as i64 - before, size: payload.len() as u64 };
        header.encode(&mut out, version);
        out.extend_from_slice(payload);
        before = *timestamp as i64;
    }
    out.to_vec()
}

/// Takes all that is there, in steps of at most `step` bytes, of which each time only a part is taken.
fn drain(cursor: &mut Cursor, group: &mut Group, step: usize, got: &mut Vec<u8>) -> Ahead {
    let mut chunks = Vec::new();
    loop {
        chunks.clear();
        let (offered, ahead) = cursor.peek(group, step, &mut chunks);
        assert_eq!(offered, chunks.iter().map(Bytes::len).sum::<usize>());
        assert!(offered <= step);
        if offered == 0 {
            return ahead;
        }
        let take = offered.div_ceil(2);
        got.extend(chunks.iter().flatten().take(take));
        cursor.advance(group, take);
    }
}

fn frames() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..90),
        Just(vec![7; 3000]),
        Just(vec![9; 40_000])
    ];
    prop::collection::vec((0..100_000_u64, payload), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_gets_the_wire_form_of_its_version(
        frames in frames(),
        pieces in 1..5000_usize,
        step in 1..2000_usize,
        late in 0..9_usize,
        whole: bool,
    ) {
        let limits = Limits::default();
        let mut group = group();
        let mut readers: Vec<_> = [Version::Lite03, Version::Lite06]
            .into_iter()
            .flat_map(|version| [(version, 0), (version, late)])
            .map(|(version, joins)| (version, joins, Cursor::new(version.into(), 0, None), Vec::new()))
            .collect();
        for (index, (timestamp, payload)) in frames.iter().enumerate() {
            let mut pieces = payload.chunks(pieces);
            if whole {
                let payload = Bytes::copy_from_slice(payload);
                group.write_frame(Time::ZERO, *timestamp, payload, &limits).unwrap();
                pieces = [].chunks(1);
            } else {
                group.start_frame(Time::ZERO, *timestamp, payload.len() as u64, &limits).unwrap();
            }
            loop {
                for (_, joins, cursor, got) in &mut readers {
                    if *joins <= index {
                        prop_assert_eq!(drain(cursor, &mut group, step, got), Ahead::More);
                    }
                }
                let Some(piece) = pieces.next() else { break };
                group.append(Time::ZERO, piece).unwrap();
            }
        }
        group.finish(Time::ZERO, GroupEnd::Complete);
        for (version, _, cursor, got) in &mut readers {
            prop_assert_eq!(drain(cursor, &mut group, step, got), Ahead::End);
            prop_assert_eq!(&*got, &encoded(&frames, *version));
        }
    }

    #[test]
    fn bounds_cut_between_frames(frames in frames(), first in 0..9_u64, last in 0..9_u64, step in 1..500_usize) {
        let limits = Limits::default();
        let mut group = group();
        let mut cursor = Cursor::new(Form::Timed, first, Some(last));
        let mut got = Vec::new();
        let mut ahead = Ahead::More;
        for (timestamp, payload) in &frames {
            group.start_frame(Time::ZERO, *timestamp, payload.len() as u64, &limits).unwrap();
            group.append(Time::ZERO, payload).unwrap();
            ahead = drain(&mut cursor, &mut group, step, &mut got);
        }
        let inside = frames.len() as u64 <= last;
        prop_assert_eq!(ahead == Ahead::More, frames.is_empty() || inside || first > last && first >= frames.len() as u64);
        group.finish(Time::ZERO, GroupEnd::Complete);
        prop_assert_eq!(drain(&mut cursor, &mut group, step, &mut got), Ahead::End);
        let wanted: Vec<_> =
            (0..).zip(&frames).filter(|(index, _)| (first..=last).contains(index)).map(|(_, frame)| frame.clone()).collect();
        if first <= last {
            prop_assert_eq!(got, encoded(&wanted, Version::Lite06));
        }
    }

    #[test]
    fn the_application_reads_frames(frames in frames(), pieces in 1..5000_usize, max in 1..2000_usize) {
        let limits = Limits::default();
        let mut group = group();
        let mut cursor = Cursor::new(Form::Timed, 0, None);
        let mut got: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut read = |group: &mut Group| {
            while let Some(chunk) = cursor.read(group, max) {
                assert!(chunk.data.len() <= max);
                if chunk.offset == 0 {
                    got.push((chunk.timestamp, Vec::new()));
                }
                assert_eq!(chunk.frame + 1, got.len() as u64);
                let payload = &mut got.last_mut().unwrap().1;
                assert_eq!(chunk.offset, payload.len() as u64);
                payload.extend_from_slice(&chunk.data);
                assert_eq!(chunk.is_last(), payload.len() as u64 == chunk.size);
            }
            cursor.is_done(group)
        };
        for (timestamp, payload) in &frames {
            group.start_frame(Time::ZERO, *timestamp, payload.len() as u64, &limits).unwrap();
            for piece in payload.chunks(pieces) {
                group.append(Time::ZERO, piece).unwrap();
                prop_assert!(!read(&mut group));
            }
        }
        group.finish(Time::ZERO, GroupEnd::Complete);
        prop_assert!(read(&mut group));
        prop_assert_eq!(got, frames);
    }
}

#[test]
fn a_frame_takes_what_it_was_started_with() {
    let limits = Limits { group_frames: 2, group_bytes: 1000, ..Limits::default() };
    let mut group = group();
    let start = |group: &mut Group, timestamp, size| {
        group.start_frame(Time::ZERO, timestamp, size, &limits)
    };
    assert_eq!(start(&mut group, 1 << 61, 1), Err(GroupError::Timestamp));
    assert_eq!(start(&mut group, 0, 985), Err(GroupError::TooLarge));
    assert_eq!(start(&mut group, 0, u64::MAX), Err(GroupError::TooLarge));
    assert_eq!(start(&mut group, 0, 2), Ok(()));
    assert_eq!(start(&mut group, 0, 2), Err(GroupError::Unfinished));
    assert_eq!(group.append(Time::ZERO, &[1, 2, 3]), Err(GroupError::Overflow));
    assert_eq!(group.append(Time::ZERO, &[1, 2]), Ok(()));
    assert_eq!(start(&mut group, 0, 0), Ok(()));
    assert_eq!(start(&mut group, 0, 0), Err(GroupError::TooLarge));
    group.finish(Time::ZERO, GroupEnd::Complete);
    assert_eq!(start(&mut group, 0, 0), Err(GroupError::Finished));
    assert_eq!(group.append(Time::ZERO, &[]), Err(GroupError::Finished));
}

#[test]
fn a_group_that_was_cut_off_says_so() {
    let mut group = group();
    group.finish(Time::ZERO, GroupEnd::Reset(StreamCode::OLD));
    let mut cursor = Cursor::new(Form::Timed, 0, None);
    assert_eq!(cursor.peek(&mut group, 9, &mut Vec::new()), (0, Ahead::Reset(StreamCode::OLD)));
}

#[test]
fn small_frames_are_gathered() {
    let mut group = group();
    for index in 0..1000 {
        group.start_frame(Time::ZERO, index, 64, &Limits::default()).unwrap();
        group.append(Time::ZERO, &[0; 64]).unwrap();
    }
    let (mut cursor, mut chunks) = (Cursor::new(Form::Timed, 0, None), Vec::new());
    assert_eq!(cursor.peek(&mut group, usize::MAX, &mut chunks).0, group.len());
    assert!(chunks.len() <= 12, "{} chunks", chunks.len());
    assert!(group.cost() < 2 * 1000 * (64 + 3) + 1000 * 60, "{} bytes", group.cost());
}
