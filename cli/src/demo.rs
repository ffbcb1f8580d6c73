//! `smoq demo`

use std::{
    env,
    io::{self, IsTerminal, Write},
    iter,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use smoq_core::{Carrier, Path, SubscribeOptions, wire::TrackInfo};
use smoq_quic::Trust;
use smoq_relay::{Config, Relay, hex};
use smoq_tokio::{ClientOptions, Connection, TrackWriter};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{failure::Failure, interrupt::interrupted, runtime::RuntimeArgs};

/// What is published, and as what.
const BROADCAST: &str = "demo";
const TRACK: &str = "data";

/// What subscribers use, in turns.
const CARRIERS: &[Carrier] = &[
    Carrier::Raw,
    #[cfg(feature = "h3")]
    Carrier::WebTransport,
];

/// Pictures a second.
const RATE: u32 = 30;

/// Pictures in a group.
const GROUP: u64 = 60;

/// Columns and lines of a picture: 4 KiB, and it fits most terminals.
const WIDTH: u64 = 132;
const HEIGHT: u64 = 31;

const EXAMPLES: &str = "\
Examples:
  smoq demo
  smoq demo --subscribers 100 --duration 10s";

/// See it work: a relay, a publisher and subscribers in one process, over real sockets
///
/// The publisher sends 30 pictures of 4 KiB a second. Subscribers come over raw QUIC and WebTransport in
/// turns. The relay can be joined from other terminals.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many subscribe
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    subscribers: u16,
    /// End by itself after so long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Where the relay listens (UDP)
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    listen: SocketAddr,
    #[command(flatten)]
    runtime: RuntimeArgs,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let stop = interrupted();
    let executor = args.runtime.executor;
    let relay = Relay::bind(Config { listen: Some(args.listen), executor, ..Config::default() })?;
    let (url, fingerprint) = (relay.url(), relay.fingerprint());
    // Only on loopback addresses clients trust it by themselves.
    let trust = match relay.local_addr().ip().is_loopback() {
        true => String::new(),
        false => format!(" --tls-fingerprint {}", hex(&fingerprint)),
    };
    let (end_relay, relay_ends) = oneshot::channel::<()>();
    let relay = tokio::spawn(relay.run(async {
        let _ = relay_ends.await;
    }));

    let connect = async |carrier| {
        let options = ClientOptions::new(Trust::Fingerprints(vec![fingerprint]));
        let url = url.clone().with_carrier(carrier);
        let connected = executor.connect(&url, options).await;
        connected.map_err(|error| Failure::Connect { url: url.to_string(), error })
    };
    let start = Instant::now();
    let published = Arc::new(Mutex::new(Flow::default()));
    let mut received = Vec::new();
    let mut tasks = JoinSet::new();
    let publisher = connect(Carrier::Raw).await?;
    // If nobody reads it, that shows soon.
    let _ = writeln!(
        io::stdout(),
        "relay       {url}  {}\nto join it  {} subscribe{trust} {url} {BROADCAST}\n",
        publisher.version(),
        program(),
    );
    let broadcast = publisher.origin().create(&Path::new(BROADCAST)?).await?;
    let info = TrackInfo { timescale: 1_000_000, ..TrackInfo::default() };
    let track = broadcast.track(TRACK, info).await?;
    broadcast.announce().await?;
    tasks.spawn(publish(track, start, published.clone()));
    for carrier in CARRIERS.iter().cycle().take(args.subscribers.into()) {
        let flow = Arc::new(Mutex::new(Flow::default()));
        tasks.spawn(subscribe(connect(*carrier).await?, start, flow.clone()));
        received.push((*carrier, flow));
    }

    let end = async {
        match args.duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop => {}
        () = end => {}
        error = show(&published, &received) => match error.kind() {
            // Whoever looked has seen enough.
            io::ErrorKind::BrokenPipe => return Ok(()),
            _ => return Err(error.into()),
        },
        Some(Ok(Err(failure))) = tasks.join_next() => return Err(failure),
    }
    tasks.shutdown().await;
    drop(end_relay);
    if let Ok(result) = relay.await {
        result?;
    }
    match received.iter().position(|(_, flow)| lock(flow).frames == 0) {
        Some(silent) => Err(Failure::DemoSilence(silent + 1)),
        None => Ok(()),
    }
}

/// How this program is called.
fn program() -> String {
    let typed = env::args().next().unwrap_or_else(|| "smoq".into());
    match env::current_exe() {
        // What is not found on the search path is found by its full path only.
        Ok(path) if typed.contains(std::path::MAIN_SEPARATOR) => path.display().to_string(),
        _ => typed,
    }
}

/// What went by at one place.
#[derive(Default)]
struct Flow {
    frames: u64,
    bytes: u64,
    groups: u64,
    /// Frames that should have come.
    lost: u64,
    /// How old frames were, since somebody looked.
    latencies: Vec<Duration>,
}

impl Flow {
    fn add(&mut self, frame: &Bytes) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
    }
}

