//! The floor: what it costs to send frames to many with quinn-proto and quinn-udp and nothing above.
//!
//! One thread makes each frame once and writes it into a stream of each connection, a stream for each
//! group; it receives acknowledgements and nothing else. A few fixed answers make it look like a
//! publisher of moq-lite-06, so that `smoq bench --no-publish` measures it as it measures a relay.
//!
//!     floor --listen 127.0.0.1:4444 --rate 30 --size 4096 --group 60
//!
//! It prints its URL and the SHA-256 of its certificate, like `smoq relay`.

mod answers;
mod connection;

use std::{
    collections::BTreeSet,
    env,
    error::Error,
    io::{self, IoSliceMut, Write},
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes, BytesMut};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use quinn_proto::{self as quic, DatagramEvent};
use quinn_udp::{RecvMeta, UdpSocketState};
use smoq_core::wire::{FrameHeader, GroupHeader, Message, UniType, varint};
use std::os::fd::AsRawFd;

use answers::VERSION;
use connection::Connection;

/// What is made, and where it is offered.
struct Options {
    listen: SocketAddr,
    rate: u32,
    size: usize,
    group: u64,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut options =
            Self { listen: "127.0.0.1:4444".parse()?, rate: 30, size: 4096, group: 60 };
        let mut args = env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--listen" => options.listen = value.parse()?,
                "--rate" => options.rate = value.parse()?,
                "--size" => options.size = value.parse()?,
                "--group" => options.group = value.parse()?,
                _ => {
                    return Err(
                        format!("{name} is none of --listen, --rate, --size, --group").into()
                    );
                }
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut floor = Floor::new(Options::parse()?)?;
    loop {
        floor.turn()?;
    }
}

/// Buffers of one receive call, and bytes of each: a batch that the kernel has joined (GRO).
const BUFFERS: usize = 8;
const BUFFER: usize = 1 << 16;
/// Datagrams of one send call: as many as the relay sends.
const SEGMENTS: usize = 10;

struct Floor {
    options: Options,
    socket: UdpSocket,
    state: UdpSocketState,
    poll: Poll,
    endpoint: quic::Endpoint,
    connections: Vec<Option<Connection>>,
    timers: BTreeSet<(Instant, usize)>,
    /// Connections to look after.
    touched: Vec<usize>,
    start: Instant,
    /// The next frame, counted from the first.
    next: u64,
    timestamp: u64,
    filler: Bytes,
    buffers: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Floor {
    fn new(options: Options) -> Result<Self, Box<dyn Error>> {
        let socket = UdpSocket::bind(options.listen)?;
        let state = UdpSocketState::new((&socket).into())?;
        let poll = Poll::new()?;
        let fd = socket.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
        let (server, fingerprint) = connection::server_config()?;
        let config = Arc::new(quic::EndpointConfig::default());
        let endpoint = quic::Endpoint::new(config, Some(Arc::new(server)), true, None);
        writeln!(io::stdout(), "moqt://{} {fingerprint}", socket.local_addr()?)?;
        let filler = BytesMut::zeroed(options.size.saturating_sub(8)).freeze();
        Ok(Self {
            options,
            socket,
            state,
            poll,
            endpoint,
            connections: Vec::new(),
            timers: BTreeSet::new(),
            touched: Vec::new(),
            start: Instant::now(),
            next: 0,
            timestamp: 0,
            filler,
            buffers: vec![0; BUFFERS * BUFFER],
            outgoing: Vec::new(),
        })
    }

    /// When the next frame is due.
    fn due(&self) -> Instant {
        let nanos = 1_000_000_000 * self.next / u64::from(self.options.rate);
        self.start + Duration::from_nanos(nanos)
    }

    fn turn(&mut self) -> io::Result<()> {
        let timer = self.timers.first().map_or(self.due(), |(at, _)| self.due().min(*at));
        let wait = timer.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut Events::with_capacity(1), Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Instant::now();
        self.receive(now)?;
        while let Some(&(at, index)) = self.timers.first()
            && at <= now
        {
            self.timers.remove(&(at, index));
            if let Some(connection) = &mut self.connections[index] {
                connection.timer = None;
                connection.quic.handle_timeout(now);
                self.touched.push(index);
            }
        }
        while self.due() <= now {
            self.frame();
        }
        self.touched.sort_unstable();
        self.touched.dedup();
        for index in std::mem::take(&mut self.touched) {
            self.look_after(now, index);
        }
        Ok(())
    }

    fn receive(&mut self, now: Instant) -> io::Result<()> {
        loop {
            let mut metas = [RecvMeta::default(); BUFFERS];
            let mut buffers = std::mem::take(&mut self.buffers);
            let mut slices: Vec<_> = buffers.chunks_mut(BUFFER).map(IoSliceMut::new).collect();
            let received = self.state.recv((&self.socket).into(), &mut slices, &mut metas);
            drop(slices);
            let count = match received {
                Ok(count) => count,
                Err(error) => {
                    self.buffers = buffers;
                    return match error.kind() {
                        io::ErrorKind::WouldBlock => Ok(()),
                        _ => Err(error),
                    };
                }
            };
            for (meta, buffer) in metas.iter().zip(buffers.chunks(BUFFER)).take(count) {
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    self.datagram(now, meta, datagram);
                }
            }
            self.buffers = buffers;
        }
    }

