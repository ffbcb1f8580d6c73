//! A faulty server: it stands in front of a relay and carries every stream across, but for one fault.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};

use bytes::BytesMut;
use quinn::{
    Connection, ConnectionError, Endpoint, Incoming, ReadError, RecvStream, SendStream,
    ServerConfig, TransportConfig, VarInt, crypto::rustls::HandshakeData,
};
use smoq_core::{
    Dir, StreamId, Version,
    wire::{Hop, StreamCode},
};
use smoq_quic::{ClientTls, ServerTls, Trust, fingerprint};
use smoq_sim::{
    Place,
    dissect::{Half, Item},
};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::{
    dial::{Dial, Target},
    faults::{Fault, Meddler},
    stream::{code_from_wire, code_to_wire},
};

/// Why there is no faulty server.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// HTTP/3 is not looked into.
    #[error("faults are planted on raw QUIC only: give a moqt:// URL")]
    Carrier,
    /// No certificate.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate that does not work.
    #[error(transparent)]
    Tls(#[from] smoq_quic::TlsError),
    /// No socket.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
}

/// Starts a server on this machine that does as the relay does, but for a fault; `None` for none. It lives
/// as long as the tokio runtime that this is called in. The priorities of streams are lost on the way.
///
/// # Errors
/// [`ProxyError::Carrier`] for a relay that is not reached over raw QUIC; the others if the machine has no
/// socket for it.
pub fn plant(relay: Target, fault: Option<&Fault>) -> Result<Target, ProxyError> {
    if relay.carrier != smoq_core::Carrier::Raw {
        return Err(ProxyError::Carrier);
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let chain = vec![made.cert.der().clone()];
    let pin = fingerprint(&chain[0]);
    let key = made.signing_key.serialize_der();
    let tls =
        ServerTls::new(chain, smoq_quic::rustls::pki_types::PrivatePkcs8KeyDer::from(key).into())?;
    let alpn = Version::ALL.iter().map(|version| version.alpn().into()).collect();
    let mut config = ServerConfig::with_crypto(tls.accepting(alpn));
    let mut transport = TransportConfig::default();
    transport.max_concurrent_uni_streams(VarInt::from_u32(1024));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(1024));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let target = Target {
        address: endpoint.local_addr()?,
        host: "localhost".into(),
        tls: ClientTls::new(Trust::Fingerprints(vec![pin]))?,
        ..relay.clone()
    };
    let kind = fault.map(|fault| fault.kind);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(carry(incoming, relay.clone(), Meddler::new(kind)));
        }
    });
    Ok(target)
}

/// One session, and the one to the relay behind it.
struct Line {
    /// The client, and the relay.
    ends: [Connection; 2],
    version: Version,
    meddler: Mutex<Meddler>,
    /// Groups wait here for each other, if they do.
    queue: Semaphore,
    /// The last group, if it is to be sent again.
    before: Mutex<Option<BytesMut>>,
}

impl Line {
    fn meddler(&self) -> MutexGuard<'_, Meddler> {
        self.meddler.lock().expect("nobody panics with it")
    }
}

/// Carries a session across.
async fn carry(incoming: Incoming, relay: Target, meddler: Meddler) {
    let Ok(client) = incoming.await else { return };
    let data = client.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let alpn = data.and_then(|data| data.protocol).unwrap_or_default();
    let Some(version) = Version::from_alpn(&alpn) else { return };
    let there = async { relay.handshake(version.alpn(), &Dial::default()).ok()?.await.ok() };
    let Some(relay) = there.await else {
        return client.close(VarInt::from_u32(1), b"the relay is not there");
    };
    if meddler.repeats_setup()
        && version.has_setup()
        && let Ok(mut send) = client.open_uni().await
    {
        // The peer may be gone already.
        let _ = send.write_all(&[1, 1, 0]).await;
        let _ = send.finish();
    }
    let (ends, queue) = ([client, relay], Semaphore::new(1));
    let (meddler, before) = (Mutex::new(meddler), Mutex::default());
    let line = Arc::new(Line { ends, version, meddler, queue, before });
    for side in 0..2 {
        tokio::spawn(carry_bi(line.clone(), side));
        tokio::spawn(carry_uni(line.clone(), side));
        tokio::spawn(carry_datagrams(line.clone(), side));
        tokio::spawn(carry_end(line.clone(), side));
    }
}

