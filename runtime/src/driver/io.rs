//! Datagrams between the socket and the endpoint, a bounded number per turn.

use std::{
    io::{self, IoSliceMut},
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;
use quinn_udp::{EcnCodepoint, RecvMeta};
use smoq_quic::{Endpoint, Transmit};

use crate::{runtime::Socket, udp::Report};

/// Buffers per receive call, and receive calls per turn.
const BUFFERS: usize = 8;
const RECEIVES: usize = 16;
/// Send calls per turn: what is received waits for so many.
const SENDS: usize = 32;
/// Datagrams in one send call. More overrun the buffers of a peer on a fast path: on loopback the losses
/// halve the rate.
const MAX_SEGMENTS: usize = 10;
/// Bytes of one buffer: at most what one UDP datagram, or one batch of received ones, can have.
const MAX_BUFFER: usize = 1 << 16;
/// Bytes of one datagram that we let peers send: Ethernet's 1500 and some.
const MAX_DATAGRAM: usize = 2048;
/// Failed receive calls in a row after which the socket is taken for dead.
const MAX_FAILURES: usize = 1000;

/// How far [`Io::flush`] got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flush {
    /// Everything is sent.
    Idle,
    /// The socket is full. The task is woken when it is not.
    Blocked,
    /// The socket is full and says that it is not: an executor may take a socket for writable for ever
    /// once it has had an ICMP error. Only time tells when it has room.
    Full,
    /// There is more, but it is somebody else's turn.
    Budget,
}

/// The socket and its buffers.
pub(super) struct Io<S> {
    pub(super) socket: S,
    buffers: Vec<u8>,
    outgoing: Vec<u8>,
    /// What `outgoing` holds that a full socket refused.
    held: Option<Transmit>,
    failures: usize,
}

impl<S: Socket> Io<S> {
    pub(super) fn new(socket: S) -> Self {
        let size = (socket.gro_segments() * MAX_DATAGRAM).min(MAX_BUFFER);
        Self {
            socket,
            buffers: vec![0; size * BUFFERS],
            outgoing: Vec::new(),
            held: None,
            failures: 0,
        }
    }

    pub(super) fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        self.socket.poll_report(cx)
    }

    /// Receives until the socket is empty, or until it is somebody else's turn (`true`). Fails when the
    /// socket seems dead.
    pub(super) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        endpoint: &mut Endpoint,
    ) -> io::Result<bool> {
        let size = self.buffers.len() / BUFFERS;
        for _ in 0..RECEIVES {
            let mut chunks = self.buffers.chunks_mut(size);
            let mut slices: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let mut meta = [RecvMeta::default(); BUFFERS];
            let count = match self.socket.poll_recv(cx, &mut slices, &mut meta) {
                Poll::Pending => {
                    self.failures = 0;
                    return Ok(false);
                }
                Poll::Ready(Ok(count)) => count,
                // Most often an ICMP report about an earlier datagram; the error queue has the details.
                Poll::Ready(Err(error)) => {
                    self.failures += 1;
                    if self.failures > MAX_FAILURES {
                        return Err(error);
                    }
                    tracing::debug!(%error, "receive failed");
                    continue;
                }
            };
            self.failures = 0;
            for (meta, buffer) in meta[..count].iter().zip(self.buffers.chunks(size)) {
                let ecn = meta.ecn.map_or(0, |ecn| ecn as u8);
                // Each gets memory of its own: what is kept of one must not pin its whole batch.
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    let (remote, datagram) = (meta.addr, BytesMut::from(datagram));
                    endpoint.handle_datagram(now, remote, meta.dst_ip, ecn, datagram);
                }
            }
        }
        Ok(true)
    }

    /// Sends what the endpoint has, beginning with what the socket refused last time.
    pub(super) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        endpoint: &mut Endpoint,
    ) -> Flush {
        for _ in 0..SENDS {
            let segments = self.socket.max_gso_segments().min(MAX_SEGMENTS);
            let next = self.held.take();
            let next = next.or_else(|| endpoint.poll_transmit(now, segments, &mut self.outgoing));
            let Some(transmit) = next else {
                return Flush::Idle;
            };
            match self.send(cx, now, endpoint, &transmit) {
                Flush::Idle | Flush::Budget => {}
                full @ (Flush::Blocked | Flush::Full) => {
                    self.held = Some(transmit);
                    return full;
                }
            }
        }
        Flush::Budget
    }

    /// Idle when the socket took it, or never will.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        endpoint: &mut Endpoint,
        transmit: &Transmit,
    ) -> Flush {
        let datagrams = quinn_udp::Transmit {
            destination: transmit.remote,
            ecn: EcnCodepoint::from_bits(transmit.ecn),
            contents: &self.outgoing[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.local_ip,
        };
        let mut failed = false;
        let mut refused = false;
        loop {
            match self.socket.try_send(&datagrams) {
                Ok(()) => return Flush::Idle,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.socket.poll_writable(cx).is_pending() {
                        return Flush::Blocked;
                    }
                    if refused {
                        return Flush::Full;
                    }
                    refused = true;
                }
                // It may be a report about an earlier datagram, which kept this one from being sent.
                // After that it is as if the network had lost it; probes of the path MTU end here.
                Err(error) if failed => {
                    tracing::debug!(%error, remote = %transmit.remote, "send failed");
                    if lasts(error.kind()) {
                        endpoint.handle_send_error(now, transmit.remote, &error);
                    }
                    return Flush::Idle;
                }
                Err(_) => failed = true,
            }
        }
    }
}

