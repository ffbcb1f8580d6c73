//! Files on their way, out and in.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ring::digest::{Context, SHA256};
use smoq_p2p::{
    ChannelId, Message, Peer, SendError, Time,
    file::{CHUNK, Hash, PROTOCOL, Said, hex},
};

use crate::terminal::name as shown;

/// Bytes of a file that is taken.
const MOST_SIZE: u64 = 4 << 30;
/// Files that come at a time.
const MOST_INCOMING: usize = 16;
/// Bytes of all files that are taken, so that strangers do not fill the disk.
const MOST_TAKEN: u64 = 16 << 30;
/// How often progress is told: each of so many parts.
const PARTS: u64 = 10;

/// How long a file may be without progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that a file counts as, at least, so that many empty ones do not fill the disk either.
const LEAST_TAKEN: u64 = 64 << 10;

/// What is to be shown.
pub(super) enum Told {
    /// How far a file is, or what became of one that somebody else wanted to send.
    News(String),
    /// A file that was to be sent is not.
    Failed(String),
}

/// A file that is sent.
struct Outgoing {
    peer: String,
    name: String,
    size: u64,
    file: File,
    hash: Context,
    read: u64,
    /// The peer wants it.
    wanted: bool,
    /// A message that found no room.
    held: Option<Message>,
    /// All is said, and the peer has not checked it yet.
    ended: bool,
    told: u64,
    /// When there was some last.
    progress: Time,
}

/// A file that comes.
struct Incoming {
    peer: String,
    name: String,
    size: u64,
    path: PathBuf,
    /// Where it grows until it is whole.
    part: PathBuf,
    file: File,
    hash: Context,
    written: u64,
    told: u64,
}

/// All files on their way. What is to be shown is in the answers.
pub(super) struct Files {
    folder: Option<PathBuf>,
    /// Bytes of files that were taken, or are.
    taken: u64,
    outgoing: BTreeMap<ChannelId, Outgoing>,
    incoming: BTreeMap<ChannelId, Incoming>,
}

