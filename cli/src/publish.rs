//! `smoq publish`

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use smoq_core::{Path, wire::TrackInfo};
use smoq_tokio::{ClientOptions, Connection, GroupWriter, TrackWriter};
use tokio::io::{Stdin, stdin};
use tracing::debug;

use crate::{
    client::{self, ClientArgs, ReconnectArgs},
    failure::Failure,
    input::Frames,
    interrupt::interrupted,
    pace::Pace,
    terminal::tell,
};

/// Bytes of a group, at most: what relays take (the default of [`smoq_core::Limits`]).
const GROUP_BYTES: usize = 32 << 20;

/// Bytes that a frame takes besides its payload, at most.
const FRAME_HEADER: usize = 16;

const EXAMPLES: &str = "\
Examples:
  ffmpeg -re -i film.mp4 -c copy -f mpegts - | smoq publish --wait moqt://localhost:4443 tv
  smoq publish --wait moqt://localhost:4443 files/image < image.iso
      ... for `smoq subscribe --all moqt://localhost:4443 files/image > image.iso`";

/// Publish standard input as a live track
///
/// A frame ends when it is full or when the input pauses for 5 ms, a group when it has enough frames.
/// At the end of the input the track ends, and the command returns when everything has arrived.
///
/// When the connection is lost, another one is made. If somebody was subscribed, the input waits until they
/// are back, for half a minute at most from when there is a connection.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    reconnect: ReconnectArgs,
    /// The path to announce
    broadcast: String,
    /// The track's name
    #[arg(long, value_name = "NAME", default_value = "data")]
    track: String,
    /// Bytes of a frame, at most
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    frame_size: u32,
    /// Frames of a group: where subscribers can begin, and what is left out when they are late
    #[arg(long, value_name = "FRAMES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=8192))]
    group_frames: u32,
    /// How long a group is of use when a newer one exists
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    max_age: Duration,
    /// Read nothing until somebody subscribes
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let size = args.frame_size as usize;
    if (size + FRAME_HEADER) * args.group_frames as usize > GROUP_BYTES {
        let message = format!(
            "a group of {} frames of {size} bytes is larger than the {GROUP_BYTES} bytes that relays \
             take: lower --group-frames or --frame-size",
            args.group_frames,
        );
        return Err(Failure::Usage(message));
    }
    let path = Path::new(&args.broadcast)?;
    let publish = async |connection: &mut Connection| publish(connection, &path, &args).await;
    let change = |options: &mut ClientOptions| options.reconnect = args.reconnect.options();
    client::run(&args.client, change, publish).await
}

async fn publish(connection: &mut Connection, path: &Path, args: &Args) -> Result<(), Failure> {
    let stop = interrupted();
    tokio::pin!(stop);
    let info = TrackInfo {
        max_age_ms: u64::try_from(args.max_age.as_millis()).unwrap_or(u64::MAX),
        timescale: 1_000_000,
        ..TrackInfo::default()
    };
    let broadcast = connection.origin().create(path).await?;
    let mut track = broadcast.track(&args.track, info).await?;
    broadcast.announce().await?;
    if args.wait {
        tokio::select! {
            () = &mut stop => return Ok(()),
            reason = connection.closed() => return Err(Failure::Disconnected(reason)),
            wanted = track.wanted() => wanted?,
        }
    }
    let mut pipe = Pipe::new(&mut track, args);
    tokio::select! {
        reason = connection.closed() => return Err(Failure::Disconnected(reason)),
        result = pipe.run(stop) => result?,
    }
    pipe.finish()?;
    track.finish()?;
    if !track.is_wanted() {
        tell("nobody subscribes at the end of the input; --wait waits for somebody");
        return Ok(());
    }
    tokio::select! {
        () = interrupted() => Ok(()),
        reason = connection.closed() => Err(Failure::Disconnected(reason)),
        result = track.finished() => Ok(result?),
    }
}

/// From standard input to a track.
struct Pipe<'a> {
    frames: Frames<Stdin>,
    track: &'a mut TrackWriter,
    group: Option<GroupWriter>,
    /// Frames that a group has.
    group_frames: u32,
    /// Frames that the open group can still take.
    room: u32,
    start: Instant,
    /// Bytes written so far.
    written: u64,
    pace: Pace,
}

impl<'a> Pipe<'a> {
    fn new(track: &'a mut TrackWriter, args: &Args) -> Self {
        Self {
            frames: Frames::new(stdin(), args.frame_size as usize),
            track,
            group: None,
            group_frames: args.group_frames,
            room: 0,
            start: Instant::now(),
            written: 0,
            pace: Pace::default(),
        }
    }

    /// Until the end of the input, or until `stop`: what was read so far is the track, then.
    async fn run(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Result<(), Failure> {
        loop {
            let frame = tokio::select! {
                frame = self.frames.next() => frame?,
                () = &mut stop => break,
            };
            let Some(frame) = frame else { return Ok(()) };
            // Not to be given up: the frame would be lost.
            self.write(frame).await?;
            tokio::select! {
                room = self.pace.keep(self.track) => room?,
                () = &mut stop => break,
            }
        }
        while let Some(frame) = self.frames.take() {
            self.write(frame).await?;
        }
        Ok(())
    }

    async fn write(&mut self, frame: Bytes) -> Result<(), Failure> {
        let group = match &mut self.group {
            Some(group) => group,
            none => {
                let group = self.track.group().await?;
                debug!(group = group.sequence(), offset = self.written, "begin");
                self.room = self.group_frames;
                none.insert(group)
            }
        };
        let timestamp = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let size = frame.len();
        group.write(timestamp, frame).await?;
        self.written += size as u64;
        self.pace.wrote(size);
        self.room -= 1;
        if self.room == 0 { self.finish() } else { Ok(()) }
    }

    /// Ends the open group.
    fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.group.take().map_or(Ok(()), GroupWriter::finish)?)
    }
}
