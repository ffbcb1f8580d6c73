//! Datagrams: real handshakes over a network that does with them what the bytes say.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use smoq_core::{
    Carrier, Path, SubscribeOptions,
    wire::{SessionCode, TrackInfo},
};
use smoq_quic::{
    ClientTls, Endpoint, EndpointConfig, ServerConfig, ServerTls, Target, TransportOptions, Trust,
};

use crate::Input;

const CLIENT: SocketAddr = address(1);
const SERVER: SocketAddr = address(2);
const STRANGER: SocketAddr = address(3);

const fn address(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 4443)
}

static TLS: LazyLock<(ServerTls, ClientTls)> = LazyLock::new(|| {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a good name");
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a good algorithm");
    let certificate = params.self_signed(&key).expect("good parameters").der().clone();
    let server = ServerTls::new(vec![certificate], key.into()).expect("a good certificate");
    (server, ClientTls::new(Trust::Insecure).expect("nothing to check"))
});

/// The carrier and the version, then for each datagram what becomes of it.
pub fn quic_datagrams(data: &[u8]) {
    let mut input = Input(data);
    let carrier = input.one_of(&[Carrier::Raw, Carrier::WebTransport]);
    let (Some(carrier), Some(version)) = (carrier, input.version()) else { return };
    let mut net = Net::new();
    let mut target = Target::new(vec![SERVER], "localhost", "/");
    (target.carrier, target.versions) = (carrier, vec![version]);
    net.client.connect(net.now, target, &TLS.1).expect("a good target");
    while net.happens(&mut input).is_some() {
        net.flush();
    }
    net.ends();
}

struct Flying {
    from: SocketAddr,
    to: SocketAddr,
    data: BytesMut,
}

struct Net {
    now: Instant,
    client: Endpoint,
    server: Endpoint,
    flying: VecDeque<Flying>,
    /// Bytes from and to who is no client.
    stranger: [usize; 2],
}

impl Net {
    fn new() -> Self {
        let now = Instant::now();
        let server = ServerConfig::new(TLS.0.clone());
        let config = |seed, server| EndpointConfig {
            server,
            seed: Some([seed; 32]),
            transport: TransportOptions { mtu_discovery: false, ..TransportOptions::default() },
            ..EndpointConfig::default()
        };
        let mut net = Self {
            now,
            client: Endpoint::new(config(1, None), now),
            server: Endpoint::new(config(2, Some(server)), now),
            flying: VecDeque::new(),
            stranger: [0; 2],
        };
        let (time, node) = (net.server.time(now), net.server.node_mut());
        let path = Path::new("cam").expect("a good path");
        let broadcast = node.publish(time, &path).expect("the first one");
        let track = node.create_track(time, broadcast, "video", TrackInfo::default());
        let (group, _) = node.create_group(time, track.expect("the first one"), None).expect("new");
        node.write_frame(time, group, 0, Bytes::from_static(&[7; 5000])).expect("small");
        let time = net.client.time(now);
        let node = net.client.node_mut();
        node.watch(time, &path);
        node.subscribe(time, &path, "video", SubscribeOptions::default()).expect("a good name");
        net
    }

    /// What becomes of the next datagram, by a byte and what it needs; `None` at the end.
    fn happens(&mut self, input: &mut Input<'_>) -> Option<()> {
        let op = input.byte()? % 10;
        let mut argument = || input.byte().map_or(0, usize::from);
        match op {
            // Time passes, or at least goes on to the next timer.
            4 => self.pass(Duration::from_millis(10 * argument() as u64)),
            // Somebody sends what he likes.
            5 => {
                let to = if argument() % 2 == 0 { SERVER } else { CLIENT };
                let data = input.counted()?.into();
                self.arrives(Flying { from: STRANGER, to, data });
            }
            _ => {
                let Some(mut datagram) = self.flying.pop_front() else { return Some(()) };
                let length = datagram.data.len();
                match op {
                    // It is lost.
                    3 => return Some(()),
                    // It is changed.
                    6 => {
                        let at = (argument() << 8 | argument()) % length;
                        datagram.data[at] ^= 1 << (argument() % 8);
                    }
                    // It is cut.
                    7 => datagram.data.truncate((argument() << 8 | argument()) % length),
                    // It comes later.
                    8 => {
                        self.flying.push_back(datagram);
                        return Some(());
                    }
                    _ => {}
                }
                let copy = Flying { from: STRANGER, to: datagram.to, data: datagram.data.clone() };
                self.arrives(datagram);
                // It comes twice, then from somewhere else. A copy that overtakes moves the connection, which
                // quinn-proto 0.11.19 does not do well: docs/proof.md.
                if op == 9 {
                    self.arrives(copy);
                }
            }
        }
        Some(())
    }

    fn arrives(&mut self, Flying { from, to, data }: Flying) {
        if to == STRANGER {
            return;
        }
        let host = if to == CLIENT { &mut self.client } else { &mut self.server };
        self.stranger[0] += if from == STRANGER { data.len() } else { 0 };
        host.handle_datagram(self.now, from, Some(to.ip()), 0, data);
    }

    /// Takes what is to be sent.
    fn flush(&mut self) {
        let mut buf = Vec::new();
        for (from, host) in [(CLIENT, &mut self.client), (SERVER, &mut self.server)] {
            while host.poll_event().is_some() {}
            while let Some(transmit) = host.poll_transmit(self.now, 4, &mut buf) {
                assert_eq!(buf.len(), transmit.size);
                let to = transmit.remote;
                self.stranger[1] += if to == STRANGER { transmit.size } else { 0 };
                for data in buf.chunks(transmit.segment_size.unwrap_or(transmit.size)) {
                    self.flying.push_back(Flying { from, to, data: data.into() });
                }
                while host.poll_event().is_some() {}
            }
        }
        let [from, to] = self.stranger;
        assert!(to <= 3 * from, "{to} bytes for {from} of somebody who has proved nothing");
    }

    /// Lets a time pass, with all timers in it and without a datagram.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(timer) = self.timer().filter(|timer| *timer <= end) {
            self.now = self.now.max(timer);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.flush();
        }
        self.now = end;
    }

    fn timer(&self) -> Option<Instant> {
        [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min()
    }

    /// Everybody goes, and nothing is left.
    fn ends(&mut self) {
        for host in [&mut self.client, &mut self.server] {
            host.close_all(self.now, SessionCode::NO_ERROR, "bye");
        }
        self.flush();
        self.flying.clear();
        // Closed connections go after three probe timeouts, which are long where datagrams took long.
        self.pass(Duration::from_secs(1000));
        for host in [&self.client, &self.server] {
            assert!(host.is_idle() && host.draining() == 0, "something is left");
            assert_eq!(host.node().stats().sessions, 0);
        }
    }
}
