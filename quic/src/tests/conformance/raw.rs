//! Raw QUIC: two connections of quinn-proto without a node above them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{self as quic, DatagramEvent};
use smoq_core::{Config, Node, Time, Version, binding::Transport};

use super::{Credit, End, Harness, Log};
use crate::{
    ClientTls, ConnectId, TransportOptions, Trust,
    config::Slots,
    connection::{Connection, Stage, closed},
    crypto::Secrets,
    tests::support::{CLIENT, Identity, SERVER},
};

const LATENCY: Duration = Duration::from_millis(10);
/// A timer further away than this is no reason to wait: nothing is under way.
const QUIET: Duration = Duration::from_secs(1);

struct Side {
    quic: quic::Endpoint,
    connection: Option<Connection>,
    log: Log,
}

pub(super) struct Pair {
    now: Instant,
    sides: [Side; 2],
    /// When and where datagrams arrive.
    flights: VecDeque<(Instant, usize, BytesMut)>,
    /// Nothing of it is asked: the connections have no session.
    node: Node,
}

impl Harness for Pair {
    fn new(credit: Credit) -> Self {
        let now = Instant::now();
        let slots = Slots { initial: credit.streams, max: credit.streams };
        let transport = TransportOptions {
            uni_streams: slots,
            bidi_streams: slots,
            stream_receive_window: credit.bytes,
            ..TransportOptions::default()
        }
        .build();
        let identity = Identity::new(&["localhost"]);
        let secrets = Secrets::new(Some([7; 32]));
        let mut server = quic::ServerConfig::new(
            identity.server_tls().accepting(&Version::ALL),
            secrets.token_key(),
        );
        server.transport_config(transport.clone());
        let sides = [None, Some(Arc::new(server))].map(|server| Side {
            quic: quic::Endpoint::new(
                Arc::new(quic::EndpointConfig::new(secrets.reset_key())),
                server,
                true,
                Some([9; 32]),
            ),
            connection: None,
            log: Log::default(),
        });
        let mut pair =
            Self { now, sides, flights: VecDeque::new(), node: Node::new(Config::default()) };
        let tls = ClientTls::new(Trust::Insecure).unwrap();
        let mut client = quic::ClientConfig::new(tls.offering(&Version::ALL));
        client.transport_config(transport);
        let (handle, connection) =
            pair.sides[0].quic.connect(now, client, SERVER, "localhost").unwrap();
        pair.add(0, handle, connection);
        pair.settle();
        for side in &pair.sides {
            assert!(!side.connection.as_ref().unwrap().quic.is_handshaking());
        }
        pair
    }

    fn transport(&mut self, end: End) -> impl Transport {
        let now = self.now;
        self.sides[end as usize].connection.as_mut().unwrap().transport(now)
    }

    fn log(&mut self, end: End) -> &mut Log {
        &mut self.sides[end as usize].log
    }

    fn turn(&mut self) -> bool {
        self.flush(0);
        self.flush(1);
        let arrival = self.flights.front().map(|(at, ..)| *at);
        let timers =
            self.sides.iter_mut().filter_map(|side| side.connection.as_mut()?.quic.poll_timeout());
        let Some(next) = timers.chain(arrival).min() else {
            return false;
        };
        if next > self.now + QUIET {
            return false;
        }
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now) {
            let (_, to, data) = self.flights.pop_front().unwrap();
            self.deliver(to, data);
        }
        for end in 0..2 {
            if let Some(connection) = &mut self.sides[end].connection {
                connection.quic.handle_timeout(self.now);
            }
            self.drain(end);
        }
        true
    }
}

impl Pair {
    fn add(&mut self, end: usize, handle: quic::ConnectionHandle, quic: quic::Connection) {
        let slots = [Slots { initial: 0, max: 0 }; 2];
        // Any stage without a session: the test is its own node.
        let stage = Stage::Dialing(ConnectId(0));
        let connection = Connection::new(quic, handle, stage, self.now, slots);
        self.sides[end].connection = Some(connection);
    }

    fn flush(&mut self, end: usize) {
        let Some(connection) = &mut self.sides[end].connection else {
            return;
        };
        let mut buf = Vec::new();
        let node = &mut self.node;
        let mut scratch = Vec::new();
        while connection
            .poll_transmit(self.now, Time::ZERO, node, &mut scratch, 1, &mut buf)
            .is_some()
        {
            let data = BytesMut::from(&*std::mem::take(&mut buf));
            self.flights.push_back((self.now + LATENCY, 1 - end, data));
        }
    }

    fn deliver(&mut self, end: usize, data: BytesMut) {
        let from = [SERVER, CLIENT][end];
        let side = &mut self.sides[end];
        let mut buf = Vec::new();
        match side.quic.handle(self.now, from, None, None, data, &mut buf) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                side.connection.as_mut().unwrap().quic.handle_event(event);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = side.quic.accept(incoming, self.now, &mut buf, None);
                let (handle, connection) = accepted.unwrap();
                self.add(end, handle, connection);
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    fn drain(&mut self, end: usize) {
        let Side { quic, connection, log } = &mut self.sides[end];
        let Some(connection) = connection else { return };
        while let Some(event) = connection.quic.poll() {
            match event {
                quic::Event::Stream(event) => connection.handle_stream(event, log),
                quic::Event::ConnectionLost { reason } => log.closed = Some(closed(reason)),
                _ => {}
            }
        }
        while let Some(event) = connection.quic.poll_endpoint_events() {
            if let Some(answer) = quic.handle_event(connection.handle, event) {
                connection.quic.handle_event(answer);
            }
        }
    }
}
