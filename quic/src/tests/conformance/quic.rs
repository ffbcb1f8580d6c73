//! Raw QUIC and WebTransport: two connections of quinn-proto without a node above them.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{self as quic, DatagramEvent};
use smoq_core::{Carrier, Config, Time, Version, binding::Transport};
use smoq_tape::Recorder;

use super::{Credit, End, Harness, Log};
use crate::{
    ClientTls, ConnectId, TransportOptions, Trust,
    config::Slots,
    connection::{Connection, Stage},
    crypto::Secrets,
    tests::support::{CLIENT, Identity, SERVER},
    tls::alpn,
    web::{self, News},
};

const LATENCY: Duration = Duration::from_millis(10);
/// A timer further away than this is no reason to wait: nothing is under way.
const QUIET: Duration = Duration::from_secs(1);

/// What lies between the streams and UDP.
pub(super) trait Kind {
    const CARRIER: Carrier;
    /// What it takes for itself of the credit that the peer is given: streams of the client's (CONNECT,
    /// control), streams of the server's, bytes of each stream.
    const OWN: [u32; 3];
}

pub(super) struct Raw;

impl Kind for Raw {
    const CARRIER: Carrier = Carrier::Raw;
    const OWN: [u32; 3] = [0, 0, 0];
}

#[cfg(feature = "h3")]
pub(super) struct Web;

#[cfg(feature = "h3")]
impl Kind for Web {
    const CARRIER: Carrier = Carrier::WebTransport;
    const OWN: [u32; 3] = [1, 1, 3];
}

struct Side {
    quic: quic::Endpoint,
    connection: Option<Connection>,
    log: Log,
}

pub(super) struct Pair<K> {
    kind: PhantomData<K>,
    now: Instant,
    sides: [Side; 2],
    /// When and where datagrams arrive.
    flights: VecDeque<(Instant, usize, BytesMut)>,
    /// Ends that have a session of HTTP/3.
    sessions: usize,
    /// Nothing of it is asked: the connections have no session.
    node: Recorder,
}

impl<K: Kind> Harness for Pair<K> {
    fn new(credit: Credit) -> Self {
        let now = Instant::now();
        let [of_client, of_server, bytes] = K::OWN;
        let [for_server, for_client] = [of_server, of_client].map(|own| {
            let slots = Slots { initial: credit.streams + own, max: credit.streams + own };
            TransportOptions {
                uni_streams: slots,
                bidi_streams: slots,
                stream_receive_window: credit.bytes + bytes,
                ..TransportOptions::default()
            }
            .build()
        });
        let identity = Identity::new(&["localhost"]);
        let secrets = Secrets::new(Some([7; 32]), None);
        let mut server = quic::ServerConfig::new(
            identity.server_tls().accepting(alpn(&Version::ALL, &[K::CARRIER])),
            secrets.token_key(),
        );
        server.transport_config(for_client);
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
        let node = Recorder::silent(Config::default());
        let mut pair =
            Self { kind: PhantomData, now, sides, flights: VecDeque::new(), sessions: 0, node };
        let tls = ClientTls::new(Trust::Insecure).unwrap();
        let mut client = quic::ClientConfig::new(tls.offering(alpn(&Version::ALL, &[K::CARRIER])));
        client.transport_config(for_server);
        let (handle, connection) =
            pair.sides[0].quic.connect(now, client, SERVER, "localhost").unwrap();
        pair.add(0, handle, connection);
        pair.settle();
        for side in &pair.sides {
            assert!(!side.connection.as_ref().unwrap().quic.is_handshaking());
        }
        assert_eq!(pair.sessions, if K::CARRIER == Carrier::Raw { 0 } else { 2 });
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

impl<K: Kind> Pair<K> {
    fn add(&mut self, end: usize, handle: quic::ConnectionHandle, quic: quic::Connection) {
        let slots = [Slots { initial: 0, max: 0 }; 2];
        // Any stage without a session: the test is its own node.
        let stage = Stage::Dialing(ConnectId(0));
        let mut connection = Connection::new(quic, handle, stage, self.now, slots);
        if K::CARRIER == Carrier::WebTransport {
            connection.web = match end {
                0 => web::Web::client("localhost".into(), "/".into(), &Version::ALL),
                _ => web::Web::server(Version::ALL.to_vec()),
            };
        }
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
                quic::Event::DatagramReceived => connection.handle_datagrams(log),
                // When the close is told by HTTP/3, the connection follows.
                quic::Event::ConnectionLost { reason }
                    if !matches!(connection.stage, Stage::Closing | Stage::Ending(_)) =>
                {
                    log.closed = Some(connection.closed(reason));
                }
                _ => {}
            }
            while let Some(news) = connection.poll_web() {
                match news {
                    News::Asked { version, .. } => {
                        connection.web.as_mut().unwrap().accept(version.unwrap());
                        self.sessions += 1;
                    }
                    News::Accepted(Some(_)) => self.sessions += 1,
                    News::Stream(news) => news.tell(log),
                    News::Ended(closed) => {
                        log.closed = Some(closed);
                        connection.shut(self.now, connection.no_error(), "");
                    }
                    news => panic!("{news:?}"),
                }
            }
        }
        while let Some(event) = connection.quic.poll_endpoint_events() {
            if let Some(answer) = quic.handle_event(connection.handle, event) {
                connection.quic.handle_event(answer);
            }
        }
    }
}
