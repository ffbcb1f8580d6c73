//! A relay in one mio loop: what anybody publishes, everybody can watch.
//!
//!     cargo run --release -p smoq-embed-examples --example relay -- 127.0.0.1:4443
//!
//! It prints the two words that the other examples take. A relay is an endpoint that accepts, and nothing
//! else: its node tells each session of the others. The loop is that of `mio`, with the socket calls of
//! `quinn-udp`, which pass several datagrams at a time where the system can do so (GSO, GRO, recvmmsg).
//! `cargo xtask bench-runtimes` sets it beside `smoq relay`, which has the same sizes and the same turns.

use std::{
    convert::Infallible,
    env,
    io::{self, ErrorKind, IoSliceMut},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use smoq_core::{Config, wire::Hop};
use smoq_embed_examples::{DATAGRAM, Error, Relay, server};
use smoq_quic::{Endpoint, EndpointConfig, Transmit};

/// Buffers of a receive call.
const BUFFERS: usize = 8;
/// Calls of a turn. In one that has no end nothing is due, and nobody is answered.
const RECEIVES: usize = 16;
const SENDS: usize = 32;
/// Datagrams of a send call. More overrun the buffers of a peer that is near.
const SEGMENTS: usize = 10;
/// Bytes that may wait in the socket, each way, while this loop does something else.
const KERNEL_BUFFER: usize = 4 << 20;

struct Loop {
    endpoint: Endpoint,
    socket: UdpSocket,
    state: UdpSocketState,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// What `outbox` holds that a full socket refused.
    held: Option<Transmit>,
}

impl Loop {
    /// Reads until the socket is empty, or until it is somebody else's turn (`true`).
    fn receive(&mut self, now: Instant) -> io::Result<bool> {
        for _ in 0..RECEIVES {
            let mut metas = [RecvMeta::default(); BUFFERS];
            let mut buffers = self.inbox.chunks_mut(DATAGRAM);
            let mut slices: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
            let (state, socket) = (&self.state, &self.socket);
            let count = match socket.try_io(|| state.recv(socket.into(), &mut slices, &mut metas)) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for (meta, buffer) in metas[..count].iter().zip(self.inbox.chunks(DATAGRAM)) {
                let ecn = meta.ecn.map_or(0, |ecn| ecn as u8);
                // The system joins datagrams of one peer that have one size, but for the last.
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    let data = BytesMut::from(datagram);
                    self.endpoint.handle_datagram(now, meta.addr, meta.dst_ip, ecn, data);
                }
            }
        }
        Ok(true)
    }

    /// Sends until there is nothing more, until the socket is full, or until it is somebody else's turn
    /// (`true`).
    fn send(&mut self, now: Instant) -> bool {
        let segments = self.state.max_gso_segments().min(SEGMENTS);
        for _ in 0..SENDS {
            let held = self.held.take();
            let next =
                held.or_else(|| self.endpoint.poll_transmit(now, segments, &mut self.outbox));
            let Some(transmit) = next else { return false };
            let batch = quinn_udp::Transmit {
                destination: transmit.remote,
                ecn: EcnCodepoint::from_bits(transmit.ecn),
                contents: &self.outbox[..transmit.size],
                segment_size: transmit.segment_size,
                src_ip: transmit.local_ip,
            };
            let (state, socket) = (&self.state, &self.socket);
            match socket.try_io(|| state.try_send(socket.into(), &batch)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.held = Some(transmit);
                    return false;
                }
                Err(error) => self.endpoint.handle_send_error(now, transmit.remote, &error),
            }
        }
        true
    }
}

/// Serves until the socket fails. `started` is told how to get there.
pub(crate) fn run(listen: SocketAddr, started: impl FnOnce(Relay)) -> Result<Infallible, Error> {
    let (accept, fingerprint) = server()?;
    // Relays that are joined to others each need a hop of their own.
    let node = Config { hop: Hop::new(1).unwrap_or_default(), ..Config::default() };
    let config = EndpointConfig { node, server: Some(accept), ..EndpointConfig::default() };
    let endpoint = Endpoint::new(config, Instant::now());
    let mut poll = Poll::new()?;
    let mut socket = UdpSocket::bind(listen)?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let state = UdpSocketState::new((&socket).into())?;
    state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER)?;
    state.set_send_buffer_size((&socket).into(), KERNEL_BUFFER)?;
    started(Relay { address: socket.local_addr()?, fingerprint });
    let (inbox, outbox) = (vec![0; BUFFERS * DATAGRAM], Vec::new());
    let mut this = Loop { endpoint, socket, state, inbox, outbox, held: None };
    let (mut events, mut readable, mut sending) = (Events::with_capacity(16), false, false);
    loop {
        let wait = match readable || sending {
            true => Some(Duration::ZERO),
            false => this.endpoint.poll_timeout().map(|at| at.duration_since(Instant::now())),
        };
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            Ok(()) | Err(_) => readable |= events.iter().any(|event| event.is_readable()),
        }
        let now = Instant::now();
        readable = readable && this.receive(now)?;
        this.endpoint.handle_timeout(now);
        // What happens to a session is told to who has asked, by the node; nobody else has to know.
        while this.endpoint.poll_event().is_some() {}
        sending = this.send(now);
    }
}

fn main() -> Result<(), Error> {
    let listen = env::args().nth(1).ok_or("give an address to listen at, 127.0.0.1:4443")?;
    match run(listen.parse()?, |relay| println!("{relay}"))? {}
}
