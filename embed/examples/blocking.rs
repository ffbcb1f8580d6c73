//! A thread for each endpoint, with a socket that blocks: no event loop at all.
//!
//!     cargo run -p smoq-embed-examples --example blocking
//!     cargo run -p smoq-embed-examples --example blocking -- moqt://127.0.0.1:4443 FINGERPRINT
//!
//! Such a thread sleeps in the socket, for as long as the endpoint has nothing to do: what the endpoint
//! gives as its timeout becomes the read timeout of the socket. If an application has to wake it from
//! another thread, it sends a datagram to its own address: what is no QUIC is ignored.

use std::{
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use smoq_embed_examples::{App, DATAGRAM, Error, Peer, Relay, Talk, peers};

/// The socket takes 0 for no limit, so this is the shortest wait.
const SHORTEST: Duration = Duration::from_micros(1);

pub(crate) fn run(relay: Option<Relay>) -> Result<Vec<String>, Error> {
    let now = Instant::now();
    let [mut publisher, mut viewer] = peers(relay, now)?;
    let say = Talk::publisher(&mut publisher.endpoint, now)?;
    let listen = Talk::viewer(&mut viewer.endpoint, now)?;
    let publisher = thread::spawn(|| drive(publisher, say));
    let heard = drive(viewer, listen)?.into_heard();
    publisher.join().map_err(|_| "the publisher's thread has panicked")??;
    Ok(heard)
}

/// Runs one endpoint until what it is for is over.
pub(crate) fn drive<A: App>(peer: Peer, mut app: A) -> Result<A, Error> {
    let Peer { mut endpoint, socket } = peer;
    let (mut inbox, mut outbox) = (vec![0; DATAGRAM], Vec::new());
    loop {
        // What came in may have something to say, and what is sent may end something.
        loop {
            let now = Instant::now();
            let mut busy = app.act(&mut endpoint, now)?;
            // One datagram at a time: the standard library has no segmentation offload.
            while let Some(transmit) = endpoint.poll_transmit(now, 1, &mut outbox) {
                busy = true;
                // As if the network had lost it, unless nothing was heard of that address yet.
                if let Err(error) = socket.send_to(&outbox, transmit.remote) {
                    endpoint.handle_send_error(now, transmit.remote, &error);
                }
            }
            if !busy {
                break;
            }
        }
        if app.is_over(&endpoint) {
            return Ok(app);
        }
        let now = Instant::now();
        let wait = endpoint.poll_timeout().map(|at| at.saturating_duration_since(now));
        socket.set_read_timeout(wait.map(|wait| wait.max(SHORTEST)))?;
        let received = socket.recv_from(&mut inbox);
        let now = Instant::now();
        match received {
            Ok((size, remote)) => {
                endpoint.handle_datagram(now, remote, None, 0, BytesMut::from(&inbox[..size]));
            }
            // The first is what Unix says when the time is over, the second what Windows says.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        // Early is harmless, so there is no need to look whether it is due.
        endpoint.handle_timeout(now);
    }
}

fn main() -> Result<(), Error> {
    run(Relay::from_args()?).map(drop)
}
