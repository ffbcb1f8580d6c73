//! Conversations, byte for byte. They are in `vectors/`, which explains itself.

mod common;

use std::collections::BTreeMap;

use common::{World, go, safe};

#[test]
fn envelopes() {
    let text = include_str!("vectors/envelope.txt");
    assert_eq!(run(text), 10, "conversations");
}

#[test]
fn raw_forms() {
    let text = include_str!("vectors/raw.txt");
    assert_eq!(run(text), 6, "conversations");
}

fn run(text: &str) -> usize {
    let conversations = text.split("\n== ").skip(1);
    conversations.map(converse).count()
}

fn converse(text: &str) {
    let mut lines = text.lines();
    let (title, policy) = lines.next().unwrap().rsplit_once(' ').unwrap();
    let mut world = World::new(match policy {
        "[go]" => go(),
        "[safe]" => safe(),
        other => panic!("{title}: policy {other}"),
    });
    let mut clients = BTreeMap::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (who, what) = line.split_at(1);
        let conn = *clients.entry(who).or_insert_with(|| world.connect());
        match what.split_at_checked(2) {
            Some(("> ", said)) => world.say(conn, said),
            Some(("< ", expected)) => {
                let heard = world.try_hear(conn);
                let heard = heard.unwrap_or_else(|| panic!("{title}: {who} heard nothing"));
                assert!(matches(expected, &heard), "{title}:\n{expected} was expected,\n{heard}");
            }
            _ if what == "-" => world.leave(conn),
            _ => panic!("{title}: {line}"),
        }
    }
    let more: Vec<_> = world.heard.into_values().flatten().collect();
    assert!(more.is_empty(), "{title}: {more:?}");
}

/// Whether a text is the pattern, with something for each `<id>`, `<token>` and `<time>`.
fn matches(pattern: &str, text: &str) -> bool {
    let spelled = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'v'));
    let made = [("<id>", 20), ("<token>", 26), ("<time>", 20)];
    let first = made
        .into_iter()
        .filter_map(|(name, length)| pattern.find(name).map(|at| (at, name, length)))
        .min();
    let Some((at, name, length)) = first else { return pattern == text };
    let same = text.get(..at) == pattern.get(..at);
    let fits = text.get(at..at + length).is_some_and(|text| match name {
        "<time>" => text == "2026-11-20T00:00:00Z",
        _ => spelled(text),
    });
    same && fits && matches(&pattern[at + name.len()..], &text[at + length..])
}
