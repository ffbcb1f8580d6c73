//! What a node expects of every transport. A transport joins with a [`Harness`] and a line in `suite!`.

mod link;
mod memory;
mod quic;

use bytes::Bytes;
use smoq_core::{
    Closed, ClosedBy, Dir, StreamId,
    binding::Transport,
    wire::{SessionCode, StreamCode},
};

use crate::listener::Listener;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Client,
    Server,
}
use End::{Client, Server};

/// What one end allows the other.
#[derive(Clone, Copy)]
struct Credit {
    /// Streams of each direction at a time.
    streams: u32,
    /// Bytes of each stream on the way.
    bytes: u32,
}

/// Enough for everything that does not test it.
const AMPLE: Credit = Credit { streams: 16, bytes: 1 << 20 };

/// All of the registry, some of applications, and some of those that look like codes of HTTP/3.
fn codes() -> impl Iterator<Item = StreamCode> {
    let registry = (0..=5).chain([0x12]).chain(0x30..=0x39).map(StreamCode);
    let numbers = [0, 0x100 - 64, 0x10c - 64, 0x200 - 64, u16::MAX];
    registry.chain(numbers.map(StreamCode::application))
}

/// Two connected ends of a transport, and what they have heard. Both know a stream by the same id.
trait Harness {
    fn new(credit: Credit) -> Self;
    fn transport(&mut self, end: End) -> impl Transport;
    /// Lets something happen between the two; `false` if all is quiet.
    fn turn(&mut self) -> bool;
    fn log(&mut self, end: End) -> &mut Log;

    fn settle(&mut self) {
        while self.turn() {}
    }
}

/// What one end was told.
#[derive(Default)]
struct Log {
    opened: Vec<(StreamId, Dir)>,
    /// Pieces in the order of their arrival.
    pieces: Vec<(StreamId, Bytes)>,
    ended: Vec<StreamId>,
    reset: Vec<(StreamId, StreamCode)>,
    stopped: Vec<(StreamId, StreamCode)>,
    acked: Vec<StreamId>,
    writable: Vec<StreamId>,
    datagrams: Vec<Bytes>,
    closed: Option<Closed>,
}

impl Listener for Log {
    fn opened(&mut self, stream: StreamId, dir: Dir) {
        self.opened.push((stream, dir));
    }
    fn received(&mut self, stream: StreamId, data: Bytes, fin: bool) {
        assert!(!self.ended.contains(&stream), "bytes after the end");
        self.pieces.push((stream, data));
        self.ended.extend(fin.then_some(stream));
    }
    fn reset(&mut self, stream: StreamId, code: StreamCode) {
        self.reset.push((stream, code));
    }
    fn stopped(&mut self, stream: StreamId, code: StreamCode) {
        self.stopped.push((stream, code));
    }
    fn acked(&mut self, stream: StreamId) {
        self.acked.push(stream);
    }
    fn writable(&mut self, stream: StreamId) {
        self.writable.push(stream);
    }
    fn datagram(&mut self, data: Bytes) {
        self.datagrams.push(data);
    }
}

impl Log {
    fn bytes(&self, stream: StreamId) -> Vec<u8> {
        let pieces = self.pieces.iter().filter(|(of, _)| *of == stream);
        pieces.flat_map(|(_, piece)| piece.clone()).collect()
    }
}

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at / 251 + at) as u8).collect()
}

fn write(transport: &mut impl Transport, stream: StreamId, data: &[Bytes]) -> usize {
    transport.write(stream, &mut data.to_vec())
}

/// Writes all of `data`, over as many turns as it takes, and ends the stream.
fn write_all<H: Harness>(harness: &mut H, end: End, stream: StreamId, mut data: Bytes) {
    while !data.is_empty() {
        let taken = write(&mut harness.transport(end), stream, &[data.clone()]);
        let _ = data.split_to(taken);
        if !data.is_empty() {
            harness.log(end).writable.clear();
            harness.settle();
            assert!(harness.log(end).writable.contains(&stream), "blocked for good");
        }
    }
    harness.transport(end).finish(stream);
    harness.settle();
}

