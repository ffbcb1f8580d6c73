//! Two codecs, one wire: what smoq-core accepts, moq-net accepts, and the other way round.
//!
//! The messages are random but the same in every run. `SMOQ_MESSAGES` sets how many there are per
//! version; every failure prints the bytes.

mod generate;

use std::{fs, path::Path};

use bytes::BytesMut;
use moq_net::fuzz::LiteSample;
use moq_oracle::{Kind, LIMIT, agree, core_oracle, index, theirs};
use smoq_core::{
    Version,
    wire::{DatagramHeader, FrameHeader, GroupHeader, Message, Setup, Subscribe},
};

const DEFAULT_MESSAGES: u64 = 1_000_000;

fn messages() -> u64 {
    std::env::var("SMOQ_MESSAGES")
        .map_or(DEFAULT_MESSAGES, |count| count.parse().expect("SMOQ_MESSAGES is a number"))
}

fn agree_on(version: Version) {
    let mut random = generate::Random::new(u64::from(index(version)));
    let mut accepted = 0;
    for _ in 0..messages() {
        let kind = random.pick(Kind::of(version));
        let bytes = random.message(kind, version);
        accepted += u64::from(agree(kind, version, &bytes).is_ok());
    }
    let share = 100 * accepted / messages();
    assert!((30..80).contains(&share), "{share}% accepted: the generator finds no balance");
}

#[test]
fn lite_03_agrees() {
    agree_on(Version::Lite03);
}

#[test]
fn lite_04_agrees() {
    agree_on(Version::Lite04);
}

#[test]
fn lite_05_agrees() {
    agree_on(Version::Lite05);
}

#[test]
fn lite_06_agrees() {
    agree_on(Version::Lite06);
}

/// Seeds, past crashes and their neighbours, as `fuzz/tests/replay.rs` does it for the other bodies.
#[test]
fn fuzz_inputs_agree() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let folders = ["seeds", "crashes"].map(|folder| fuzz.join(folder).join("core_oracle"));
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut count = 0;
    for file in files {
        let mut data = fs::read(file.unwrap().path()).unwrap();
        (0..=data.len()).for_each(|cut| core_oracle(&data[..cut]));
        for bit in 0..8 * data.len() {
            data[bit / 8] ^= 1 << (bit % 8);
            core_oracle(&data);
            data[bit / 8] ^= 1 << (bit % 8);
        }
        count += 1;
    }
    assert!(count > 20, "the seeds are not there");
}

/// A generator that never breaks a rule would not notice that the rule is missing.
#[test]
fn every_rule_is_broken_by_some_message() {
    let mut missing = vec![
        "Truncated",
        "TrailingBytes",
        "TooLong",
        "InvalidUtf8",
        "Path(TooManySegments",
        "Hops(TooMany",
        "Hops(Duplicate",
        "DuplicateParameter",
        "TooManyParameters",
        "InvalidStatus",
        "UnknownType",
        "FrameBoundWithoutGroupBound",
        "EmptyFrameRange",
        "ZeroTimescale",
        "UriTooLong",
    ];
    for version in Version::ALL {
        let mut random = generate::Random::new(u64::from(index(version)));
        for _ in 0..200_000 {
            let kind = random.pick(Kind::of(version));
            if let Err(error) = kind.take(version, &random.message(kind, version)) {
                let error = format!("{error:?}");
                missing.retain(|rule| !error.starts_with(rule));
            }
        }
    }
    assert!(missing.is_empty(), "no message breaks the rules {missing:?}");
}

/// Reads a sample of moq-net with `M` and writes it again.
fn recoded<M: Message>(sample: &[u8], version: Version) -> Vec<u8> {
    let (message, used) = M::take(sample, LIMIT, version)
        .expect("moq-net writes valid messages")
        .expect("moq-net writes whole messages");
    assert_eq!(used, sample.len());
    let mut out = BytesMut::new();
    message.encode(&mut out, version);
    out.to_vec()
}

#[test]
fn samples_of_moq_net_are_written_alike() {
    for version in Version::ALL {
        let name: moq_net::Version = version.alpn().parse().expect("moq-net has all our versions");
        for sample in LiteSample::ALL {
            if matches!(sample, LiteSample::Datagram | LiteSample::Setup) && !version.has_setup() {
                continue;
            }
            let bytes = sample.encode(name);
            let ours = match sample {
                LiteSample::Video | LiteSample::Audio => frame_headers(&bytes, version),
                LiteSample::Group => recoded::<GroupHeader>(&bytes, version),
                LiteSample::Subscribe => subscribe(&bytes, version),
                LiteSample::Datagram => datagram(&bytes),
                LiteSample::Setup => setup(&bytes, version),
            };
            assert_eq!(ours, bytes, "{sample:?} on {version}");
        }
    }
}

/// The samples have timestamps on every version, although frames carry them from 05 only.
fn frame_headers(sample: &[u8], version: Version) -> Vec<u8> {
    let version = version.max(Version::Lite05);
    let (mut rest, mut out) = (sample, BytesMut::new());
    while let Some((header, used)) = FrameHeader::take(rest, version) {
        header.encode(&mut out, version);
        rest = &rest[used..];
    }
    assert!(rest.is_empty(), "every header is whole");
    out.to_vec()
}

fn datagram(sample: &[u8]) -> Vec<u8> {
    let (header, payload) = DatagramHeader::take(sample).expect("moq-net writes valid datagrams");
    assert_eq!(payload, sample.len());
    let mut out = BytesMut::new();
    header.encode(&mut out);
    out.to_vec()
}

/// smoq writes slashes around paths on 04, which moq-net does not mind and does not do.
fn subscribe(sample: &[u8], version: Version) -> Vec<u8> {
    let ours = recoded::<Subscribe>(sample, version);
    if !version.slashed_paths() {
        return ours;
    }
    assert!(theirs(Kind::Subscribe, version, &ours));
    assert_eq!(ours.len(), sample.len() + 1);
    sample.to_vec()
}

/// moq-net writes parameters in a random order, so the values are compared instead.
fn setup(sample: &[u8], version: Version) -> Vec<u8> {
    let ours = recoded::<Setup>(sample, version);
    let read = |bytes| Setup::take(bytes, LIMIT, version).map(|taken| taken.map(|taken| taken.0));
    assert_eq!(read(&ours), read(sample));
    assert_eq!(ours.len(), sample.len());
    sample.to_vec()
}
