//! `smoq bench`

mod cost;
mod load;
mod report;
mod shape;

use std::{
    io::{self, Write},
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use smoq_core::{Path, wire::SessionCode};
use smoq_relay::Executor;
use smoq_tokio::{ClientOptions, Connection, Url};
use tokio::{task::JoinSet, time::sleep_until};

use self::{
    cost::Cost,
    load::{TRACK, Tally, Viewer, Window},
    report::{Report, ServerCost},
    shape::{Flow, Shape},
};
use crate::{
    client::{self, ConnectArgs},
    failure::Failure,
    interrupt::interrupted,
};

const EXAMPLES: &str = "\
Examples:
  smoq relay & smoq bench --pid $! moqt://localhost:4443
  smoq bench --shape small --subscribers 500 --duration 1m moqt://relay.example

The load shares the machine with a relay that runs on it: give them cores of their own (taskset).";

/// How long frames may come after the end of the time that counts.
const GRACE: Duration = Duration::from_secs(3);

/// How often to look whether everything has come.
const LOOK: Duration = Duration::from_millis(50);

/// Load a relay, anybody's, and measure what comes out
///
/// One publisher and many subscribers, each with a connection and a socket of its own. Each frame
/// carries the time of its making.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The relay: `moqt://HOST[:PORT][/PATH][?QUERY]` or `https://...`, port 443 by default
    url: Url,
    /// What flows
    #[arg(long, value_enum, default_value_t = Shape::Video)]
    shape: Shape,
    /// Frames a second, instead of the shape's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// How many come, see their first frame and go again before the others come
    #[arg(long, value_name = "N", default_value_t = 0)]
    visits: u32,
    /// How many subscribe
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,
    /// How many more stop to read after their first frame; they are not counted
    #[arg(long, value_name = "N", default_value_t = 0)]
    stalled: u32,
    /// How many more read a tenth of what comes; they are not counted
    #[arg(long, value_name = "N", default_value_t = 0)]
    slow: u32,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long everything flows before that
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// Sessions that are dialed at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    dials: u32,
    /// The relay's process, if it runs on this machine: what it costs is measured too
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The server makes the frames itself, in this shape
    #[arg(long)]
    no_publish: bool,
    /// The broadcast
    #[arg(long, value_name = "PATH", default_value = "bench")]
    broadcast: String,
    /// One line of JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ConnectArgs,
}