/// Whether sending to the same address will fail again.
fn lasts(error: io::ErrorKind) -> bool {
    matches!(
        error,
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::{net::SocketAddr, task::Waker};

    use smoq_quic::{ClientTls, ConnectError, EndpointConfig, Event, Target, Trust};

    use super::*;

    /// Takes so many batches, and fails so many calls before.
    #[derive(Default)]
    pub(in crate::driver) struct Fake {
        pub(in crate::driver) room: usize,
        pub(in crate::driver) failures: usize,
        /// What they fail with, if not for a refused connection.
        pub(in crate::driver) error: Option<io::ErrorKind>,
        /// Says that there is room when there is none.
        pub(in crate::driver) lies: bool,
        pub(in crate::driver) sent: Vec<Vec<u8>>,
        /// Receive calls that fail before there is nothing to receive.
        pub(in crate::driver) receive_failures: usize,
        pub(in crate::driver) receives: usize,
    }

    impl Socket for Fake {
        fn poll_recv(
            &mut self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            self.receives += 1;
            match self.receive_failures.checked_sub(1) {
                Some(left) => {
                    self.receive_failures = left;
                    Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()))
                }
                None => Poll::Pending,
            }
        }

        fn try_send(&mut self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(self.error.unwrap_or(io::ErrorKind::ConnectionRefused).into());
            }
            self.room = self.room.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
            self.sent.push(transmit.contents.to_vec());
            Ok(())
        }

        fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.room > 0 || self.lies { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn poll_report(&mut self, _: &mut Context<'_>) -> Poll<Report> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }

        fn max_gso_segments(&self) -> usize {
            1
        }

        fn gro_segments(&self) -> usize {
            1
        }
    }

    /// An endpoint that dials, so that it has something to send.
    pub(in crate::driver) fn dialing(now: Instant) -> Endpoint {
        let seed = Some([7; 32]);
        let mut endpoint = Endpoint::new(EndpointConfig { seed, ..Default::default() }, now);
        let target = Target::new(vec![([127, 0, 0, 1], 2).into()], "localhost", "");
        let tls = ClientTls::new(Trust::Insecure).unwrap();
        endpoint.connect(now, target, &tls).unwrap();
        endpoint
    }

    #[test]
    fn what_a_full_socket_refused_is_sent_first_and_once() {
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut endpoint = dialing(now);
        let mut io = Io::new(Fake::default());
        assert_eq!(io.flush(cx, now, &mut endpoint), Flush::Blocked);
        assert_eq!(io.flush(cx, now, &mut endpoint), Flush::Blocked);
        let refused = io.outgoing.clone();
        assert!(refused.len() >= 1200, "a client's first datagram is padded");
        io.socket.room = 10;
        assert_eq!(io.flush(cx, now, &mut endpoint), Flush::Idle);
        assert_eq!(io.socket.sent, [refused]);
    }

    #[test]
    fn a_socket_that_lies_about_room_is_left_alone() {
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut endpoint = dialing(now);
        let mut io = Io::new(Fake { lies: true, ..Default::default() });
        assert_eq!(io.flush(cx, now, &mut endpoint), Flush::Full);
        io.socket.room = 10;
        assert_eq!(io.flush(cx, now, &mut endpoint), Flush::Idle);
        assert_eq!(io.socket.sent.len(), 1);
    }

    #[test]
    fn a_report_about_an_earlier_datagram_costs_none() {
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut io = Io::new(Fake { room: 10, failures: 1, ..Default::default() });
        assert_eq!(io.flush(cx, now, &mut dialing(now)), Flush::Idle);
        assert_eq!(io.socket.sent.len(), 1);
        let mut io = Io::new(Fake { room: 10, failures: 2, ..Default::default() });
        assert_eq!(io.flush(cx, now, &mut dialing(now)), Flush::Idle);
        assert_eq!(io.socket.sent.len(), 0, "an error that stays is as good as a loss");
    }

    #[test]
    fn a_network_that_cannot_be_reached_is_told_at_once() {
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        let error = Some(io::ErrorKind::NetworkUnreachable);
        let mut io = Io::new(Fake { failures: 2, error, ..Default::default() });
        let mut endpoint = dialing(now);
        assert_eq!(io.flush(cx, now, &mut endpoint), Flush::Idle);
        let event = endpoint.poll_event();
        let Some(Event::ConnectFailed { error: ConnectError::CannotSend { remote, .. }, .. }) =
            event
        else {
            panic!("{event:?}")
        };
        assert_eq!(remote, ([127, 0, 0, 1], 2).into());
    }

    #[test]
    fn a_dead_socket_is_given_up() {
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut io = Io::new(Fake { receive_failures: usize::MAX, ..Default::default() });
        let mut endpoint = dialing(now);
        let mut turns = 0;
        while io.receive(cx, now, &mut endpoint).is_ok() {
            turns += 1;
        }
        assert_eq!(turns, MAX_FAILURES / RECEIVES);
    }

    #[test]
    fn failures_of_a_socket_that_lives_are_forgotten() {
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut io = Io::new(Fake::default());
        let mut endpoint = dialing(now);
        for _ in 0..2 * MAX_FAILURES {
            io.socket.receive_failures = 1;
            assert!(!io.receive(cx, now, &mut endpoint).expect("it is not dead"));
        }
    }
}