async fn carry_bi(line: Arc<Line>, side: usize) {
    while let Ok((answers, requests)) = line.ends[side].accept_bi().await {
        let Ok((to, from)) = line.ends[1 - side].open_bi().await else { return };
        let kind = Arc::new(OnceLock::new());
        let stream = stream(side, 0);
        let there = Way { line: line.clone(), side, stream, opener: true, kind: kind.clone() };
        let back = Way { line: line.clone(), side: 1 - side, stream, opener: false, kind };
        tokio::spawn(there.run(requests, to));
        tokio::spawn(back.run(from, answers));
    }
}

async fn carry_uni(line: Arc<Line>, side: usize) {
    while let Ok(from) = line.ends[side].accept_uni().await {
        // In the order in which they came: a relay gives up on groups that too many others overtake.
        let Ok(to) = line.ends[1 - side].open_uni().await else { return };
        let (stream, kind) = (stream(side, 2), Arc::default());
        let way = Way { line: line.clone(), side, stream, opener: true, kind };
        let line = line.clone();
        tokio::spawn(async move {
            let queues = side == 1 && line.meddler().queues();
            let _turn = if queues { line.queue.acquire().await.ok() } else { None };
            way.run(from, to).await;
        });
    }
}

/// The number of a stream is of no interest but for who opened it, and in which directions it goes.
fn stream(side: usize, direction: u64) -> StreamId {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    StreamId(number << 2 | direction | side as u64)
}

async fn carry_datagrams(line: Arc<Line>, side: usize) {
    while let Ok(datagram) = line.ends[side].read_datagram().await {
        // Any may be lost.
        let _ = line.ends[1 - side].send_datagram(datagram);
    }
}

/// When one end closes, the other is closed too.
async fn carry_end(line: Arc<Line>, side: usize) {
    let reason = line.ends[side].closed().await;
    if side == 1 && !line.meddler().closes() {
        return;
    }
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            line.ends[1 - side].close(close.error_code, &close.reason);
        }
        _ => line.ends[1 - side].close(VarInt::from_u32(0), b""),
    }
}

/// One direction of a stream.
struct Way {
    line: Arc<Line>,
    /// Who speaks.
    side: usize,
    stream: StreamId,
    /// Whether it is who has opened the stream.
    opener: bool,
    /// The number that the stream begins with, which the other direction has to know.
    kind: Arc<OnceLock<u64>>,
}

/// How a direction came to its end.
enum Over {
    Fin,
    Reset(StreamCode),
    Stopped(StreamCode),
    Lost,
}

impl Way {
    fn place(&self) -> Place {
        let (side, stream, version) = (self.side, self.stream, self.line.version);
        Place { link: 0, side, stream, version, kind: self.kind.get().copied(), hop: Hop::UNKNOWN }
    }

