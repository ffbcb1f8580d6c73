//! Two codecs, one wire: what smoq-core accepts, moq-net accepts, and the other way round.
//!
//! The messages are random but the same in every run. `SMOQ_MESSAGES` sets how many there are per
//! version; every failure prints the bytes.

mod generate;
mod kind;

use bytes::BytesMut;
use kind::Kind;
use moq_net::fuzz::{LiteSample, lite_wire};
use smoq_core::{
    Version,
    wire::{DatagramHeader, FrameHeader, GroupHeader, Message, Setup, Subscribe},
};

const DEFAULT_MESSAGES: u64 = 1_000_000;

/// The largest body that moq-net reads.
const LIMIT: usize = 64 * 1024 * 1024;

fn messages() -> u64 {
    std::env::var("SMOQ_MESSAGES")
        .map_or(DEFAULT_MESSAGES, |count| count.parse().expect("SMOQ_MESSAGES is a number"))
}

/// How moq-net's oracle numbers the versions.
fn index(version: Version) -> u8 {
    match version {
        Version::Lite03 => 2,
        Version::Lite04 => 3,
        Version::Lite05 => 4,
        Version::Lite06 => 5,
    }
}

/// Whether moq-net reads a message of this kind from the start of `bytes`.
fn theirs(kind: Kind, version: Version, bytes: &[u8]) -> bool {
    let mut input = vec![index(version), kind.oracle()];
    input.extend_from_slice(bytes);
    lite_wire(&input)
}

fn agree_on(version: Version) {
    let mut random = generate::Random::new(u64::from(index(version)));
    let mut accepted = 0;
    for number in 0..messages() {
        let kind = random.pick(Kind::of(version));
        let bytes = random.message(kind, version);
        let context = || format!("message {number}: {kind:?} on {version}: {bytes:02x?}");
        let theirs = |bytes| theirs(kind, version, bytes);
        match kind.take(version, &bytes) {
            Ok(Some(taken)) => {
                accepted += 1;
                assert!(theirs(&bytes), "only smoq reads it\n{}", context());
                let (whole, short) = (&bytes[..taken.used], &bytes[..taken.used - 1]);
                assert!(
                    theirs(whole) && !theirs(short),
                    "smoq reads {} bytes, moq-net does not\n{}",
                    taken.used,
                    context()
                );
                assert_rewritten(kind, version, &taken.rewritten, context);
            }
            Ok(None) => assert!(!theirs(&bytes), "smoq misses bytes\n{}", context()),
            Err(error) => assert!(!theirs(&bytes), "smoq says: {error}\n{}", context()),
        }
    }
    let share = 100 * accepted / messages();
    assert!((30..80).contains(&share), "{share}% accepted: the generator finds no balance");
}

/// What smoq writes must be read by both, and mean the same.
fn assert_rewritten(kind: Kind, version: Version, bytes: &[u8], context: impl Fn() -> String) {
    if bytes.is_empty() {
        return;
    }
    assert!(
        theirs(kind, version, bytes),
        "moq-net refuses what smoq writes: {bytes:02x?}\n{}",
        context()
    );
    let again = kind.take(version, bytes);
    assert!(
        again.is_ok_and(|taken| taken.is_some_and(|taken| taken.rewritten == bytes)),
        "smoq reads back something else: {bytes:02x?}\n{}",
        context()
    );
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