impl Files {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, taken: 0, outgoing: BTreeMap::new(), incoming: BTreeMap::new() }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.outgoing.values().map(|it| it.progress.after(PATIENCE)).min()
    }

    /// Gives up the files that have had no progress for too long.
    pub(super) fn handle_timeout(&mut self, now: Time, p2p: &mut Peer) -> Vec<Told> {
        let is_late = |it: &Outgoing| it.progress.after(PATIENCE) <= now;
        let late: Vec<_> =
            self.outgoing.iter().filter(|(_, it)| is_late(it)).map(|(id, _)| *id).collect();
        let failure = format!("nothing has happened for {} s", PATIENCE.as_secs());
        late.into_iter().filter_map(|channel| self.fail(now, p2p, channel, &failure)).collect()
    }

    /// Whether some are still being sent.
    pub(super) fn are_going(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Offers a file to a peer.
    pub(super) fn offer(
        &mut self,
        now: Time,
        p2p: &mut Peer,
        peer: &str,
        label: &str,
        path: &Path,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(format!("{} is no file", path.display()));
        }
        if meta.len() > MOST_SIZE {
            return Err(format!("{} has more than {MOST_SIZE} bytes", path.display()));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let begin = Said::Begin { size: meta.len(), name: name.clone() };
        if Said::read(&begin.write()) != Ok(begin) {
            return Err(format!("{name:?} is no name that every system has; rename the file"));
        }
        let channel = p2p.open(now, peer, label, PROTOCOL).map_err(|error| error.to_string())?;
        let outgoing = Outgoing {
            peer: peer.into(),
            name,
            size: meta.len(),
            file,
            hash: Context::new(&SHA256),
            read: 0,
            wanted: false,
            held: None,
            ended: false,
            told: 0,
            progress: now,
        };
        self.outgoing.insert(channel, outgoing);
        Ok(())
    }

    /// A channel for a file is open.
    pub(super) fn opened(&mut self, now: Time, p2p: &mut Peer, channel: ChannelId) {
        if let Some(it) = self.outgoing.get_mut(&channel) {
            it.progress = now;
            let begin = Said::Begin { size: it.size, name: it.name.clone() };
            say(now, p2p, channel, &begin);
        }
    }

    /// Something was said on the channel of a file.
    pub(super) fn heard(
        &mut self,
        now: Time,
        p2p: &mut Peer,
        peer: &str,
        channel: ChannelId,
        message: Message,
    ) -> Option<Told> {
        if self.outgoing.contains_key(&channel) {
            return self.answered(now, p2p, channel, &message);
        }
        let told = match (self.incoming.contains_key(&channel), message) {
            (true, Message::Binary(bytes)) => self.written(channel, &bytes),
            (true, Message::Text(line)) => match Said::read(&line) {
                Ok(Said::End { hash }) => return self.whole(now, p2p, channel, &hash),
                Ok(_) | Err(_) => Err("what it says is not understood".into()),
            },
            (false, Message::Text(line)) => match Said::read(&line) {
                Ok(Said::Begin { size, name }) => self.begin(now, p2p, peer, channel, size, name),
                Ok(_) | Err(_) => Err("what it says is not understood".into()),
            },
            // The rest of what was refused.
            (false, Message::Binary(_)) => return None,
        };
        match told {
            Ok(text) => text.map(Told::News),
            Err(reason) => {
                let name = self.forget(channel);
                say(now, p2p, channel, &Said::Refuse { reason: reason.clone() });
                let peer = shown(peer);
                Some(Told::News(format!("{peer}: file {name} is not taken: {reason}")))
            }
        }
    }

    /// Sends as much as there is room for. Gives what is to be shown.
    pub(super) fn pump(&mut self, now: Time, p2p: &mut Peer, channel: ChannelId) -> Option<Told> {
        let it = self.outgoing.get_mut(&channel).filter(|it| it.wanted && !it.ended)?;
        let failure = loop {
            let message = match it.held.take().map_or_else(|| it.next(), Ok) {
                Ok(message) => message,
                Err(error) => break format!("cannot be read: {error}"),
            };
            match p2p.write(now, channel, &message) {
                Ok(true) if matches!(message, Message::Text(_)) => {
                    (it.ended, it.progress) = (true, now);
                    return None;
                }
                Ok(true) => it.progress = now,
                Ok(false) => {
                    it.held = Some(message);
                    let (peer, name) = (shown(&it.peer), &it.name);
                    return progress(it.read, it.size, &mut it.told)
                        .map(|bar| Told::News(format!("{peer}: sending {name} {bar}")));
                }
                Err(error) => break error.to_string(),
            }
        };
        self.fail(now, p2p, channel, &failure)
    }

    /// A file is not sent.
    fn fail(
        &mut self,
        now: Time,
        p2p: &mut Peer,
        channel: ChannelId,
        failure: &str,
    ) -> Option<Told> {
        let it = self.outgoing.remove(&channel)?;
        let _ = p2p.close_channel(now, channel);
        let peer = shown(&it.peer);
        Some(Told::Failed(format!("{peer}: file {} is not sent: {failure}", it.name)))
    }

    /// A channel is closed.
    pub(super) fn closed(&mut self, now: Time, p2p: &mut Peer, channel: ChannelId) -> Option<Told> {
        if let Some(it) = self.incoming.get(&channel) {
            let peer = shown(&it.peer);
            let name = self.forget(channel);
            let _ = p2p.close_channel(now, channel);
            return Some(Told::News(format!("{peer}: file {name} was cut off, and is not kept")));
        }
        self.fail(now, p2p, channel, "the channel was closed")
    }

    /// A call is over, or has no direct way any more. Gives what is to be shown.
    pub(super) fn lost(&mut self, now: Time, p2p: &mut Peer, peer: &str) -> Vec<Told> {
        let outgoing = self.outgoing.iter().filter(|(_, it)| it.peer == peer).map(|(id, _)| *id);
        let incoming = self.incoming.iter().filter(|(_, it)| it.peer == peer).map(|(id, _)| *id);
        let lost: Vec<_> = outgoing.chain(incoming).collect();
        lost.into_iter().filter_map(|channel| self.closed(now, p2p, channel)).collect()
    }

    fn answered(
        &mut self,
        now: Time,
        p2p: &mut Peer,
        channel: ChannelId,
        message: &Message,
    ) -> Option<Told> {
        let it = self.outgoing.get_mut(&channel)?;
        match std::str::from_utf8(message.bytes()).map(Said::read) {
            Ok(Ok(Said::Go)) => {
                it.wanted = true;
                self.pump(now, p2p, channel)
            }
            Ok(Ok(Said::Done)) if it.ended => {
                let (peer, hash) = (shown(&it.peer), hex(&finish(&it.hash)));
                let text =
                    format!("{peer}: file {} is sent, {} bytes, SHA-256 {hash}", it.name, it.size);
                self.outgoing.remove(&channel);
                let _ = p2p.close_channel(now, channel);
                Some(Told::News(text))
            }
            Ok(Ok(Said::Refuse { reason })) => {
                let (peer, name) = (shown(&it.peer), it.name.clone());
                self.outgoing.remove(&channel);
                let _ = p2p.close_channel(now, channel);
                Some(Told::Failed(format!("{peer}: file {name} is not taken: {reason}")))
            }
            _ => self.fail(now, p2p, channel, "the peer's answer is not understood"),
        }
    }

    fn begin(
        &mut self,
        now: Time,
        p2p: &mut Peer,
        peer: &str,
        channel: ChannelId,
        size: u64,
        name: String,
    ) -> Result<Option<String>, String> {
        let folder =
            self.folder.as_ref().ok_or("this peer takes no files; it would with --save")?;
        if size > MOST_SIZE || self.incoming.len() >= MOST_INCOMING {
            return Err("it is too large, or too many come at once".into());
        }
        if self.taken.saturating_add(charge(size)) > MOST_TAKEN {
            return Err(
                "this peer has taken enough files; it would take more if started again".into()
            );
        }
        let path = folder.join(&name);
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| "it cannot be given a name")?;
        // Whoever else may write there must not know it before.
        let part = folder.join(format!(".smoq-{:016x}.part", u64::from_ne_bytes(random)));
        if path.exists() {
            return Err("there is a file of this name already".into());
        }
        let failed = |error: io::Error| {
            // Where it is kept is nothing to the peer.
            crate::terminal::tell(format_args!("cannot write {}: {error}", part.display()));
            "it cannot be written".to_owned()
        };
        let file = File::create_new(&part).map_err(failed)?;
        let text = format!("{}: file {name} comes, {size} bytes", shown(peer));
        let peer = peer.into();
        let hash = Context::new(&SHA256);
        let it = Incoming { peer, name, size, path, part, file, hash, written: 0, told: 0 };
        self.incoming.insert(channel, it);
        self.taken += charge(size);
        say(now, p2p, channel, &Said::Go);
        Ok(Some(text))
    }

    fn written(&mut self, channel: ChannelId, bytes: &[u8]) -> Result<Option<String>, String> {
        let Some(it) = self.incoming.get_mut(&channel) else { return Ok(None) };
        it.written += bytes.len() as u64;
        if it.written > it.size {
            return Err("it is longer than was said".into());
        }
        it.file.write_all(bytes).map_err(|_| "it cannot be written".to_owned())?;
        it.hash.update(bytes);
        let (peer, name) = (shown(&it.peer), &it.name);
        let bar = progress(it.written, it.size, &mut it.told);
        Ok(bar.map(|bar| format!("{peer}: getting {name} {bar}")))
    }

    fn whole(
        &mut self,
        now: Time,
        p2p: &mut Peer,
        channel: ChannelId,
        hash: &Hash,
    ) -> Option<Told> {
        let it = self.incoming.get(&channel)?;
        let own = finish(&it.hash);
        let kept = if own != *hash || it.written != it.size {
            Err("what came is not what was sent: the hash or the size differs")
        } else if keep(&it.part, &it.path).is_err() {
            Err("it cannot be kept under its name")
        } else {
            Ok(format!(
                "{}: file {} is here, {} bytes, SHA-256 {}",
                shown(&it.peer),
                it.path.display(),
                it.size,
                hex(&own)
            ))
        };
        let peer = shown(&it.peer);
        match kept {
            Ok(text) => {
                self.incoming.remove(&channel);
                say(now, p2p, channel, &Said::Done);
                Some(Told::News(text))
            }
            Err(reason) => {
                let name = self.forget(channel);
                say(now, p2p, channel, &Said::Refuse { reason: reason.into() });
                Some(Told::News(format!("{peer}: file {name} is not taken: {reason}")))
            }
        }
    }

    /// Keeps nothing of a file that came; gives its name.
    fn forget(&mut self, channel: ChannelId) -> String {
        let Some(it) = self.incoming.remove(&channel) else { return "without a name".into() };
        let _ = fs::remove_file(&it.part);
        self.taken -= charge(it.size);
        it.name
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for it in self.incoming.values() {
            let _ = fs::remove_file(&it.part);
        }
    }
}

