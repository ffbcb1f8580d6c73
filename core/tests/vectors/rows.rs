//! The files of vectors, row by row.

use smoq_core::Version;

pub(crate) const CANONICAL: &str = include_str!("canonical.txt");
pub(crate) const ACCEPTED: &str = include_str!("accepted.txt");
pub(crate) const REJECTED: &str = include_str!("rejected.txt");

/// One row for one version.
pub(crate) struct Row<'a> {
    pub(crate) version: Version,
    pub(crate) kinds: Vec<&'a str>,
    pub(crate) meaning: &'a str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: &'a str,
}

pub(crate) fn rows(file: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for text in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<_> = text.split('|').map(str::trim).collect();
        let [versions, kinds, meaning, hex] = columns[..] else {
            panic!("not four columns: {text}")
        };
        for version in versions.split(',').flat_map(parse_versions) {
            let kinds = kinds.split('+').map(str::trim).collect();
            rows.push(Row { version, kinds, meaning, bytes: parse_hex(hex), text });
        }
    }
    assert!(rows.len() > 20, "the file has lost its rows");
    rows
}

fn parse_versions(range: &str) -> Vec<Version> {
    let version = |number| format!("moq-lite-{number}").parse::<Version>().unwrap();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (version(first), version(last));
    Version::ALL.into_iter().filter(|version| (first..=last).contains(version)).collect()
}

fn parse_hex(text: &str) -> Vec<u8> {
    let group = |group: &str| {
        let (digits, times) = group.split_once('*').unwrap_or((group, "1"));
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().repeat(times.parse().unwrap())
    };
    text.split_whitespace().flat_map(group).collect()
}
