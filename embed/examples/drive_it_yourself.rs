//! Prints what somebody publishes.
use bytes::BytesMut;
use smoq_core::{Announced, ClosedBy, Event as Core, Frames, NextFrame, Path, SubscribeOptions};
use smoq_quic::{ClientTls, Endpoint, EndpointConfig, Event, Target, Trust, parse_fingerprint};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [relay, fingerprint, broadcast] = args.as_slice() else {
        return Err("give the address of a relay, its fingerprint, and a broadcast".into());
    };
    watch(relay.parse()?, fingerprint, broadcast, &mut io::stdout())
}

pub(crate) fn watch(relay: SocketAddr, pin: &str, name: &str, out: &mut impl Write) -> Result<()> {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(EndpointConfig::default(), now);
    let tls = ClientTls::new(Trust::Fingerprints(vec![parse_fingerprint(pin)?]))?;
    endpoint.connect(now, Target::new(vec![relay], relay.ip().to_string(), ""), &tls)?;
    let time = endpoint.time(now);
    let watcher = endpoint.node_mut().watch(time, &Path::new(name)?);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let (mut inbox, mut outbox, mut frames) = (vec![0; 1 << 16], Vec::new(), None);
    loop {
        // 1. What happened.
        let now = Instant::now();
        while let Some(event) = endpoint.poll_event() {
            match event {
                Event::ConnectFailed { error, .. } => return Err(error.into()),
                Event::Core(Core::Closed { closed, .. }) if closed.by != ClosedBy::Local => {
                    return Err(closed.reason.into());
                }
                Event::Connected { .. } | Event::Core(_) | Event::Link(_) => {}
            }
        }
        // 2. What we want.
        let (time, node) = (endpoint.time(now), endpoint.node_mut());
        if let Some(Announced::Active { path, .. }) = node.poll_announced(watcher)? {
            let reader = node.subscribe(time, &path, "data", SubscribeOptions::default())?;
            frames = Some(Frames::new(reader));
        }
        while let Some(reading) = &mut frames {
            match reading.next(endpoint.node_mut(), time)? {
                NextFrame::Frame(frame) => out.write_all(&frame.payload)?,
                NextFrame::GroupEnd { .. } => {}
                NextFrame::Pending => break,
                NextFrame::Failed(code) => return Err(code.name().into()),
                NextFrame::End => {
                    frames = None;
                    endpoint.close_all(now, smoq_core::wire::SessionCode::NO_ERROR, "done");
                }
            }
        }
        // 3. A datagram out, as long as there is one.
        if let Some(transmit) = endpoint.poll_transmit(now, 1, &mut outbox) {
            socket.send_to(&outbox, transmit.remote)?;
            continue;
        }
        if endpoint.is_idle() {
            return Ok(());
        }
        // 4. Nothing is left to do: wait for a datagram, or for the time of something.
        let wait = endpoint.poll_timeout().map(|at| at.saturating_duration_since(now));
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_micros(1))))?;
        match socket.recv_from(&mut inbox) {
            Ok((size, from)) => {
                let datagram = BytesMut::from(&inbox[..size]);
                endpoint.handle_datagram(Instant::now(), from, None, 0, datagram);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        endpoint.handle_timeout(Instant::now());
    }
}