impl Outgoing {
    /// The next bytes, or the end.
    fn next(&mut self) -> io::Result<Message> {
        let mut bytes = Vec::with_capacity(CHUNK);
        (&mut self.file).take(CHUNK as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(Message::Text(Said::End { hash: finish(&self.hash) }.write()));
        }
        self.hash.update(&bytes);
        self.read += bytes.len() as u64;
        Ok(Message::Binary(bytes))
    }
}

/// What a file of this size counts as.
fn charge(size: u64) -> u64 {
    size.max(LEAST_TAKEN)
}

/// Gives a whole file its name, if nothing else has it. A link cannot overwrite anything; where there are none, the
/// place is taken first.
fn keep(part: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(part, path) {
        Ok(()) => fs::remove_file(part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => {
            File::create_new(path)?;
            fs::rename(part, path)
        }
    }
}

fn finish(hash: &Context) -> Hash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.clone().finish().as_ref());
    bytes
}

/// Lines are few, so there is room for them: if not, the peer has stopped to read, and misses nothing.
fn say(now: Time, p2p: &mut Peer, channel: ChannelId, said: &Said) {
    let _: Result<bool, SendError> = p2p.write(now, channel, &Message::Text(said.write()));
}

/// A bar, when another part is done.
fn progress(done: u64, size: u64, told: &mut u64) -> Option<String> {
    let parts = (done * PARTS).checked_div(size)?;
    (parts > std::mem::replace(told, parts)).then(|| {
        let filled = "#".repeat(parts as usize);
        format!("[{filled:-<10}] {}%", parts * 100 / PARTS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_name_already_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [part, path] = ["part", "path"].map(|name| folder.path().join(name));
        fs::write(&part, "new").unwrap();
        fs::write(&path, "old").unwrap();
        assert!(keep(&part, &path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::remove_file(&path).unwrap();
        keep(&part, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!part.exists());
    }

    #[test]
    fn a_bar_grows_with_each_part() {
        let mut told = 0;
        assert_eq!(progress(5, 100, &mut told), None);
        assert_eq!(progress(35, 100, &mut told), Some("[###-------] 30%".into()));
        assert_eq!(progress(39, 100, &mut told), None);
        assert_eq!(progress(100, 100, &mut told), Some("[##########] 100%".into()));
        assert_eq!(progress(0, 0, &mut 0), None);
    }
}
