//! WebTransport on a connection of quinn: the client's end, one session.

use std::sync::Arc;

use bytes::BytesMut;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use smoq_core::wire::{SessionCode, varint};
use tokio::sync::watch;
use web_transport_proto::{
    Capsule, ConnectRequest, ConnectResponse, Frame, Http3CapsuleReader, Settings, StreamUni,
    error_from_http3, error_to_http3,
};

use crate::verdict::{Result, Unmet};

/// The session on a connection.
pub(crate) struct Web {
    /// What streams of the session begin with.
    bi: BytesMut,
    uni: BytesMut,
    /// Datagrams begin with a quarter of the stream's number.
    pub(crate) quarter: u64,
    /// The request, which stays open as long as the session.
    request: tokio::sync::Mutex<SendStream>,
    /// How the server closed the session, once it has.
    closed: watch::Receiver<Option<SessionCode>>,
    /// SETTINGS, which stay open as long as the connection.
    _control: SendStream,
}

/// Asks for a session. The server has to choose one of `protocols`, whose name is given back.
pub(crate) async fn connect(
    connection: &Connection,
    url: &str,
    protocols: &[String],
) -> Result<(Arc<Web>, String)> {
    let failed = |what: &'static str| {
        move |error: &dyn std::fmt::Display| Unmet::failed(what, error.to_string())
    };
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    let sent = async {
        let mut control =
            connection.open_uni().await.map_err(|error| failed("a stream")(&error))?;
        settings.write(&mut control).await.map_err(|error| failed("room for SETTINGS")(&error))?;
        Ok(control)
    };
    let received = async {
        loop {
            let mut stream =
                connection.accept_uni().await.map_err(|error| failed("SETTINGS")(&error))?;
            // QPACK has streams of its own, which stay empty without a dynamic table.
            if let Ok(settings) = Settings::read(&mut stream).await {
                keep(stream);
                return Ok::<_, Unmet>(settings);
            }
            keep(stream);
        }
    };
    let control = sent.await?;
    let settings = received.await?;
    if settings.supports_webtransport() == 0 {
        return Err(Unmet::failed("settings that offer WebTransport", format!("{settings:?}")));
    }
    let url: url::Url = url.parse().map_err(|error| failed("a URL")(&error))?;
    let request = ConnectRequest::new(url).with_protocols(protocols.iter().cloned());
    let (mut send, mut recv) =
        connection.open_bi().await.map_err(|error| failed("a stream")(&error))?;
    request.write(&mut send).await.map_err(|error| failed("room for CONNECT")(&error))?;
    let response = ConnectResponse::read(&mut recv)
        .await
        .map_err(|error| failed("a response to CONNECT")(&error))?;
    if !response.status.is_success() {
        return Err(Unmet::failed("a session", format_args!("status {}", response.status)));
    }
    let protocol = response.protocol.unwrap_or_default();
    let session = VarInt::from(send.id()).into_inner();
    let (mut bi, mut uni) = (BytesMut::new(), BytesMut::new());
    varint::encode(Frame::WEBTRANSPORT.0.into_inner(), &mut bi);
    varint::encode(StreamUni::WEBTRANSPORT.0.into_inner(), &mut uni);
    varint::encode(session, &mut bi);
    varint::encode(session, &mut uni);
    let (tell, closed) = watch::channel(None);
    tokio::spawn(async move {
        let mut capsules = Http3CapsuleReader::new(recv);
        loop {
            match capsules.read().await {
                Ok(Some(Capsule::CloseWebTransportSession { code, .. })) => {
                    break tell.send_replace(Some(SessionCode(code.into())));
                }
                Ok(Some(_)) => {}
                Ok(None) => break tell.send_replace(Some(SessionCode::NO_ERROR)),
                // The connection went; its code says more.
                Err(_) => break None,
            }
        }
    });
    let request = tokio::sync::Mutex::new(send);
    let web = Web { bi, uni, quarter: session / 4, request, closed, _control: control };
    Ok((Arc::new(web), protocol))
}

/// Reads a stream that stays open for as long as the connection, and says nothing of interest.
pub(crate) fn keep(mut stream: RecvStream) {
    tokio::spawn(async move { while let Ok(Some(_)) = stream.read_chunk(1 << 10, true).await {} });
}

impl Web {
    pub(crate) fn prefix(&self, bi: bool) -> &[u8] {
        if bi { &self.bi } else { &self.uni }
    }

    /// How the server closes the session; never if the connection goes instead.
    pub(crate) async fn closed(&self) -> SessionCode {
        let mut closed = self.closed.clone();
        let code = closed.wait_for(Option::is_some).await.map(|code| *code);
        match code {
            Ok(code) => code.unwrap_or(SessionCode::NO_ERROR),
            Err(_) => std::future::pending().await,
        }
    }

    /// Closes the session.
    pub(crate) async fn close(&self, code: SessionCode) {
        let code = u32::try_from(code.0).unwrap_or(u32::MAX);
        let capsule = Capsule::CloseWebTransportSession { code, reason: String::new() };
        let (mut bytes, mut frame) = (BytesMut::new(), BytesMut::new());
        capsule.encode(&mut bytes);
        Frame::DATA.encode(&mut frame);
        varint::encode(bytes.len() as u64, &mut frame);
        frame.extend_from_slice(&bytes);
        let mut request = self.request.lock().await;
        let _ = request.write_all(&frame).await;
        let _ = request.finish();
    }

    /// A session code as a connection closes with it.
    pub(crate) fn to_connection(code: SessionCode) -> VarInt {
        let code = u32::try_from(code.0).unwrap_or(u32::MAX);
        VarInt::from_u64(error_to_http3(code)).unwrap_or(VarInt::MAX)
    }

    /// And back.
    pub(crate) fn from_connection(code: VarInt) -> SessionCode {
        SessionCode(error_from_http3(code.into_inner()).map_or(code.into_inner(), u64::from))
    }
}
