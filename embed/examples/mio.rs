//! Two endpoints in one mio loop: one publishes, the other watches.
//!
//!     cargo run -p smoq-embed-examples --example mio
//!     cargo run -p smoq-embed-examples --example mio -- moqt://127.0.0.1:4443 FINGERPRINT
//!
//! mio says that a socket is readable or writable once, and again only after it would have blocked. So a
//! loop has to read until then, and to keep what the socket refused until it is writable.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use smoq_embed_examples::{App, DATAGRAM, Error, Peer, Relay, Talk, peers};
use smoq_quic::{Endpoint, Transmit};

/// An endpoint with all that its loop keeps for it.
struct Line<A> {
    endpoint: Endpoint,
    socket: UdpSocket,
    app: A,
    outbox: Vec<u8>,
    /// What `outbox` holds that a full socket refused.
    held: Option<Transmit>,
    /// The socket may have more, and mio will not say so again.
    readable: bool,
}

/// Datagrams that are read before the other line has its turn.
const BATCH: usize = 64;

impl<A: App> Line<A> {
    fn new(peer: Peer, app: A, poll: &Poll, token: Token) -> io::Result<Self> {
        peer.socket.set_nonblocking(true)?;
        let mut socket = UdpSocket::from_std(peer.socket);
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, token, both)?;
        let (outbox, held, readable) = (Vec::new(), None, false);
        Ok(Self { endpoint: peer.endpoint, socket, app, outbox, held, readable })
    }

    /// Reads until the socket is empty, or a batch.
    fn receive(&mut self, inbox: &mut [u8]) -> io::Result<()> {
        for _ in 0..BATCH {
            match self.socket.recv_from(inbox) {
                Ok((size, remote)) => {
                    let (now, data) = (Instant::now(), BytesMut::from(&inbox[..size]));
                    self.endpoint.handle_datagram(now, remote, None, 0, data);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Acts and sends until there is nothing more, or until the socket is full.
    fn work(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.endpoint.handle_timeout(now);
        loop {
            let acted = self.app.act(&mut self.endpoint, now)?;
            let held = self.held.take();
            let next = held.or_else(|| self.endpoint.poll_transmit(now, 1, &mut self.outbox));
            match next {
                Some(transmit) => match self.socket.send_to(&self.outbox, transmit.remote) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.held = Some(transmit);
                        return Ok(());
                    }
                    Err(error) => self.endpoint.handle_send_error(now, transmit.remote, &error),
                },
                None if acted => {}
                None => return Ok(()),
            }
        }
    }

    fn is_over(&self) -> bool {
        self.held.is_none() && self.app.is_over(&self.endpoint)
    }
}

pub(crate) fn run(relay: Option<Relay>) -> Result<Vec<String>, Error> {
    let now = Instant::now();
    let [mut publisher, mut viewer] = peers(relay, now)?;
    let say = Talk::publisher(&mut publisher.endpoint, now)?;
    let listen = Talk::viewer(&mut viewer.endpoint, now)?;
    let [_, viewer] = drive([publisher, viewer], [say, listen])?;
    Ok(viewer.into_heard())
}

/// Runs two endpoints until what they are for is over.
pub(crate) fn drive<A: App>(peers: [Peer; 2], apps: [A; 2]) -> Result<[A; 2], Error> {
    let mut poll = Poll::new()?;
    let ([one, other], [say, listen]) = (peers, apps);
    let mut lines =
        [Line::new(one, say, &poll, Token(0))?, Line::new(other, listen, &poll, Token(1))?];
    let (mut events, mut inbox) = (Events::with_capacity(16), vec![0; DATAGRAM]);
    loop {
        lines.iter_mut().try_for_each(Line::work)?;
        if lines.iter().all(Line::is_over) {
            return Ok(lines.map(|line| line.app));
        }
        let next = lines.iter().filter_map(|line| line.endpoint.poll_timeout()).min();
        let wait = next.map(|at| at.saturating_duration_since(Instant::now()));
        let more = lines.iter().any(|line| line.readable);
        let wait = if more { Some(Duration::ZERO) } else { wait };
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        for event in events.iter().filter(|event| event.is_readable()) {
            lines[event.token().0].readable = true;
        }
        for line in lines.iter_mut().filter(|line| line.readable) {
            line.receive(&mut inbox)?;
        }
    }
}

fn main() -> Result<(), Error> {
    run(Relay::from_args()?).map(drop)
}