fn streams_go_both_ways<H: Harness>() {
    for (opener, other) in [(Client, Server), (Server, Client)] {
        let mut harness = H::new(AMPLE);
        for dir in [Dir::Bi, Dir::Uni] {
            let mut transport = harness.transport(opener);
            let stream = transport.open(dir).expect("credit for a stream");
            let data = [pattern(3), Bytes::new(), pattern(5000)];
            assert_eq!(write(&mut transport, stream, &data), 5003);
            transport.finish(stream);
            drop(transport);
            harness.settle();

            let log = harness.log(other);
            let (seen, seen_dir) = log.opened.pop().expect("the stream was announced");
            assert_eq!(seen_dir, dir);
            assert_eq!(log.bytes(seen), data.concat());
            assert_eq!(log.ended, [seen]);
            log.ended.clear();
            assert_eq!(harness.log(opener).acked, [stream]);
            harness.log(opener).acked.clear();

            if dir == Dir::Bi {
                write_all(&mut harness, other, seen, pattern(777));
                assert_eq!(harness.log(opener).bytes(stream), pattern(777));
                assert_eq!(harness.log(opener).ended, [stream]);
                assert_eq!(harness.log(other).acked, [seen]);
                harness.log(other).acked.clear();
            }
        }
    }
}

fn a_stream_may_end_without_a_byte<H: Harness>() {
    let mut harness = H::new(AMPLE);
    let stream = harness.transport(Client).open(Dir::Uni).unwrap();
    harness.transport(Client).finish(stream);
    harness.settle();
    let log = harness.log(Server);
    let seen = log.opened[0].0;
    assert_eq!((log.bytes(seen), &*log.ended), (Vec::new(), &[seen][..]));
    assert_eq!(harness.log(Client).acked, [stream]);
}

fn the_end_may_come_later<H: Harness>() {
    let mut harness = H::new(AMPLE);
    let stream = harness.transport(Client).open(Dir::Uni).unwrap();
    write(&mut harness.transport(Client), stream, &[pattern(10)]);
    harness.settle();
    let seen = harness.log(Server).opened[0].0;
    assert_eq!(harness.log(Server).bytes(seen), pattern(10));
    assert_eq!(harness.log(Server).ended, []);
    harness.transport(Client).finish(stream);
    harness.settle();
    assert_eq!(harness.log(Server).ended, [seen]);
    assert_eq!(harness.log(Server).bytes(seen), pattern(10));
}

fn reset_codes_arrive<H: Harness>() {
    for code in codes() {
        let mut harness = H::new(AMPLE);
        let stream = harness.transport(Client).open(Dir::Uni).unwrap();
        write(&mut harness.transport(Client), stream, &[pattern(10)]);
        harness.settle();
        harness.transport(Client).reset(stream, code);
        harness.settle();
        let seen = harness.log(Server).opened[0].0;
        assert_eq!(harness.log(Server).reset, [(seen, code)]);
        assert_eq!(harness.log(Server).ended, []);
        assert_eq!(harness.log(Client).acked, []);
    }
}

fn stop_codes_arrive<H: Harness>() {
    for code in codes() {
        let mut harness = H::new(AMPLE);
        let stream = harness.transport(Client).open(Dir::Uni).unwrap();
        write(&mut harness.transport(Client), stream, &[pattern(10)]);
        harness.settle();
        let seen = harness.log(Server).opened[0].0;
        harness.transport(Server).stop(seen, code);
        harness.settle();
        assert_eq!(harness.log(Client).stopped, [(stream, code)]);
        assert_eq!(write(&mut harness.transport(Client), stream, &[pattern(10)]), 0);
        harness.transport(Client).reset(stream, StreamCode::CANCEL);
        harness.settle();
        assert_eq!(harness.log(Server).bytes(seen), pattern(10));
        assert_eq!(harness.log(Server).reset, []);
    }
}

