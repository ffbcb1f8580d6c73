//! The WebSocket to the hub.

use std::{net::IpAddr, path::Path, str::FromStr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, Request, Uri, header::AUTHORIZATION},
        protocol::WebSocketConfig,
    },
};

use crate::{
    client::{roots_in, system_roots},
    failure::Failure,
};

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a connection may take.
const PARTING: Duration = Duration::from_secs(2);
/// Messages that wait to be sent. More are a hub that does not read.
const QUEUE: usize = 1024;
/// Bytes of a message.
const MOST_MESSAGE: usize = 1 << 20;

/// Where a hub is: `ws` or `wss`.
#[derive(Clone, Debug)]
pub(super) struct HubUrl(Uri);

impl FromStr for HubUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| NO_URL)?;
        let sound = matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some();
        if sound { Ok(Self(uri)) } else { Err(NO_URL.into()) }
    }
}

const NO_URL: &str =
    "the URL of a hub is like ws://127.0.0.1:3000/ws; `smoq signal` prints its own";

impl HubUrl {
    fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("wss")
    }

    /// For messages: a query may carry a secret, and so may what stands before the host.
    fn shown(&self) -> String {
        let authority = self.0.authority().map_or("", |it| it.as_str());
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{}://{host}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

/// What happens on the connection that was asked for last.
pub(super) enum HubEvent {
    Connected,
    Text(String),
    Alive,
    /// It is over or could not be made, with the code of the hub's close frame, and why if it was not made.
    Ended(Option<u16>, Option<String>),
}

/// Makes connections to the hub, one at a time.
pub(super) struct Link {
    url: HubUrl,
    request: Request<()>,
    tls: Option<TlsConnector>,
    /// The number of the connection that counts, with each of its events.
    number: u64,
    events: mpsc::Sender<(u64, HubEvent)>,
    received: mpsc::Receiver<(u64, HubEvent)>,
    outgoing: Option<mpsc::Sender<String>>,
    task: Option<JoinHandle<()>>,
}

impl Link {
    pub(super) fn new(
        url: HubUrl,
        token: Option<String>,
        root: Option<&Path>,
    ) -> Result<Self, Failure> {
        let bad = |_| Failure::Usage(NO_URL.into());
        let mut request = url.0.clone().into_client_request().map_err(bad)?;
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let value = value.map_err(|_| Failure::Usage("this cannot be a token".into()))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let tls = if url.is_secure() { Some(connector(root)?) } else { None };
        let (events, received) = mpsc::channel(64);
        Ok(Self { url, request, tls, number: 0, events, received, outgoing: None, task: None })
    }

    /// Whether the hub is on this machine.
    pub(super) fn is_near(&self) -> bool {
        let host = self.url.host();
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    pub(super) fn url(&self) -> String {
        self.url.shown()
    }

    /// Makes a new connection in place of the one before.
    pub(super) fn connect(&mut self) {
        self.number += 1;
        let (sender, outgoing) = mpsc::channel(QUEUE);
        let reports = Reports { number: self.number, events: self.events.clone() };
        let (url, request, tls) = (self.url.clone(), self.request.clone(), self.tls.clone());
        self.outgoing = Some(sender);
        self.task = Some(tokio::spawn(async move {
            let ended = match timeout(PATIENCE, open(&url, request, tls)).await {
                Ok(Ok(socket)) => {
                    reports.tell(HubEvent::Connected).await;
                    HubEvent::Ended(carry(socket, outgoing, &reports).await, None)
                }
                Ok(Err(why)) => HubEvent::Ended(None, Some(why)),
                Err(_) => HubEvent::Ended(None, Some("it takes too long".into())),
            };
            reports.tell(ended).await;
        }));
    }

    /// Sends a message. A hub that takes none is left.
    pub(super) fn send(&mut self, text: String) {
        if self.outgoing.as_ref().is_some_and(|sender| sender.try_send(text).is_err()) {
            self.outgoing = None;
        }
    }

    /// Closes the connection, when all is sent. What still comes on it is not told.
    pub(super) fn close(&mut self) {
        self.number += 1;
        self.outgoing = None;
    }

    /// Waits until the last connection is closed.
    pub(super) async fn finish(mut self) {
        self.close();
        // Whatever it still tells, nobody listens.
        self.received.close();
        if let Some(task) = self.task {
            let _ = timeout(PARTING, task).await;
        }
    }

    /// What happens next. Cancel-safe.
    pub(super) async fn next(&mut self) -> HubEvent {
        loop {
            match self.received.recv().await {
                Some((number, event)) if number == self.number => return event,
                Some(_) => {}
                // The link has a sender itself.
                None => return std::future::pending().await,
            }
        }
    }
}

struct Reports {
    number: u64,
    events: mpsc::Sender<(u64, HubEvent)>,
}

impl Reports {
    /// Nobody may listen any more, at the end of the program.
    async fn tell(&self, event: HubEvent) {
        let _ = self.events.send((self.number, event)).await;
    }
}

fn connector(root: Option<&Path>) -> Result<TlsConnector, Failure> {
    let roots = match root {
        Some(file) => roots_in(file)?,
        None => system_roots(),
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Usage(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type Socket = WebSocketStream<Box<dyn Stream>>;

async fn open(
    url: &HubUrl,
    request: Request<()>,
    tls: Option<TlsConnector>,
) -> Result<Socket, String> {
    let port = url.0.port_u16().unwrap_or(if url.is_secure() { 443 } else { 80 });
    let tcp = TcpStream::connect((url.host(), port)).await.map_err(|error| error.to_string())?;
    // Messages are small and wait for answers.
    let _ = tcp.set_nodelay(true);
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(tls) => {
            let name = ServerName::try_from(url.host().to_owned());
            let name = name.map_err(|error| error.to_string())?;
            Box::new(tls.connect(name, tcp).await.map_err(|error| error.to_string())?)
        }
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MOST_MESSAGE))
        .max_frame_size(Some(MOST_MESSAGE));
    let opened = client_async_with_config(request, stream, Some(config)).await;
    opened.map(|(socket, _)| socket).map_err(|error| error.to_string())
}

/// Carries messages until the connection is over; gives the code of the hub's close frame.
async fn carry(
    mut socket: Socket,
    mut outgoing: mpsc::Receiver<String>,
    reports: &Reports,
) -> Option<u16> {
    loop {
        tokio::select! {
            text = outgoing.recv() => match text {
                Some(text) => socket.send(Message::text(text)).await.ok()?,
                None => {
                    let _ = SinkExt::close(&mut socket).await;
                    return None;
                }
            },
            received = socket.next() => match received?.ok()? {
                Message::Text(text) => reports.tell(HubEvent::Text(text.as_str().into())).await,
                Message::Ping(_) | Message::Pong(_) => reports.tell(HubEvent::Alive).await,
                Message::Close(frame) => return frame.map(|frame| frame.code.into()),
                Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_url_are_not_shown() {
        for (url, shown) in [
            ("ws://user:password@hub.example:3000/ws?token=x", "ws://hub.example:3000/ws"),
            ("wss://[::1]/ws", "wss://[::1]/ws"),
        ] {
            assert_eq!(url.parse::<HubUrl>().unwrap().shown(), shown);
        }
    }
}