impl Args {
    /// What flows, if anything does.
    fn flow(&self) -> Option<Flow> {
        let flow = self.shape.flow()?;
        Some(Flow { rate: self.rate.unwrap_or(flow.rate), ..flow })
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    tokio::select! {
        () = interrupted() => Ok(()),
        report = measure(&args) => {
            let report = report?;
            let text = if args.json { report.json() } else { report.to_string() };
            Ok(writeln!(io::stdout(), "{text}")?)
        }
    }
}

async fn measure(args: &Args) -> Result<Report, Failure> {
    let cost = || args.pid.map(Cost::of).transpose().map_err(Failure::NoProcess);
    let dialer = Arc::new(Dialer::new(args)?);
    let before = cost()?;
    let window = Window::default();
    let mut tasks = JoinSet::new();
    let published = Arc::new(AtomicU64::new(0));
    let mut publisher = None;
    if let Some(flow) = args.flow().filter(|_| !args.no_publish) {
        let connection = dialer.connect().await?;
        let broadcast = connection.origin().create(&dialer.path).await?;
        let track = broadcast.track(TRACK, load::info()).await?;
        broadcast.announce().await?;
        tasks.spawn(load::publish(track, flow, window.clone(), published.clone()));
        publisher = Some((connection, broadcast));
    }
    let dials = args.dials as usize;
    dialer.dial(args.visits, dials, drop).await?;
    if let Some(flow) = args.flow() {
        let (window, interval) = flow.tenth();
        let mut laggard = Dialer::new(args)?;
        laggard.options.transport.receive_window = window;
        let laggard = Arc::new(laggard);
        for (count, interval) in [(args.stalled, None), (args.slow, Some(interval))] {
            let joined = |Joined { connection, viewer, .. }| {
                if let Some(viewer) = viewer {
                    tasks.spawn(viewer.lag(connection, interval));
                }
            };
            laggard.dial(count, dials, joined).await?;
        }
    }
    let begin = Instant::now();
    let mut crowd = Crowd::default();
    dialer.dial(args.subscribers, dials, |joined| crowd.add(joined, &window, &mut tasks)).await?;
    let Crowd { watching, idle, mut joins, last, version } = crowd;
    let connecting = last.map_or(Duration::ZERO, |last| last.duration_since(begin));
    joins.sort_unstable();
    wait(&mut tasks, Instant::now() + args.warmup, || false).await?;

    let start = load::now();
    let length = u64::try_from(args.duration.as_micros()).unwrap_or(u64::MAX);
    let _ = window.set(start..start.saturating_add(length));
    let end = Instant::now() + args.duration;
    let (server_start, load_start) = (cost()?, Cost::of(process::id())?);
    wait(&mut tasks, end, || false).await?;
    let (server_end, load_end) = (cost()?, Cost::of(process::id())?);

    let expected = || {
        let each = match args.flow() {
            Some(flow) if args.no_publish => {
                (f64::from(flow.rate) * args.duration.as_secs_f64()).round() as u64
            }
            _ => published.load(Ordering::Relaxed),
        };
        each * joins.len() as u64
    };
    let frames = || watching.iter().map(|tally| lock(tally).frames).sum::<u64>();
    wait(&mut tasks, end + GRACE, || frames() >= expected()).await?;
    tasks.abort_all();
    let (frames, expected) = (frames(), expected());
    let bytes = watching.iter().map(|tally| lock(tally).bytes).sum();
    let mut latencies: Vec<_> =
        watching.iter().flat_map(|tally| std::mem::take(&mut lock(tally).latencies)).collect();
    latencies.sort_unstable();
    drop(idle);
    // Or the relay takes it for alive as long as its idle timeout, which the next load would notice.
    if let Some((connection, _)) = publisher {
        connection.close(SessionCode::NO_ERROR, "the load is over").await;
    }
    let server = before.zip(server_start).zip(server_end);
    Ok(Report {
        url: client::without_query(&args.url),
        version,
        shape: args.shape,
        subscribers: joins.len(),
        duration: args.duration,
        expected,
        frames,
        bytes,
        latencies,
        joins,
        connecting,
        server: server.map(|((before, start), end)| ServerCost { before, start, end }),
        load_nanos: load_end.cpu_nanos.saturating_sub(load_start.cpu_nanos),
    })
}

/// Lets everything run until then, or until it is `done`. Whoever ends before has failed.
async fn wait(
    tasks: &mut JoinSet<Result<(), Failure>>,
    until: Instant,
    done: impl Fn() -> bool,
) -> Result<(), Failure> {
    while !done() && Instant::now() < until {
        let look = until.min(Instant::now() + LOOK);
        tokio::select! {
            () = sleep_until(look.into()) => {}
            Some(Ok(ended)) = tasks.join_next() => return ended.and(Err(Failure::BenchEnd)),
        }
    }
    Ok(())
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects, again and again.
struct Dialer {
    url: Url,
    options: ClientOptions,
    executor: Executor,
    path: Path,
    /// Whether there is something to subscribe to.
    flows: bool,
    dialed: AtomicU64,
}

/// What a subscriber has become.
struct Joined {
    connection: Connection,
    viewer: Option<Viewer>,
    /// From dialing to the first frame, or to the session if there is none.
    took: Duration,
    /// When its session began.
    connected: Instant,
}

impl Dialer {
    fn new(args: &Args) -> Result<Self, Failure> {
        Ok(Self {
            url: args.url.clone(),
            options: client::options(&args.url, &args.options)?,
            executor: args.options.runtime.executor,
            path: Path::new(&args.broadcast)?,
            flows: args.flow().is_some(),
            dialed: AtomicU64::new(0),
        })
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let mut options = self.options.clone();
        // The seeds of nodes have to differ.
        let number = self.dialed.fetch_add(1, Ordering::Relaxed);
        options.node.seed = options.node.seed.wrapping_add(number);
        let connected = self.executor.connect(&self.url, options).await;
        connected.map_err(|error| Failure::Connect { url: client::without_query(&self.url), error })
    }

    /// Lets `count` join, some at a time.
    async fn dial(
        self: &Arc<Self>,
        count: u32,
        at_a_time: usize,
        mut joined: impl FnMut(Joined),
    ) -> Result<(), Failure> {
        let (mut dials, mut left) = (JoinSet::new(), count);
        loop {
            while left > 0 && dials.len() < at_a_time {
                dials.spawn(self.clone().join());
                left -= 1;
            }
            match dials.join_next().await {
                Some(Ok(result)) => joined(result?),
                Some(Err(_)) => {}
                None => return Ok(()),
            }
        }
    }

    async fn join(self: Arc<Self>) -> Result<Joined, Failure> {
        let start = Instant::now();
        let connection = self.connect().await?;
        let connected = Instant::now();
        let viewer = match self.flows {
            true => Some(Viewer::join(&connection, &self.path).await?),
            false => None,
        };
        Ok(Joined { connection, viewer, took: start.elapsed(), connected })
    }
}

/// Everybody who watches.
#[derive(Default)]
struct Crowd {
    watching: Vec<Arc<Mutex<Tally>>>,
    /// Those who have nothing to watch.
    idle: Vec<Connection>,
    joins: Vec<Duration>,
    /// When the last session began.
    last: Option<Instant>,
    version: String,
}

impl Crowd {
    fn add(&mut self, joined: Joined, window: &Window, tasks: &mut JoinSet<Result<(), Failure>>) {
        let Joined { connection, viewer, took, connected } = joined;
        self.joins.push(took);
        self.last = self.last.max(Some(connected));
        self.version = connection.version().to_string();
        match viewer {
            Some(viewer) => {
                let tally = Arc::new(Mutex::new(Tally::default()));
                tasks.spawn(viewer.watch(connection, window.clone(), tally.clone()));
                self.watching.push(tally);
            }
            None => self.idle.push(connection),
        }
    }
}