fn stream_credit_runs_out_and_returns<H: Harness>() {
    let mut harness = H::new(Credit { streams: 2, ..AMPLE });
    for dir in [Dir::Bi, Dir::Uni] {
        let streams = [(); 2].map(|()| harness.transport(Client).open(dir).expect("credit"));
        assert_eq!(harness.transport(Client).open(dir), None);
        for stream in streams {
            harness.transport(Client).finish(stream);
        }
        harness.settle();
        if dir == Dir::Bi {
            assert_eq!(harness.transport(Client).open(dir), None, "the answers are missing");
            for (seen, _) in std::mem::take(&mut harness.log(Server).opened) {
                harness.transport(Server).finish(seen);
            }
            harness.settle();
        }
        assert_ne!(harness.transport(Client).open(dir), None, "{dir:?}");
    }
}

fn byte_credit_runs_out_and_returns<H: Harness>() {
    let mut harness = H::new(Credit { bytes: 10_000, ..AMPLE });
    let stream = harness.transport(Client).open(Dir::Uni).unwrap();
    let data = pattern(100_000);
    let taken = write(&mut harness.transport(Client), stream, std::slice::from_ref(&data));
    assert_eq!(taken, 10_000);
    assert_eq!(harness.log(Client).writable, []);
    harness.settle();
    assert_eq!(harness.log(Client).writable, [stream]);
    write_all(&mut harness, Client, stream, data.slice(taken..));
    let seen = harness.log(Server).opened[0].0;
    assert_eq!(harness.log(Server).bytes(seen), data);
}

fn room_runs_out_and_returns<H: Harness>() {
    let mut harness = H::new(AMPLE);
    let stream = harness.transport(Client).open(Dir::Uni).unwrap();
    let mut given = 0;
    loop {
        let room = harness.transport(Client).room();
        if room == 0 {
            break;
        }
        given += write(&mut harness.transport(Client), stream, &[pattern(room)]);
        assert!(given < 1 << 20, "there is no end of room");
    }
    assert!(given > 1200, "no packet can be filled");
    harness.settle();
    assert!(harness.transport(Client).room() > 1200);
    let seen = harness.log(Server).opened[0].0;
    assert_eq!(harness.log(Server).bytes(seen).len(), given);
}

fn the_most_urgent_stream_goes_first<H: Harness>() {
    let mut harness = H::new(AMPLE);
    let mut transport = harness.transport(Client);
    let [low, high, middle] = [1, 3, 2].map(|priority| {
        let stream = transport.open(Dir::Uni).unwrap();
        transport.set_priority(stream, priority);
        write(&mut transport, stream, &[pattern(40_000)]);
        transport.finish(stream);
        stream
    });
    drop(transport);
    harness.settle();
    assert_eq!(harness.log(Server).ended, [high, middle, low]);
}

fn what_is_more_urgent_overtakes<H: Harness>() {
    let mut harness = H::new(AMPLE);
    let mut transport = harness.transport(Client);
    let low = transport.open(Dir::Uni).unwrap();
    transport.set_priority(low, 1);
    write(&mut transport, low, &[pattern(200_000)]);
    drop(transport);
    while harness.log(Server).pieces.is_empty() {
        assert!(harness.turn());
    }
    let mut transport = harness.transport(Client);
    let high = transport.open(Dir::Uni).unwrap();
    transport.set_priority(high, 2);
    write(&mut transport, high, &[pattern(10)]);
    drop(transport);
    harness.settle();
    let log = harness.log(Server);
    let first = log.opened[0].0;
    let last_high = log.pieces.iter().rposition(|(stream, _)| *stream != first).unwrap();
    let after: usize = log.pieces[last_high..].iter().map(|(_, piece)| piece.len()).sum();
    assert!(after > 100_000, "only {after} bytes were overtaken");
}