    fn datagram(&mut self, now: Instant, meta: &RecvMeta, data: &[u8]) {
        let mut answer = Vec::new();
        let ecn = meta.ecn.and_then(|ecn| quic::EcnCodepoint::from_bits(ecn as u8));
        let event =
            self.endpoint.handle(now, meta.addr, meta.dst_ip, ecn, data.into(), &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(connection) = &mut self.connections[handle.0] {
                    connection.quic.handle_event(event);
                    self.touched.push(handle.0);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                if let Ok((handle, quic)) = self.endpoint.accept(incoming, now, &mut answer, None) {
                    if self.connections.len() <= handle.0 {
                        self.connections.resize_with(handle.0 + 1, || None);
                    }
                    self.connections[handle.0] = Some(Connection::new(handle, quic));
                    self.touched.push(handle.0);
                }
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// Makes the next frame and gives it to everybody.
    fn frame(&mut self) {
        let (group, index) = (self.next / self.options.group, self.next % self.options.group);
        self.next += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = since.as_micros() as u64;
        let before = if index == 0 { 0 } else { self.timestamp };
        self.timestamp = timestamp;
        let mut head = BytesMut::new();
        let delta = timestamp as i64 - before as i64;
        FrameHeader { delta, size: self.options.size as u64 }.encode(&mut head, VERSION);
        head.put_u64(timestamp);
        let head = head.freeze();
        for (place, connection) in self.connections.iter_mut().enumerate() {
            let Some(connection) = connection else { continue };
            let Some(subscribe) = connection.subscribed else { continue };
            if index == 0 {
                let mut begin = BytesMut::new();
                varint::encode(UniType::Group.to_varint(), &mut begin);
                let header = GroupHeader { subscribe, sequence: group, first_frame: 0 };
                header.encode(&mut begin, VERSION);
                connection.begin_group(begin.freeze());
            }
            connection.write(&[head.clone(), self.filler.clone()]);
            self.touched.push(place);
        }
    }

    /// Lets a connection say and send what it has.
    fn look_after(&mut self, now: Instant, index: usize) {
        let sequence = self.next.div_ceil(self.options.group);
        let Some(connection) = &mut self.connections[index] else { return };
        connection.events(sequence);
        let mut drained = false;
        while let Some(event) = connection.quic.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(answer) = self.endpoint.handle_event(connection.handle, event) {
                connection.quic.handle_event(answer);
            }
        }
        let segments = SEGMENTS.min(self.state.max_gso_segments());
        while let Some(transmit) = connection.quic.poll_transmit(now, segments, &mut self.outgoing)
        {
            let datagrams = quinn_udp::Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
                contents: &self.outgoing[..transmit.size],
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            };
            // What a full socket refuses is lost, as on a network.
            let _ = self.state.try_send((&self.socket).into(), &datagrams);
            self.outgoing.clear();
        }
        if let Some(at) = connection.timer.take() {
            self.timers.remove(&(at, index));
        }
        if drained {
            self.connections[index] = None;
        } else if let Some(at) = connection.quic.poll_timeout() {
            connection.timer = Some(at);
            self.timers.insert((at, index));
        }
    }
}
