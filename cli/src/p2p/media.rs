//! Sound and pictures from files: ffmpeg decodes and encodes them, at the speed at which they are played.

use std::{
    fs::File,
    future::pending,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use smoq_p2p::{Frame, Kind};
use tokio::sync::mpsc;

use super::container;
use crate::failure::Failure;

/// Frames that wait to be sent.
const QUEUE: usize = 16;

/// What an encoder does.
pub(super) enum Coded {
    Frame(Frame),
    /// There will be no more of this kind.
    Ended(Kind),
}

/// The files, and the encoders that run.
pub(super) struct Media {
    audio: Track,
    video: Track,
}

struct Track {
    kind: Kind,
    file: Option<PathBuf>,
    encoder: Option<Encoder>,
}

struct Encoder {
    ffmpeg: Child,
    frames: mpsc::Receiver<Frame>,
}

impl Media {
    /// Finds out whether it will work.
    pub(super) fn new(audio: Option<PathBuf>, video: Option<PathBuf>) -> Result<Self, Failure> {
        for file in [&audio, &video].into_iter().flatten() {
            let opened = File::open(file);
            opened.map_err(|source| Failure::Media { path: file.clone(), source })?;
        }
        if audio.is_some() || video.is_some() {
            let mut probe = Command::new("ffmpeg");
            probe.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            probe.status().map_err(Failure::NoFfmpeg)?;
        }
        let track = |kind, file| Track { kind, file, encoder: None };
        Ok(Self { audio: track(Kind::Audio, audio), video: track(Kind::Video, video) })
    }

    /// Of what there is a file.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let tracks = [&self.audio, &self.video];
        tracks.into_iter().filter(|it| it.file.is_some()).map(|it| it.kind).collect()
    }

    /// Begins to play a file, unless it is being played.
    pub(super) fn start(&mut self, kind: Kind) -> io::Result<()> {
        let track = self.track(kind);
        if let (Some(file), None) = (&track.file, &track.encoder) {
            track.encoder = Some(Encoder::start(kind, file)?);
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, kind: Kind) {
        self.track(kind).encoder = None;
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Coded {
        tokio::select! {
            coded = self.audio.next() => coded,
            coded = self.video.next() => coded,
        }
    }

    fn track(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        }
    }
}

impl Track {
    async fn next(&mut self) -> Coded {
        let Some(encoder) = &mut self.encoder else { return pending().await };
        match encoder.frames.recv().await {
            Some(frame) => Coded::Frame(frame),
            None => {
                self.encoder = None;
                Coded::Ended(self.kind)
            }
        }
    }
}

impl Encoder {
    fn start(kind: Kind, file: &Path) -> io::Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "quiet", "-re", "-stream_loop", "-1"]);
        if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("yuv")) {
            // It has no head. This is what `smoq generate video` makes.
            command.args(["-f", "rawvideo", "-pix_fmt", "yuv420p"]);
            command.args(["-video_size", "640x480", "-framerate", "30"]);
        }
        // A name that looks like an option or a URL is none.
        let mut input = std::ffi::OsString::from("file:");
        input.push(file);
        command.arg("-i").arg(input).args(["-map_metadata", "-1"]).args(match kind {
            Kind::Audio => AUDIO,
            Kind::Video => VIDEO,
        });
        let mut ffmpeg = command
            .args(["-flush_packets", "1", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (sender, frames) = mpsc::channel(QUEUE);
        if let Some(output) = ffmpeg.stdout.take() {
            thread::spawn(move || read(kind, output, &sender));
        }
        Ok(Self { ffmpeg, frames })
    }
}

/// Packets of 20 ms, each on a page of its own.
const AUDIO: &[&str] = &[
    "-map",
    "0:a:0",
    "-ac",
    "2",
    "-ar",
    "48000",
    "-c:a",
    "libopus",
    "-b:a",
    "96k",
    "-frame_duration",
    "20",
    "-page_duration",
    "20000",
    "-f",
    "ogg",
];
/// A whole picture each second, for those who come later, or have lost one.
const VIDEO: &[&str] = &[
    "-map",
    "0:v:0",
    "-vf",
    "scale='min(1280,iw)':-2",
    "-pix_fmt",
    "yuv420p",
    "-c:v",
    "libvpx",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-lag-in-frames",
    "0",
    "-auto-alt-ref",
    "0",
    "-error-resilient",
    "1",
    "-b:v",
    "1M",
    "-maxrate",
    "1M",
    "-bufsize",
    "500k",
    "-force_key_frames",
    "expr:gte(t,n_forced)",
    "-f",
    "ivf",
];

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}

/// Reads until ffmpeg ends or nobody wants more.
fn read(kind: Kind, output: impl Read, frames: &mpsc::Sender<Frame>) {
    let send = |frame| frames.blocking_send(frame).is_ok();
    // However it ends, there is no more.
    let _ = match kind {
        Kind::Audio => container::ogg(output, send),
        Kind::Video => container::ivf(output, send),
    };
}
