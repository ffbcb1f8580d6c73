//! The server, over real sockets on this machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use smoq_signal::{
    Limits, Rate,
    server::{
        AccessToken, Executor, HubFailed, IceServers, Origin, Origins, Server, ServerConfig, tls,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

/// No step takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What runs the server: this file is all of one test program, and a module of another (`server_smol.rs`).
fn executor() -> Executor {
    match module_path!() {
        #[cfg(feature = "smol")]
        "server_smol::server" => Executor::Smol,
        _ => Executor::Tokio,
    }
}

/// No limit.
const MUCH: Rate = Rate { per_second: u32::MAX, burst: u32::MAX };

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("waited in vain")
}

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), HubFailed>>,
}

impl Running {
    async fn start(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::new((Ipv4Addr::LOCALHOST, 0).into());
        config.executor = executor();
        config.limits = config.limits.clone().per_address(4000);
        change(&mut config);
        let server = Server::bind(config).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { address, stop: Some(stop), task }
    }

    async fn socket(&self) -> TcpStream {
        in_time(TcpStream::connect(self.address)).await.unwrap()
    }

    async fn connect(&self) -> Client {
        self.try_connect("/ws", &[]).await.unwrap()
    }

    async fn try_connect(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = in_time(client_async(request, self.socket().await)).await?;
        Ok(Client(socket))
    }

    /// A client that is registered.
    async fn client(&self, id: &str) -> Client {
        let mut client = self.connect().await;
        client.register(id).await;
        client
    }

