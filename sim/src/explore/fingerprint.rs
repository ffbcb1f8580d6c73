//! One number for all states that go on alike.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Write},
};

use crate::fnv::{FNV, fnv};

/// What a group costs depends on the order in which groups came, and decides only when the store is
/// full, which it never is in a small world. The rest only counts how much has happened, or saves a
/// reader a search.
const LEFT_OUT: [&str; 6] = ["charged", "bytes", "subs_made", "epoch", "evicted", "run"];

/// The fingerprint of everything that is in the debug output of something.
///
/// Generations of ids are left out, since a slot is reused as if it were new. A stream of a session goes
/// by the id that the transport gave it, whichever slot it got. Times are no trouble: while a world is
/// explored none passes. Where two groups have taken each other's slot the fingerprints differ,
/// although the states go on alike: that costs states, and hides nothing.
pub(super) fn fingerprint(thing: &impl Debug, text: &mut String) -> u64 {
    text.clear();
    write!(text, "{thing:?}").expect("strings take everything");
    let names = names(text.as_bytes());
    Reader { rest: text.as_bytes(), names: &names, session: b"" }.items(0, FNV)
}

/// By session and slot: the transport's id of each stream.
type Names<'a> = BTreeMap<(&'a [u8], &'a [u8]), &'a [u8]>;

/// Finds what streams are called: a session has each of them under `StreamId(4): Stream#3v0`.
fn names(text: &[u8]) -> Names<'_> {
    let (mut names, mut session) = (Names::new(), &b""[..]);
    for at in (0..text.len()).filter(|at| text[*at] == b'S') {
        let rest = &text[at..];
        if let Some(id) = rest.strip_prefix(b"Session#") {
            session = slot(id);
        } else if let Some(id) = rest.strip_prefix(b"StreamId(")
            && let (number, rest) = id.split_at(digits(id))
            && let Some(id) = rest.strip_prefix(b"): Stream#")
        {
            names.insert((session, slot(id)), number);
        }
    }
    names
}

/// The slot in front of the generation.
fn slot(id: &[u8]) -> &[u8] {
    &id[..digits(id)]
}

/// How many digits a text begins with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Reads debug output as nested lists.
struct Reader<'a, 'n> {
    rest: &'a [u8],
    names: &'n Names<'a>,
    /// The session that was named last: streams belong to it.
    session: &'a [u8],
}

impl<'a> Reader<'a, '_> {
    /// Hashes a list up to its closing bracket. The order of what has an id as its key does not matter.
    fn items(&mut self, close: u8, seed: u64) -> u64 {
        let (mut ordered, mut unordered) = (seed, 0_u64);
        loop {
            let start = self.rest;
            let keyed = keyed(start);
            let left_out = LEFT_OUT.iter().any(|name| {
                start.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b": "))
            });
            let (item, end) = self.item(close);
            match (left_out, keyed) {
                (true, _) => {}
                (false, true) => unordered = unordered.wrapping_add(scatter(item)),
                (false, false) => ordered = mix(ordered, item),
            }
            if end {
                return mix(ordered, unordered);
            }
        }
    }

    /// Hashes one item. Says whether it was the last.
    fn item(&mut self, close: u8) -> (u64, bool) {
        let mut hash = FNV;
        while let Some((next, rest)) = self.rest.split_first() {
            match next {
                b'S' if self.rest.starts_with(b"Session#") => {
                    let id = &self.rest[8..];
                    self.session = slot(id);
                    hash = self.id(hash, id, slot(id));
                    continue;
                }
                b'S' if self.rest.starts_with(b"Stream#") => {
                    let id = &self.rest[7..];
                    let name = self.names.get(&(self.session, slot(id))).copied();
                    hash = self.id(hash, id, name.unwrap_or(&b"gone"[..]));
                    continue;
                }
                b'#' => {
                    hash = self.id(hash, rest, slot(rest));
                    continue;
                }
                b'"' => {
                    let text = quoted(self.rest);
                    hash = text.iter().copied().fold(hash, fnv);
                    self.rest = &self.rest[text.len()..];
                    continue;
                }
                _ => self.rest = rest,
            }
            match next {
                b'{' | b'[' | b'(' => {
                    self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
                    let close = match next {
                        b'{' => b'}',
                        b'[' => b']',
                        _ => b')',
                    };
                    hash = self.items(close, hash);
                }
                b',' => {
                    self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
                    return (hash, false);
                }
                next if *next == close => return (hash, true),
                b' ' => {}
                next => hash = fnv(hash, *next),
            }
        }
        (hash, true)
    }

    /// Hashes a name in place of an id, and moves behind the id.
    fn id(&mut self, hash: u64, id: &'a [u8], name: &[u8]) -> u64 {
        let generation = &id[(slot(id).len() + 1).min(id.len())..];
        self.rest = &generation[digits(generation)..];
        name.iter().copied().fold(fnv(hash, b'#'), fnv)
    }
}

/// Whether an item begins with an id as its key.
fn keyed(item: &[u8]) -> bool {
    let key = item.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    item[key..].strip_prefix(b"#").is_some_and(|id| {
        let generation = id.get(digits(id) + 1..).unwrap_or_default();
        generation[digits(generation)..].starts_with(b": ")
    })
}

/// A string with its quotes.
fn quoted(text: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text, |end| &text[..end + 2])
}

/// Spreads a hash over all its bits, so that sums of hashes tell their terms apart.
fn scatter(hash: u64) -> u64 {
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn mix(hash: u64, item: u64) -> u64 {
    item.to_le_bytes().into_iter().fold(hash, fnv)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> u64 {
        fingerprint(&format_args!("{text}"), &mut String::new())
    }

    #[test]
    fn generations_and_costs_are_left_out() {
        let some = print("A { id: Group#3v1, charged: 9, b: 1 }");
        assert_eq!(some, print("A { id: Group#3v22, charged: 1, b: 1 }"));
        assert_ne!(some, print("A { id: Group#4v1, charged: 9, b: 1 }"));
        assert_ne!(some, print("A { id: Group#3v1, charged: 9, b: 2 }"));
    }

    #[test]
    fn a_stream_goes_by_its_number() {
        let state = |a: u32, b: u32, first: &str, second: &str| {
            let mut entries = [(a, first), (b, second)];
            entries.sort();
            let [(x, first), (y, second)] = entries;
            print(&format!(
                "{{Session#0v0: S {{ streams: {{Stream#{x}v0: {first}, Stream#{y}v3: {second}}}, \
                 by_id: {{StreamId(4): Stream#{a}v0, StreamId(8): Stream#{b}v3}} }}}}"
            ))
        };
        assert_eq!(state(1, 2, "A", "B"), state(2, 1, "A", "B"));
        assert_ne!(state(1, 2, "A", "B"), state(1, 2, "B", "A"));
    }

    #[test]
    fn brackets_nest_and_quotes_hide_them() {
        assert_ne!(print("[[1, 2], 3]"), print("[[1], 2, 3]"));
        assert_ne!(print("[\"a, b\", 3]"), print("[\"a\", b\", 3]"));
        assert_ne!(print("(\"\\\"]\", 1)"), print("(\"\\\"]\", 2)"));
    }
}
