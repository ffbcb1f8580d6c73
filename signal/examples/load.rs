//! How much one hub takes on this machine (Linux): connections that say nothing, then pairs that say as much
//! as they can. `cargo xtask bench-signal` runs it.
//!
//! The hub is a process of its own, this program again. Its bounds on rates are lifted, so that the machine is
//! measured and not they; both processes share the processor.

use std::{
    collections::VecDeque,
    env, fs,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use smoq_signal::{
    Limits, Rate,
    server::{Server, ServerConfig},
};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

type Client = WebSocketStream<TcpStream>;
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Connections that say nothing. Each takes a descriptor here and one at the hub.
const IDLE: usize = 10_000;
/// How long they are watched: some rounds of pings.
const WATCH: Duration = Duration::from_secs(45);
/// Pairs that talk.
const PAIRS: usize = 64;
/// Messages of a pair that are on their way.
const WINDOW: usize = 8;
/// How long they talk.
const TALK: Duration = Duration::from_secs(10);
/// Bytes of the line of a candidate, and of a large description.
const SIZES: [usize; 2] = [200, 8000];
const MUCH: Rate = Rate { per_second: u32::MAX, burst: u32::MAX };

#[tokio::main]
async fn main() -> Result<(), Failed> {
    if env::args().nth(1).as_deref() == Some("hub") {
        return hub().await;
    }
    let hub = Hub::start()?;
    let empty = hub.resident_kib()?;
    let idle = idle(&hub).await?;
    println!(
        "{IDLE} idle connections: {:.1} KiB each, {:.1} % of a core",
        (hub.resident_kib()? - empty) / IDLE as f64,
        hub.share(WATCH).await?,
    );
    for size in SIZES {
        talk(&hub, size).await?;
    }
    drop(idle);
    Ok(())
}

async fn hub() -> Result<(), Failed> {
    let mut config = ServerConfig::new((Ipv4Addr::LOCALHOST, 0).into());
    config.limits = Limits {
        connections: 2 * IDLE,
        connections_per_address: 2 * IDLE,
        connects: MUCH,
        messages: MUCH,
        bytes: MUCH,
        ..Limits::default()
    };
    let server = Server::bind(config).await?;
    println!("{}", server.local_addr());
    io::stdout().flush()?;
    Ok(server.run(std::future::pending()).await?)
}

/// The hub, and how to see what it costs.
struct Hub {
    process: Child,
    address: SocketAddr,
}

impl Hub {
    fn start() -> Result<Self, Failed> {
        let mut command = Command::new(env::current_exe()?);
        let mut process = command.arg("hub").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("it has no output")?).read_line(&mut line)?;
        Ok(Self { process, address: line.trim().parse()? })
    }

    fn resident_kib(&self) -> Result<f64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.ok_or("no memory is told")?.trim().trim_end_matches(" kB").parse()?)
    }

    /// Time of the processor that it took so far.
    fn busy(&self) -> Result<Duration, Failed> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id()))?;
        let mut nanos = 0;
        for task in tasks {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Per cent of a core over some time.
    async fn share(&self, time: Duration) -> Result<f64, Failed> {
        let (begin, busy) = (Instant::now(), self.busy()?);
        sleep(time).await;
        Ok((self.busy()? - busy).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0)
    }

    async fn client(&self, id: &str) -> Result<Client, Failed> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut client, _) = client_async(format!("ws://{}/ws", self.address), stream).await?;
        let register = format!(r#"{{"type":"register_request","data":{{"client_id":"{id}"}}}}"#);
        client.send(Message::text(register)).await?;
        hear(&mut client).await?;
        Ok(client)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next message; pings are answered on the way.
async fn hear(client: &mut Client) -> Result<(), Failed> {
    loop {
        match client.next().await.ok_or("the hub has closed the connection")?? {
            Message::Text(text) if text.contains(r#""type":"error""#) => {
                return Err(text.as_str().into());
            }
            Message::Text(_) => return Ok(()),
            _ => {}
        }
    }
}

/// Connections that answer pings, for as long as the set is kept.
async fn idle(hub: &Hub) -> Result<JoinSet<Result<(), Failed>>, Failed> {
    let mut idle = JoinSet::new();
    for i in 0..IDLE {
        let mut client = hub.client(&format!("idle{i}")).await?;
        idle.spawn(async move { hear(&mut client).await });
    }
    Ok(idle)
}

/// Pairs that say messages of a size to each other, and answer each at once.
async fn talk(hub: &Hub, size: usize) -> Result<(), Failed> {
    let mut pairs = JoinSet::new();
    let (begin, busy) = (Instant::now(), hub.busy()?);
    for pair in 0..PAIRS {
        let (a, b) = (format!("a{size}.{pair}"), format!("b{size}.{pair}"));
        let (one, other) = (hub.client(&a).await?, hub.client(&b).await?);
        pairs.spawn(async move {
            let (asks, answers) = (message(&a, &b, size), message(&b, &a, size));
            tokio::select! {
                times = ask(one, asks, begin) => times,
                failed = answer(other, answers) => Err(failed),
            }
        });
    }
    let mut times = Vec::new();
    while let Some(pair) = pairs.join_next().await {
        times.extend(pair??);
    }
    let (took, busy) = (begin.elapsed(), hub.busy()? - busy);
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    // There and back are two.
    let forwarded = (2 * times.len()) as f64;
    println!(
        "messages of {size} bytes: {:.0} a second, {:.1} us of the hub each; there and back {:.1} ms \
         (median), {:.1} ms (99 of 100)",
        forwarded / took.as_secs_f64(),
        busy.as_secs_f64() * 1e6 / forwarded,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

/// Says as much as the window allows; how long each message took there and back.
async fn ask(mut client: Client, text: Message, begin: Instant) -> Result<Vec<Duration>, Failed> {
    let mut sent = VecDeque::new();
    let mut times = Vec::new();
    while begin.elapsed() < TALK {
        while sent.len() < WINDOW {
            sent.push_back(Instant::now());
            client.send(text.clone()).await?;
        }
        hear(&mut client).await?;
        times.extend(sent.pop_front().map(|at| at.elapsed()));
    }
    Ok(times)
}

async fn answer(mut client: Client, text: Message) -> Failed {
    loop {
        if let Err(failed) = hear(&mut client).await {
            return failed;
        }
        if let Err(failed) = client.send(text.clone()).await {
            return failed.into();
        }
    }
}

fn message(from: &str, to: &str, size: usize) -> Message {
    let filler = "x".repeat(size);
    Message::text(format!(
        r#"{{"type":"sdp","data":{{"from_id":"{from}","to_id":"{to}","session_description":{{"type":"offer","sdp":"{filler}"}}}}}}"#
    ))
}
