//! Recordings of the relay's nodes, on disk.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, JoinHandle},
};

use smoq_tokio::Recordings;
use thiserror::Error;

/// Pieces between a shard and its file. More wait as one, in the shard, where they are bounded.
const QUEUE: usize = 1;

/// What to record, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file of the first shard; that of shard 1 has `.1` behind its name, and so on. What was there
    /// before is kept: it gets `.old` behind its name.
    pub file: PathBuf,
    /// Bytes at which the recording of a shard ends.
    pub limit: u64,
}

/// A file for a recording cannot be made.
#[derive(Debug, Error)]
#[error("cannot record to {path}: {source}; choose another file with --record")]
pub struct RecordError {
    path: PathBuf,
    source: io::Error,
}

/// The threads that write.
#[derive(Default)]
pub(crate) struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    /// Waits until everything is written. The relay has to be over, or nearly so.
    pub(crate) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a thread that writes a recording has failed");
            }
        }
    }
}

/// The file of a shard.
fn path_of(file: &Path, shard: u8) -> PathBuf {
    if shard == 0 { file.to_owned() } else { with(file, &format!(".{shard}")) }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Where recordings will go, each shard's with its file.
pub(crate) struct Places(Vec<(PathBuf, Receiver<Vec<u8>>)>);

impl Places {
    /// What the shards are to be made with. No file is touched before [`open`](Self::open): a relay
    /// that does not start must leave those of one that runs alone.
    pub(crate) fn new(record: &Record, shards: u8) -> (Recordings, Self) {
        let Record { file, limit } = record;
        let mut recordings = Recordings { to: Vec::new(), limit: *limit };
        let place = |shard| {
            let (sender, receiver) = sync_channel(QUEUE);
            recordings.to.push(sender);
            (path_of(file, shard), receiver)
        };
        let places = (0..shards).map(place).collect();
        (recordings, Self(places))
    }

    /// Makes the files, and a thread for each that writes it: a disk that is slow must not hold up a
    /// shard.
    pub(crate) fn open(self) -> Result<Writers, RecordError> {
        let mut writers = Writers::default();
        for (shard, (path, receiver)) in self.0.into_iter().enumerate() {
            let failed = |source| RecordError { path: path.clone(), source };
            let out = create(&path).map_err(failed)?;
            let place = path.clone();
            let thread = thread::Builder::new().name(format!("smoq record {shard}"));
            let thread = thread.spawn(move || write(out, &receiver, &place)).map_err(failed)?;
            writers.0.push(thread);
        }
        Ok(writers)
    }
}

fn create(path: &Path) -> io::Result<File> {
    match fs::metadata(path) {
        // Not a device or a pipe.
        Ok(known) if known.is_file() => fs::rename(path, with(path, ".old"))?,
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true);
    // It has what peers say, tokens and media.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write(mut out: File, from: &Receiver<Vec<u8>>, path: &Path) {
    for bytes in from {
        if let Err(error) = out.write_all(&bytes) {
            tracing::warn!("cannot write to {}: {error}", path.display());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { file: folder.path().join("tape"), limit: 1000 };
        for text in ["first", "second"] {
            let (recordings, places) = Places::new(&record, 2);
            let writers = places.open().unwrap();
            for to in &recordings.to {
                to.send(text.into()).unwrap();
            }
            drop(recordings);
            writers.join();
        }
        for (name, text) in [
            ("tape", "second"),
            ("tape.1", "second"),
            ("tape.old", "first"),
            ("tape.1.old", "first"),
        ] {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text, "{name}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told() {
        let record = Record { file: "/nowhere/at/all".into(), limit: 1000 };
        let error = Places::new(&record, 1).1.open().err().unwrap().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("--record"), "{error}");
    }
}
