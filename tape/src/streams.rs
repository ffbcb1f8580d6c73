//! What was on each stream.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt::Write;

use bytes::Bytes;
use smoq_core::{Id, Session, Side, StreamId};

use crate::{Input, Replay, ReplayError, Said};

/// What an end of a stream has sent, and whether it has said that this is all.
#[derive(Default)]
struct Half {
    bytes: Vec<u8>,
    fin: bool,
}

/// The bytes of each stream of a recorded node, in both directions, as text: what two runs of the same
/// session have in common, however their bytes were cut and whenever they came.
///
/// Each direction of a stream is a line: who sends (`client` is who opened the connection), its bytes in
/// hexadecimal, and `fin` if it has ended so. The line of who has opened the stream comes first and has a
/// `-`. Streams are ordered by their text, sessions by their number. Resets are left out, and so are the ends
/// of requests: whether one was seen before the end of a session is a matter of time.
///
/// # Errors
/// As those of [`Replay::step`].
pub fn streams(recording: Bytes) -> Result<String, ReplayError> {
    let mut sides: BTreeMap<Id<Session>, Side> = BTreeMap::new();
    let mut halves: BTreeMap<(Id<Session>, StreamId), [Half; 2]> = BTreeMap::new();
    let mut replay = Replay::new(recording)?;
    while let Some(step) = replay.step()? {
        let mut put = |session: &Id<Session>, stream: &StreamId, by_us: bool, bytes: &[u8], fin| {
            let ours = sides.get(session).copied().unwrap_or(Side::Server);
            let sender = usize::from((ours == Side::Server) == by_us);
            let half = &mut halves.entry((*session, *stream)).or_default()[sender];
            half.bytes.extend_from_slice(bytes);
            half.fin |= fin;
        };
        match &step.input {
            Input::AddSession { config, .. } => {
                sides.extend(step.session.map(|session| (session, config.side)));
            }
            Input::HandleRecv { session, stream, data, fin, .. } => {
                put(session, stream, false, data, *fin);
            }
            Input::Pump { session, .. } => {
                for said in &step.said {
                    match said {
                        Said::Data(stream, data) => put(session, stream, true, data, false),
                        Said::Finished(stream) => put(session, stream, true, &[], true),
                        Said::Opened(..)
                        | Said::Reset(..)
                        | Said::Stopped(..)
                        | Said::Datagram(_)
                        | Said::Closed(_) => {}
                    }
                }
            }
            _ => {}
        }
    }
    let mut entries: Vec<_> =
        halves.iter().map(|((session, stream), halves)| (session, text(*stream, halves))).collect();
    entries.sort();
    Ok(entries.into_iter().map(|(_, text)| text).collect())
}

fn text(stream: StreamId, halves: &[Half; 2]) -> String {
    let mut text = String::new();
    let opener = (stream.0 & 1) as usize;
    let uni = stream.0 & 2 != 0;
    for sender in [opener, 1 - opener].into_iter().take(if uni { 1 } else { 2 }) {
        let mark = if sender == opener { '-' } else { ' ' };
        let name = ["client", "server"][sender];
        let Half { bytes, fin } = &halves[sender];
        write!(text, "{mark} {name} ").expect("strings take everything");
        for byte in bytes {
            write!(text, "{byte:02x}").expect("strings take everything");
        }
        let request = !uni && sender == opener;
        text.push_str(if *fin && !request { " fin\n" } else { "\n" });
    }
    text
}