fn lock(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn publish(
    mut track: TrackWriter,
    start: Instant,
    flow: Arc<Mutex<Flow>>,
) -> Result<(), Failure> {
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for first in (0..).step_by(GROUP as usize) {
        let mut group = track.group().await?;
        lock(&flow).groups += 1;
        for picture in first..first + GROUP {
            ticks.tick().await;
            let frame = draw(picture);
            lock(&flow).add(&frame);
            group.write(start.elapsed().as_micros() as u64, frame).await?;
        }
        group.finish()?;
    }
    Ok(())
}

async fn subscribe(
    connection: Connection,
    start: Instant,
    flow: Arc<Mutex<Flow>>,
) -> Result<(), Failure> {
    let path = Path::new(BROADCAST)?;
    let origin = connection.origin();
    let mut announced = origin.announced(&path).await?;
    // The first that comes is the broadcast: it is the only one.
    announced.next().await?;
    // What is late is counted as such, not left out.
    let options = SubscribeOptions { max_age: Duration::MAX, ..SubscribeOptions::default() };
    let mut subscription = origin.subscribe(&path, TRACK, options).await?;
    let failed =
        |error| Failure::Subscribe { broadcast: BROADCAST.into(), track: TRACK.into(), error };
    let mut due = None;
    while let Some(mut group) = subscription.next_group().await.map_err(failed)? {
        let missed = group.sequence().saturating_sub(due.unwrap_or(group.sequence()));
        due = Some(group.sequence() + 1);
        let mut frames = 0;
        lock(&flow).groups += 1;
        while let Ok(Some(frame)) = group.next_frame().await {
            frames += 1;
            let sent = Duration::from_micros(frame.timestamp);
            let mut flow = lock(&flow);
            flow.add(&frame.payload);
            flow.latencies.push(start.elapsed().saturating_sub(sent));
        }
        lock(&flow).lost += missed * GROUP + (GROUP - frames);
    }
    Ok(())
}

/// Waves, in characters: who joins from a terminal sees them move.
fn draw(picture: u64) -> Bytes {
    const INK: &[u8] = b" .:-=+*#%@";
    // To the upper left corner.
    let mut text = b"\x1b[H".to_vec();
    let time = picture as f64 / f64::from(RATE);
    for line in 0..HEIGHT {
        text.extend((0..WIDTH).map(|column| {
            let (x, y) = (column as f64 / 8.0, line as f64 / 4.0);
            let height = (x + time).sin() + (y - time * 1.3).sin() + ((x + y) / 2.0 + time).sin();
            INK[((height + 3.0) / 6.0 * (INK.len() - 1) as f64).round() as usize]
        }));
        text.push(b'\n');
    }
    text.into()
}

/// Shows what flows, again and again; ends when it cannot.
async fn show(published: &Mutex<Flow>, received: &[(Carrier, Arc<Mutex<Flow>>)]) -> io::Error {
    let terminal = io::stdout().is_terminal();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.tick().await;
    let mut before = vec![(0, 0); received.len() + 1];
    let mut drawn = 0;
    loop {
        ticks.tick().await;
        let mut text = String::new();
        if terminal && drawn > 0 {
            // Over the lines of the last time.
            text = format!("\x1b[{drawn}A\x1b[J");
        }
        let subscribers = received.iter().zip(1..);
        let names = iter::once("publisher".into()).chain(
            subscribers.map(|((carrier, _), number)| format!("subscriber {number}  {carrier}")),
        );
        let flows = iter::once(published).chain(received.iter().map(|(_, flow)| &**flow));
        for ((name, flow), before) in names.zip(flows).zip(&mut before) {
            text += &line(&name, &mut lock(flow), before);
        }
        drawn = received.len() + 1;
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            return error;
        }
    }
}

/// One place, in the second since `before` (frames and bytes).
fn line(name: &str, flow: &mut Flow, before: &mut (u64, u64)) -> String {
    let frames = flow.frames - before.0;
    let rate = (flow.bytes - before.1) as f64 * 8.0 / 1e6;
    *before = (flow.frames, flow.bytes);
    let mut text =
        format!("{name:<27} {frames:>3} frames/s  {rate:>5.2} Mbit/s  groups {:>4}", flow.groups);
    let mut latencies = std::mem::take(&mut flow.latencies);
    latencies.sort_unstable();
    if let Some(worst) = latencies.last() {
        let median = latencies[latencies.len() / 2];
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        text += &format!(
            "  lost {}  latency {:.2} ms, at most {:.2} ms",
            flow.lost,
            millis(median),
            millis(*worst)
        );
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_4_kib_and_moves() {
        let picture = draw(0);
        assert!((4000..4200).contains(&picture.len()), "{}", picture.len());
        assert!(picture[3..].iter().all(|byte| byte.is_ascii_graphic() || b" \n".contains(byte)));
        assert_ne!(picture, draw(1));
    }

    #[test]
    fn a_line_tells_what_came_since_the_last_one() {
        let latencies = [3, 1, 2].map(Duration::from_millis).to_vec();
        let mut flow = Flow { frames: 40, bytes: 2_000_000, groups: 2, lost: 1, latencies };
        let mut before = (10, 1_000_000);
        let text = line("one", &mut flow, &mut before);
        for part in
            ["30 frames/s", "8.00 Mbit/s", "groups    2", "lost 1", "2.00 ms, at most 3.00 ms"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert!(line("one", &mut flow, &mut before).contains(" 0 frames/s"));
    }
}