fn what_has_ended_can_be_ended_again<H: Harness>() {
    let mut harness = H::new(AMPLE);
    let stream = harness.transport(Client).open(Dir::Bi).unwrap();
    write_all(&mut harness, Client, stream, pattern(10));
    let seen = harness.log(Server).opened[0].0;
    write_all(&mut harness, Server, seen, pattern(10));
    for (end, stream) in [(Client, stream), (Server, seen)] {
        let mut transport = harness.transport(end);
        transport.reset(stream, StreamCode::CANCEL);
        transport.stop(stream, StreamCode::CANCEL);
        transport.set_priority(stream, 5);
        transport.finish(stream);
    }
    harness.settle();
    for end in [Client, Server] {
        assert_eq!(harness.log(end).reset, []);
        assert_eq!(harness.log(end).stopped, []);
        assert_eq!(harness.log(end).closed, None);
    }
}

fn the_reason_for_closing_arrives<H: Harness>() {
    let mut harness = H::new(AMPLE);
    harness.transport(Server).close(SessionCode::UNAUTHORIZED, "no ticket");
    harness.settle();
    let closed = harness.log(Client).closed.take().expect("the close arrived");
    assert_eq!(closed.by, ClosedBy::Peer);
    assert_eq!(closed.code, SessionCode::UNAUTHORIZED);
    assert_eq!(closed.reason, "no ticket");
    assert_eq!(harness.log(Server).closed, None);
}

fn datagrams_go_both_ways<H: Harness>() {
    let mut harness = H::new(AMPLE);
    for (from, to) in [(Client, Server), (Server, Client)] {
        let mut transport = harness.transport(from);
        let largest = transport.datagram_room().min(64 << 10);
        // What is promised to pass everywhere.
        assert!(largest >= 1100 + 24, "{largest}");
        let datagrams = [pattern(largest), Bytes::new(), pattern(1)];
        datagrams.iter().for_each(|data| transport.send_datagram(data.clone()));
        drop(transport);
        harness.settle();
        assert_eq!(harness.log(to).datagrams, datagrams);
        assert_eq!(harness.log(from).datagrams.len(), usize::from(from == Server) * 3);
    }
}

macro_rules! suite {
    ($($(#[$when:meta])? $name:ident: $harness:ty;)*) => {
        $($(#[$when])? mod $name {
            suite! { @tests $harness:
                streams_go_both_ways
                a_stream_may_end_without_a_byte
                the_end_may_come_later
                reset_codes_arrive
                stop_codes_arrive
                stream_credit_runs_out_and_returns
                byte_credit_runs_out_and_returns
                room_runs_out_and_returns
                what_has_ended_can_be_ended_again
                the_reason_for_closing_arrives
                datagrams_go_both_ways
            }
        })*
    };
    // Where some of what was written waits, its order counts. A link delivers it all at once.
    (@ordered $($(#[$when:meta])? $name:ident: $harness:ty;)*) => {
        mod ordered {
            $($(#[$when])? mod $name {
                suite! { @tests $harness:
                    the_most_urgent_stream_goes_first
                    what_is_more_urgent_overtakes
                }
            })*
        }
    };
    (@tests $harness:ty: $($test:ident)*) => {
        $(#[test]
        fn $test() {
            crate::tests::conformance::$test::<$harness>();
        })*
    };
}

suite! {
    raw_quic: crate::tests::conformance::quic::Pair<crate::tests::conformance::quic::Raw>;
    #[cfg(feature = "h3")]
    web_transport: crate::tests::conformance::quic::Pair<crate::tests::conformance::quic::Web>;
    in_memory: crate::tests::conformance::memory::Pair;
    in_process: crate::tests::conformance::link::Pair;
}

suite! { @ordered
    raw_quic: crate::tests::conformance::quic::Pair<crate::tests::conformance::quic::Raw>;
    #[cfg(feature = "h3")]
    web_transport: crate::tests::conformance::quic::Pair<crate::tests::conformance::quic::Web>;
    in_memory: crate::tests::conformance::memory::Pair;
}