    /// Sends a request as it is, and gives the answer as it is.
    async fn ask(&self, request: &str) -> String {
        let mut socket = self.socket().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(socket.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    /// A number in `/stats`.
    async fn stats(&self, name: &str) -> u64 {
        let stats = self.get("/stats").await;
        let (_, rest) = stats.split_once(&format!("\"{name}\":")).unwrap();
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    }

    /// Waits until a number in `/stats` is this one.
    async fn reaches(&self, name: &str, value: u64) {
        in_time(async {
            while self.stats(name).await != value {
                // Nothing tells that it changes; others want the machine, too.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Waits until there is room for one more.
    async fn connects(&self, path: &str) {
        in_time(async {
            while self.try_connect(path, &[]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        in_time(self.task).await.unwrap().unwrap();
    }
}

struct Client<S = TcpStream>(WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn say(&mut self, text: impl Into<String>) {
        in_time(self.0.send(Message::text(text.into()))).await.unwrap();
    }

    /// The next message; pings are passed over.
    async fn next(&mut self) -> Option<Result<Message, Error>> {
        in_time(async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => return other,
                }
            }
        })
        .await
    }

    async fn hear(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("a text, not {other:?}"),
        }
    }

    /// The code and the reason with which the server closes.
    async fn closed(&mut self) -> (CloseCode, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code, frame.reason.to_string());
                }
                Some(Ok(Message::Text(_))) => {}
                other => panic!("a close frame, not {other:?}"),
            }
        }
    }

    async fn register(&mut self, id: &str) {
        self.say(format!(r#"{{"type":"register_request","data":{{"client_id":"{id}"}}}}"#)).await;
        let answer = self.hear().await;
        assert!(answer.contains(r#""success":true"#), "{answer}");
    }
}

fn data(from: &str, to: &str, label: &str) -> String {
    format!(
        r#"{{"type":"data_channel","data":{{"from_id":"{from}","to_id":"{to}","label":"{label}"}}}}"#
    )
}

#[tokio::test]
async fn requests_are_answered() {
    let server = Running::start(|_| {}).await;
    let a = server.client("a").await;
    let health = server.get("/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 ") && health.ends_with("\r\n\r\nok\n"), "{health}");
    let stats = server.get("/stats").await;
    let fields = r#"{"connected_clients":1,"messages_sent":1,"messages_received":1,"#;
    assert!(stats.contains(fields) && stats.contains("application/json"), "{stats}");
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("\nsmoq_signal_connections 1\n"), "{metrics}");
    assert!(server.get("/").await.starts_with("HTTP/1.1 404 "));
    let posted = server.ask("POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("\r\nallow: GET\r\n"));
    let plain = server.get("/ws").await;
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    assert!(plain.contains("\r\nsec-websocket-version: 13\r\n"), "{plain}");
    assert!(server.ask("nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    drop(a);
    server.reaches("connected_clients", 0).await;
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("smoq_signal_closed_total{reason=\"client\"} 1\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn the_demo_is_there_if_it_is_asked_for() {
    let server = Running::start(|config| config.demo = true).await;
    let page = server.get("/").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("text/html"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'self'"), "{page}");
    // What it loads is there, too.
    let mut files = vec!["/demo.css", "/demo.js"];
    assert!(files.iter().all(|file| page.contains(&format!("\"{}\"", &file[1..]))), "{page}");
    let script = server.get("/demo.js").await;
    files.extend(["/call.js", "/hub.js"]);
    assert!(files[2..].iter().all(|file| script.contains(&format!("'.{file}'"))), "{script}");
    for file in files {
        assert!(server.get(file).await.starts_with("HTTP/1.1 200 "), "{file}");
    }
    assert!(server.get("/other.js").await.starts_with("HTTP/1.1 404 "));
    server.stop().await;
}

#[tokio::test]
async fn clients_are_told_of_servers_that_help() {
    let token = AccessToken::new("correct-horse").unwrap();
    let turn = vec!["turn:turn.example:3478".into()];
    let ice = IceServers::new(vec![], turn, Some("swordfish")).unwrap();
    let server = Running::start(|config| (config.token, config.ice) = (Some(token), ice)).await;
    assert!(server.get("/ice").await.starts_with("HTTP/1.1 401 "));
    let told = server.get("/ice?token=correct-horse").await;
    assert!(told.contains(r#""urls":["turn:turn.example:3478"],"username":""#), "{told}");
    assert!(told.contains("cache-control: no-store") && !told.contains("swordfish"), "{told}");
    server.stop().await;
}

#[tokio::test]
async fn an_upgrade_is_answered_as_the_go_programs_expect() {
    let server = Running::start(|_| {}).await;
    let mut socket = server.socket().await;
    // The key and its answer are those of RFC 6455.
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time(socket.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("date:")).collect();
    lines.sort_unstable();
    let expected = [
        "",
        "connection: upgrade",
        "http/1.1 101 switching protocols",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "upgrade: websocket",
    ];
    assert_eq!(lines, expected);
    server.stop().await;
}

#[tokio::test]
async fn clients_of_two_forms_call_each_other() {
    let server = Running::start(|_| {}).await;
    let (mut raw, mut go) = (server.connect().await, server.client("go").await);
    raw.say(r#"{"type":"register"}"#).await;
    let answer = raw.hear().await;
    let id = answer.split('"').nth(7).unwrap();
    assert_eq!(id.len(), 20, "{answer}");
    let offer = r#"{"type":"offer","sdp":"v=0"}"#;
    let to_go = format!(r#"{{"ID":"{id}","TargetID":"go","SessionDescription":{offer}}}"#);
    raw.say(format!(r#"{{"type":"sdp","raw":{to_go:?}}}"#)).await;
    let heard = go.hear().await;
    let data = format!(r#""data":{{"from_id":"{id}","to_id":"go","session_description":{offer}}}"#);
    assert!(heard.contains(&data), "{heard}");
    let candidate = r#"{"candidate":"candidate:1","sdpMid":"0"}"#;
    let data = format!(r#"{{"from_id":"go","to_id":"{id}","candidate":{candidate}}}"#);
    go.say(format!(r#"{{"type":"candidate","data":{data}}}"#)).await;
    let heard = raw.hear().await;
    assert!(heard.contains(r#"\"ID\":\"go\""#) && heard.contains("candidate:1"), "{heard}");
    server.stop().await;
}

#[tokio::test]
async fn frames_are_bounded_and_checked() {
    let limit = 10_000;
    let server = Running::start(|config| config.limits.message_bytes = limit).await;
    let mut a = server.client("a").await;
    a.say("x".repeat(limit)).await;
    assert!(a.hear().await.contains("bad_message"), "the largest size is read");
    let as_bytes = data("a", "a", "").into_bytes();
    in_time(a.0.send(Message::binary(as_bytes))).await.unwrap();
    assert!(a.hear().await.contains("data_channel"), "bytes are text, too");
    in_time(a.0.send(Message::Ping("hello".into()))).await.unwrap();
    match in_time(a.0.next()).await {
        Some(Ok(Message::Pong(payload))) => assert_eq!(&payload[..], b"hello"),
        other => panic!("a pong, not {other:?}"),
    }
    a.say("x".repeat(limit + 1)).await;
    assert_eq!(a.closed().await.0, CloseCode::Size);
    let mut b = server.client("a").await;
    in_time(b.0.send(Message::binary(vec![0xff]))).await.unwrap();
    assert_eq!(b.closed().await.0, CloseCode::Invalid);
    let mut c = server.client("a").await;
    // A frame from a client must be masked.
    in_time(c.0.get_mut().write_all(&[0x81, 0x01, b'x'])).await.unwrap();
    assert_eq!(c.closed().await.0, CloseCode::Protocol);
    let metrics = server.get("/metrics").await;
    for reason in ["too_large", "not_text", "not_websocket"] {
        let line = format!("smoq_signal_closed_total{{reason=\"{reason}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_a_client_is_answered_and_its_id_is_free() {
    let server = Running::start(|_| {}).await;
    for _ in 0..20 {
        let mut a = server.client("a").await;
        in_time(a.0.close(None)).await.unwrap();
        match a.next().await {
            Some(Ok(Message::Close(None))) => {}
            other => panic!("the close frame comes back, not {other:?}"),
        }
    }
    // Without a word: the network tells.
    drop(server.client("a").await);
    server.reaches("connected_clients", 0).await;
    server.client("a").await;
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_connect_is_told_why() {
    let server = Running::start(|config| {
        config.token = Some(AccessToken::new("let-me-in").unwrap());
        config.origins = Origins::Own(vec![Origin::new("https://app.example").unwrap()]);
        config.limits.connections_per_address = 1;
    })
    .await;
    let status = |result: Result<Client, Error>| match result {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 101,
    };
    let open = "/ws?token=let-me-in";
    assert_eq!(status(server.try_connect("/ws", &[]).await), 401);
    assert_eq!(status(server.try_connect("/ws?token=let-me-on", &[]).await), 401);
    assert_eq!(status(server.try_connect(open, &[("origin", "https://evil.example")]).await), 403);
    assert!(server.get("/stats").await.starts_with("HTTP/1.1 401 "));
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    let bearer = ("authorization", "Bearer let-me-in");
    let first = server.try_connect("/ws", &[bearer, ("origin", "https://app.example")]).await;
    let first = first.unwrap();
    assert_eq!(status(server.try_connect(open, &[]).await), 429);
    drop(first);
    server.connects(open).await;
    server.stop().await;
}

/// Forwards that meet answers, ends and beginnings; what two wrote at once ended the Go program.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_short_lived_clients_are_served() {
    const LANES: usize = 8;
    const EACH: usize = 1250;
    // A fast machine would be told to do less.
    let server = Running::start(|config| {
        (config.limits.messages, config.limits.connects) = (MUCH, MUCH);
    })
    .await;
    let server = Arc::new(server);
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let server = server.clone();
        lanes.spawn(async move {
            let mut stays = server.client(&format!("stays {lane}")).await;
            for i in 0..EACH {
                let (own, other) = (format!("stays {lane}"), format!("guest {lane} {i}"));
                let mut guest = server.connect().await;
                let register =
                    format!(r#"{{"type":"register_request","data":{{"client_id":"{other}"}}}}"#);
                // All at once: the answer to the guest meets what is sent to it.
                guest.say(register).await;
                guest.say(data(&other, &own, "hello")).await;
                assert!(stays.hear().await.contains("hello"));
                stays.say(data(&own, &other, "welcome")).await;
                assert!(guest.hear().await.contains("register_response"));
                assert!(guest.hear().await.contains("welcome"));
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
    server.reaches("connected_clients", 0).await;
    server.reaches("connections_total", (LANES * (EACH + 1)) as u64).await;
    Arc::into_inner(server).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_harms_only_itself() {
    let server = Running::start(|config| {
        config.limits.write_timeout = Duration::from_secs(5);
        (config.limits.messages, config.limits.bytes) = (MUCH, MUCH);
        config.limits.refusals = MUCH;
    })
    .await;
    let mut slow = server.client("slow").await;
    let (mut a, mut b) = (server.client("a").await, server.client("b").await);
    let large = "x".repeat(100_000);
    in_time(async {
        // It is closed some time after all that lies between is full.
        while server.stats("connected_clients").await == 3 {
            a.say(data("a", "slow", &large)).await;
            a.say(data("a", "b", "marker")).await;
            assert!(b.hear().await.contains("marker"), "in its turn, whatever waits for others");
            assert!(server.stats("queued_bytes").await < 3 << 20);
        }
    })
    .await;
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("smoq_signal_closed_total{reason=\"slow_reader\"} 1\n"), "{metrics}");
    a.say(data("a", "b", "after")).await;
    assert!(b.hear().await.contains("after"));
    // What it had got before is still there, and then comes the end.
    in_time(async { while let Some(Ok(_)) = slow.next().await {} }).await;
    server.stop().await;
}

/// However many come and go: who reads stays, and knows in the end who is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_in_a_room_harms_no_reader() {
    const CROWD: usize = 40;
    let room = |what: &str| format!(r#"{{"type":"{what}_request","data":{{"room":"hall"}}}}"#);
    // The crowd does not read while it speaks, which is slow on a slow machine.
    let server = Running::start(|config| config.limits.write_timeout = PATIENCE).await;
    let mut reader = server.client("reader").await;
    reader.say(room("join")).await;
    let mut crowd = JoinSet::new();
    for i in 0..CROWD {
        let mut client = server.client(&format!("crowd {i}")).await;
        let changes: Vec<_> = (0..30).flat_map(|_| [room("join"), room("leave")]).collect();
        crowd.spawn(async move {
            for change in changes {
                client.say(change).await;
            }
            // All is done when the last is answered.
            let mut left = 0;
            while left < 30 {
                left += u32::from(client.hear().await.contains("leave_response"));
            }
        });
    }
    let mut last = server.client("last").await;
    let watching = async {
        let mut heard = reader.hear().await;
        while !heard.contains("last") {
            heard = reader.hear().await;
        }
    };
    let coming = async {
        while let Some(ended) = crowd.join_next().await {
            ended.unwrap();
        }
        last.say(room("join")).await;
    };
    tokio::join!(watching, coming);
    server.stop().await;
}

#[tokio::test]
async fn who_is_silent_is_asked_and_then_left() {
    let server = Running::start(|config| {
        config.limits.ping_interval = Duration::from_millis(200);
        // Long enough for the other one on a machine that is slow.
        config.limits.idle_timeout = Duration::from_secs(20);
    })
    .await;
    let mut alive = server.client("alive").await;
    // This one does not even answer pings, because nobody reads.
    let _dead = server.client("dead").await;
    let reading = tokio::spawn(async move {
        let mut pings = 0;
        while let Some(Ok(message)) = alive.0.next().await {
            pings += u32::from(matches!(message, Message::Ping(_)));
        }
        pings
    });
    server.reaches("connected_clients", 1).await;
    let metrics = server.get("/metrics").await;
    assert!(metrics.contains("smoq_signal_closed_total{reason=\"idle\"} 1\n"), "{metrics}");
    server.stop().await;
    assert!(in_time(reading).await.unwrap() > 0);
}

#[tokio::test]
async fn a_stop_is_told_to_all() {
    let server = Running::start(|_| {}).await;
    let mut clients = [server.client("a").await, server.client("b").await];
    let stopping = tokio::spawn(server.stop());
    for client in &mut clients {
        let expected = (CloseCode::Away, "the hub shuts down".into());
        assert_eq!(client.closed().await, expected);
        let _ = client.next().await;
    }
    in_time(stopping).await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_do_not_answer() {
    let server = Running::start(|_| {}).await;
    let _silent = server.client("a").await;
    let _half = server.socket().await;
    server.stop().await;
}

#[tokio::test]
async fn it_speaks_tls() {
    let identity = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let certificate = identity.cert.der().clone();
    let key = identity.signing_key.serialize_der().try_into().unwrap();
    let config = tls(vec![certificate.clone()], key).unwrap();
    let server = Running::start(|server| server.tls = Some(config)).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = in_time(connector.connect(name, server.socket().await)).await.unwrap();
    let (socket, _) = in_time(client_async("wss://localhost/ws", stream)).await.unwrap();
    Client(socket).register("a").await;
    server.stop().await;
}

/// They would hold the doors shut without ever asking for anything.
#[tokio::test]
async fn connections_without_a_request_are_bounded() {
    const ROOM: usize = 33;
    let server = Running::start(|config| config.limits.connections_per_address = 1).await;
    let mut idle = Vec::new();
    for _ in 0..ROOM + 5 {
        idle.push(server.socket().await);
    }
    for late in &mut idle[ROOM..] {
        assert!(matches!(in_time(late.read(&mut [0])).await, Ok(0) | Err(_)), "it is closed");
    }
    let first = idle[0].try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(first, Err(std::io::ErrorKind::WouldBlock), "it is not");
    drop(idle);
    server.connects("/ws").await;
    server.stop().await;
}

#[tokio::test]
async fn a_hub_that_is_full_says_so() {
    let server = Running::start(|config| {
        config.limits = Limits { connections: 1, ..config.limits.clone() };
    })
    .await;
    let _first = server.client("a").await;
    match server.try_connect("/ws", &[]).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 503),
        _ => panic!("there is no room"),
    }
    server.stop().await;
}