    async fn run(self, mut from: RecvStream, mut to: SendStream) {
        let mut half = self
            .opener
            .then(|| Half::opener(if self.stream.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }));
        let (mut said, mut whole) = (false, BytesMut::new());
        // A stream may end here before it ends there.
        let mut over = false;
        loop {
            let (data, end) = tokio::select! {
                read = from.read_chunk(64 << 10, true) => match read {
                    Ok(Some(chunk)) => (chunk.bytes, None),
                    Ok(None) => (Default::default(), Some(Over::Fin)),
                    Err(ReadError::Reset(code)) => {
                        (Default::default(), Some(Over::Reset(code_from_wire(code))))
                    }
                    Err(_) => (Default::default(), Some(Over::Lost)),
                },
                stopped = to.stopped(), if !over => match stopped {
                    Ok(Some(code)) => (Default::default(), Some(Over::Stopped(code_from_wire(code)))),
                    // Everything has arrived, or the session is lost.
                    Ok(None) | Err(_) => (Default::default(), Some(Over::Lost)),
                },
            };
            let half = half.get_or_insert_with(|| {
                Half::answer(self.kind.get().copied().unwrap_or(u64::MAX), self.line.version)
            });
            half.push(&data);
            let (mut out, fin) = self.say(half, matches!(end, Some(Over::Fin)));
            if !out.is_empty() && !std::mem::replace(&mut said, true) {
                let mut first = BytesMut::from(&self.line.meddler().preface(&self.place())[..]);
                first.extend_from_slice(&out);
                out = first;
            }
            if self.line.meddler().repeats(&self.place()) {
                whole.extend_from_slice(&out);
            }
            if !over && to.write_all(&out).await.is_err() {
                over = true;
            }
            if fin && !over {
                if self.line.meddler().evicts(&self.place()) {
                    let _ = to.reset(code_to_wire(StreamCode::EVICTED));
                } else {
                    let _ = to.finish();
                }
                over = true;
                self.repeat(std::mem::take(&mut whole)).await;
            }
            let place = self.place();
            match end {
                None => {}
                Some(Over::Reset(code)) => {
                    let code = self.line.meddler().resets(&place, code);
                    if let Some(code) = code.filter(|_| !over) {
                        let _ = to.reset(code_to_wire(code));
                        over = true;
                    }
                    break;
                }
                Some(Over::Stopped(code)) => {
                    // It is the other end that wants no more.
                    let listener = Place { side: 1 - self.side, ..place };
                    if self.line.meddler().stops(&listener) {
                        let _ = from.stop(code_to_wire(code));
                        break;
                    }
                    over = true;
                }
                Some(Over::Fin | Over::Lost) => break,
            }
        }
        if !over {
            // quinn ends a stream that is dropped.
            self.line.ends[1 - self.side].closed().await;
        }
    }

    /// Sends the group before this one again, if one was kept.
    async fn repeat(&self, whole: BytesMut) {
        if whole.is_empty() {
            return;
        }
        let before = self.line.before.lock().expect("nobody panics with it").replace(whole);
        if let Some(before) = before
            && let Ok(mut send) = self.line.ends[1 - self.side].open_uni().await
        {
            let _ = send.write_all(&before).await;
            let _ = send.finish();
        }
    }

    /// What is said instead of what has come, and whether the stream ends behind it.
    fn say(&self, half: &mut Half, fin: bool) -> (BytesMut, bool) {
        let (mut out, mut ends) = (BytesMut::new(), false);
        let version = self.line.version;
        let mut meddler = self.line.meddler();
        loop {
            let (item, bytes) = match half.next(version) {
                Ok(Some(found)) => found,
                Ok(None) if !fin => break,
                // What cannot be read travels as it is.
                Ok(None) | Err(_) => {
                    out.extend_from_slice(&half.rest());
                    break;
                }
            };
            if let Item::Opens(kind) = item {
                let _ = self.kind.set(kind);
            }
            let said = meddler.says(&self.place(), Some(item.clone()), false);
            ends |= said.fin;
            match &said.items[..] {
                [same] if *same == item => out.extend_from_slice(&bytes),
                items => items.iter().for_each(|item| item.encode(&mut out, version)),
            }
            if ends {
                break;
            }
        }
        if fin {
            ends |= meddler.says(&self.place(), None, true).fin;
        }
        if meddler.kills(&self.place(), fin) {
            self.line.ends[0].close(VarInt::from_u32(0), b"");
        }
        if meddler.silences(&self.place()) {
            return (BytesMut::new(), false);
        }
        (out, ends)
    }
}
