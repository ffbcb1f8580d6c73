//! `smoq generate`: sound and pictures to try things with.

mod audio;
mod video;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  smoq generate audio
      sample.wav: five seconds of a tone
  smoq generate video
      bounce.yuv: ten seconds of a ball
  ffmpeg -f rawvideo -vcodec rawvideo -s 640x480 -pix_fmt yuv420p -i bounce.yuv -c:v libx264 -pix_fmt yuv420p output.mp4
      Look at it
  smoq generate video --output - | ffmpeg -f rawvideo -s 640x480 -pix_fmt yuv420p -r 30 -i - out.mp4
      The same without a file";

/// Make a sound or a video file to try things with
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Audio(audio::Args),
    Video(video::Args),
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.what {
        What::Audio(args) => audio::run(args),
        What::Video(args) => video::run(args),
    }
}

/// Opens `path`, or standard output for `-`, and has it written. Then says what there is now, unless it
/// went to standard output, where a reader that goes away had enough.
fn write_to(
    path: &Path,
    what: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut output = BufWriter::new(io::stdout().lock());
        let written = write(&mut output).and_then(|()| output.flush());
        return match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        };
    }
    let failed = |source| Failure::Write { path: path.to_owned(), source };
    let mut output = BufWriter::new(File::create(path).map_err(failed)?);
    write(&mut output).and_then(|()| output.flush()).map_err(failed)?;
    // Nobody may be listening there; the file is written.
    let _ = writeln!(io::stdout(), "{}: {what}", path.display());
    Ok(())
}

/// Where to write: what the user says, else a file of this name here.
fn output(path: Option<PathBuf>, name: &str) -> PathBuf {
    path.unwrap_or_else(|| name.into())
}
