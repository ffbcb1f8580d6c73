//! One receiver.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    self as quic, ConnectionHandle, Dir, StreamEvent, StreamId, crypto::rustls::QuicServerConfig,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::answers::{VERSION, answer, setup};

pub(crate) struct Connection {
    pub(crate) handle: ConnectionHandle,
    pub(crate) quic: quic::Connection,
    pub(crate) timer: Option<Instant>,
    /// The id that its groups carry, once it has asked for them.
    pub(crate) subscribed: Option<u64>,
    greeted: bool,
    /// Requests that are not whole.
    requests: Vec<(StreamId, BytesMut)>,
    group: Option<StreamId>,
    /// What the connection has not taken yet, by stream, and whether the stream ends then.
    waiting: Vec<(StreamId, Vec<Bytes>, bool)>,
}

impl Connection {
    pub(crate) fn new(handle: ConnectionHandle, quic: quic::Connection) -> Self {
        Self {
            handle,
            quic,
            timer: None,
            subscribed: None,
            greeted: false,
            requests: Vec::new(),
            group: None,
            waiting: Vec::new(),
        }
    }

    /// Hears what happened. A subscription begins with the group `sequence`.
    pub(crate) fn events(&mut self, sequence: u64) {
        while let Some(event) = self.quic.poll() {
            match event {
                quic::Event::Connected => self.greet(),
                quic::Event::ConnectionLost { .. } => self.subscribed = None,
                quic::Event::Stream(StreamEvent::Opened { dir }) => {
                    while let Some(id) = self.quic.streams().accept(dir) {
                        if dir == Dir::Bi {
                            self.requests.push((id, BytesMut::new()));
                            self.read(id, sequence);
                        }
                    }
                }
                quic::Event::Stream(StreamEvent::Readable { id }) => self.read(id, sequence),
                quic::Event::Stream(StreamEvent::Writable { .. }) => self.flush(),
                _ => {}
            }
        }
    }

    fn greet(&mut self) {
        if !std::mem::replace(&mut self.greeted, true)
            && let Some(id) = self.quic.streams().open(Dir::Uni)
        {
            self.send(id, vec![setup().freeze()], true);
        }
    }

    fn read(&mut self, id: StreamId, sequence: u64) {
        let Some(place) = self.requests.iter().position(|(stream, _)| *stream == id) else {
            return;
        };
        let request = &mut self.requests[place].1;
        let mut stream = self.quic.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            request.extend_from_slice(&chunk.bytes);
        }
        let _ = chunks.finalize();
        if let Some(answer) = answer(request, sequence) {
            self.requests.swap_remove(place);
            self.send(id, vec![answer.bytes.freeze()], answer.fin);
            self.subscribed = answer.subscribe.or(self.subscribed);
        }
    }

    /// A group begins, and the one before is at its end.
    pub(crate) fn begin_group(&mut self, header: Bytes) {
        if let Some(id) = self.group.take() {
            self.send(id, Vec::new(), true);
        }
        self.group = self.quic.streams().open(Dir::Uni);
        self.write(&[header]);
    }

    /// Writes into the group. Without credit for a stream it is left out.
    pub(crate) fn write(&mut self, chunks: &[Bytes]) {
        if let Some(id) = self.group {
            self.send(id, chunks.to_vec(), false);
        }
    }

    fn send(&mut self, id: StreamId, chunks: Vec<Bytes>, fin: bool) {
        match self.waiting.iter_mut().find(|(stream, ..)| *stream == id) {
            Some((_, before, end)) => {
                before.extend(chunks);
                *end |= fin;
            }
            None => self.waiting.push((id, chunks, fin)),
        }
        self.flush();
    }

    fn flush(&mut self) {
        let quic = &mut self.quic;
        self.waiting.retain_mut(|(id, chunks, fin)| {
            let mut stream = quic.send_stream(*id);
            while chunks.iter().any(|chunk| !chunk.is_empty()) {
                match stream.write_chunks(chunks) {
                    Ok(_) => {}
                    Err(quic::WriteError::Blocked) => return true,
                    Err(_) => return false,
                }
            }
            if *fin {
                let _ = stream.finish();
            }
            false
        });
    }
}

/// As the relay has it, but for the certificate: one for this run. Gives its SHA-256 too.
pub(crate) fn server_config() -> Result<(quic::ServerConfig, String), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
    let fingerprint = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    tls.alpn_protocols = vec![VERSION.alpn().into()];
    let crypto = Arc::new(QuicServerConfig::try_from(tls)?);
    let mut server = quic::ServerConfig::with_crypto(crypto);
    let mut acks = quic::AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(4u8.into());
    let mut transport = quic::TransportConfig::default();
    transport
        .ack_frequency_config(Some(acks))
        .max_concurrent_uni_streams(16u8.into())
        .max_concurrent_bidi_streams(16u8.into())
        .max_idle_timeout(Some(quic::VarInt::from_u32(10_000).into()))
        .keep_alive_interval(Some(Duration::from_secs(3)));
    server.transport_config(Arc::new(transport));
    Ok((server, fingerprint))
}
