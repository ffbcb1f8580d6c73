//! `smoq echo client`

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use smoq_core::{Grant, Path, wire::TrackInfo};
use smoq_tokio::{ClientOptions, Connection, Origin, TrackWriter, Url};
use tokio::{
    io::{AsyncReadExt, stdin},
    time::timeout,
};
use tracing::{Instrument, debug, info, info_span};

use super::{BROADCAST, PREFIX, TRACK, limits};
use crate::{
    announced::until_active,
    client::{self, ClientArgs, ConnectArgs},
    failure::Failure,
    interrupt::interrupted,
    ordered::Ordered,
    output::Output,
    pace::{Pace, STORE_AGE},
    place::at,
    reorder::Policy,
    terminal::tell,
};

const DEFAULT_URL: &str =
    if cfg!(feature = "h3") { "https://localhost:4443/echo" } else { "moqt://localhost:4443/echo" };

/// Bytes of a message, at most.
const MESSAGE: usize = 16 << 10;

/// How long the server may take to announce the echo before the user is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Say something, and see it come back
///
/// Each line that is typed, or each piece of up to 16 KiB that comes through a pipe, is a group with
/// one frame. What comes back goes to standard output. At the end of the input the track ends, and the
/// command returns when everything has come back.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The echo server: `https://HOST[:PORT]/echo` (WebTransport) or `moqt://HOST[:PORT]/echo` (raw
    /// QUIC), port 443 by default
    #[arg(default_value = DEFAULT_URL)]
    url: Url,
    #[command(flatten)]
    options: ConnectArgs,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    // Both sides use the same names: what the server says lies elsewhere than what it hears.
    let places = Places { said: Path::new("said")?, echo: Path::new("echo")? };
    let grant = Grant { publish: Some(places.echo.clone()), subscribe: Some(places.said.clone()) };
    let change = |options: &mut ClientOptions| {
        options.node.limits = limits();
        options.grant = grant;
    };
    let work = async |connection: &mut Connection| {
        let (remote, version) = (connection.remote(), connection.version());
        tokio::select! {
            result = talk(connection, &places)
                .instrument(info_span!("echo", %remote, %version)) => result,
            () = interrupted() => Ok(()),
        }
    };
    client::run(&ClientArgs { url: args.url, options: args.options }, change, work).await
}

/// Where things lie in the client's namespace.
struct Places {
    said: Path,
    echo: Path,
}

async fn talk(connection: &Connection, places: &Places) -> Result<(), Failure> {
    info!("connected");
    if connection.path_in_names() {
        let version = connection.version();
        return Err(Failure::Usage(format!(
            "{version} cannot carry the path of the URL on raw QUIC, and an echo server has no other: \
             use a newer one with --moq-version, or leave it out"
        )));
    }
    let origin = connection.origin();
    let broadcast = origin.create(&at(&places.said, BROADCAST)?).await?;
    let info = TrackInfo {
        max_age_ms: STORE_AGE.as_millis() as u64,
        timescale: 1_000_000,
        ..TrackInfo::default()
    };
    let track = broadcast.track(TRACK, info).await?;
    broadcast.announce().await?;
    info!(path = BROADCAST, track = TRACK, "announces");
    let mut hear = pin!(hear(&origin, &places.echo));
    tokio::select! {
        heard = &mut hear => heard,
        // The echo ends when the track does, however that ends.
        said = say(track) => said.and(hear.await),
    }
}

/// From standard input to the server.
async fn say(mut track: TrackWriter) -> Result<(), Failure> {
    track.wanted().await?;
    info!("the server subscribes");
    let (mut input, start, mut pace) = (stdin(), Instant::now(), Pace::default());
    loop {
        // A terminal gives a line at a time.
        let mut message = BytesMut::with_capacity(MESSAGE);
        let size = input.read_buf(&mut message).await?;
        if size == 0 {
            break;
        }
        let mut group = track.group().await?;
        let sequence = group.sequence();
        if sequence == 0 {
            info!(group = sequence, size, "sends the first group");
        } else {
            debug!(group = sequence, size, "sends a group");
        }
        let timestamp = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        group.write(timestamp, message.freeze()).await?;
        group.finish()?;
        pace.wrote(size);
        pace.keep(&mut track).await?;
    }
    info!("the input has ended: ends the track");
    Ok(track.finish()?)
}

/// From the server to standard output.
async fn hear(origin: &Origin, echo: &Path) -> Result<(), Failure> {
    let mut announced = origin.announced(&at(echo, PREFIX)?).await?;
    info!(prefix = PREFIX, "asks for announcements");
    let path = at(echo, BROADCAST)?;
    let patient = timeout(PATIENCE, until_active(&mut announced, &path)).await;
    if let Ok(active) = patient {
        active?;
    } else {
        tell(
            "the server announces no echo yet, waiting; if it is a relay, there will be none: \
              `smoq echo server` starts an echo server",
        );
        until_active(&mut announced, &path).await?;
    }
    info!(path = BROADCAST, "the server announces");
    let mut ordered = Ordered::subscribe(origin, &path, TRACK, Policy::Lossless).await?;
    info!(path = BROADCAST, track = TRACK, "subscribes");
    ordered.info().await?;
    info!("the server accepts the subscription");
    let output = Output::stdout();
    let missing = ordered.write_to(&output).await;
    output.finish().await?;
    ordered.end()?;
    info!("the echo has ended");
    if missing > 0 { Err(Failure::Gap { count: missing }) } else { Ok(()) }
}
