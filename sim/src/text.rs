//! Arguments of inputs as words of text. No word holds a space or a line break.

use std::{
    fmt::{Display, Write},
    str::{FromStr, Split},
    time::Duration,
};

use bytes::Bytes;
use smoq_core::{
    Admission, Carrier, Closed, ClosedBy, Config, Dir, Discover, Grant, Id, Limits, Path,
    SessionConfig, Side, Start, StreamId, SubscribeOptions, Time, Version,
    wire::{GroupOrder, Hop, SessionCode, StreamCode, TrackInfo},
};

/// The words of one line.
pub(crate) struct Words<'a>(Split<'a, char>);

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self(line.split(' '))
    }

    fn parse<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }
}

fn word(line: &mut String, value: impl Display) {
    write!(line, " {value}").expect("strings take everything");
}

/// A value as text and back.
pub(crate) trait Text: Sized {
    /// Appends the words, each with a space in front.
    fn put(&self, line: &mut String);

    /// Takes the words; `None` if they are no such value.
    fn get(words: &mut Words<'_>) -> Option<Self>;
}

/// An argument of a method: a value, or a reference to one.
pub(crate) trait Argument<'a> {
    /// The value.
    type Value: Text;

    /// Appends the words.
    fn note(&self, line: &mut String);

    /// The argument for a value.
    fn lend(value: &'a Self::Value) -> Self;
}

impl<T: Text + Clone> Argument<'_> for T {
    type Value = T;

    fn note(&self, line: &mut String) {
        self.put(line);
    }

    fn lend(value: &T) -> T {
        value.clone()
    }
}

impl<'a> Argument<'a> for &'a Path {
    type Value = Path;

    fn note(&self, line: &mut String) {
        self.put(line);
    }

    fn lend(value: &'a Path) -> Self {
        value
    }
}

impl<'a> Argument<'a> for &'a str {
    type Value = String;

    fn note(&self, line: &mut String) {
        put_str(self, line);
    }

    fn lend(value: &'a String) -> Self {
        value
    }
}

/// A quote, so that an empty text is a word too, and everything unusual as `%XX`.
fn put_str(text: &str, line: &mut String) {
    line.push_str(" '");
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            line.push(char::from(byte));
        } else {
            write!(line, "%{byte:02x}").expect("strings take everything");
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

impl Text for String {
    fn put(&self, line: &mut String) {
        put_str(self, line);
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        let mut parts = words.next()?.strip_prefix('\'')?.split('%');
        let mut bytes = parts.next()?.as_bytes().to_vec();
        for part in parts {
            bytes.extend(unhex(part.get(..2)?)?);
            bytes.extend(part.as_bytes().get(2..)?);
        }
        Self::from_utf8(bytes).ok()
    }
}

impl Text for Path {
    fn put(&self, line: &mut String) {
        put_str(self.as_str(), line);
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        Self::new(&String::get(words)?).ok()
    }
}

impl Text for Bytes {
    fn put(&self, line: &mut String) {
        line.push_str(" x");
        for byte in self {
            write!(line, "{byte:02x}").expect("strings take everything");
        }
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        unhex(words.next()?.strip_prefix('x')?).map(Self::from)
    }
}

impl Text for Option<u64> {
    fn put(&self, line: &mut String) {
        match self {
            Some(number) => word(line, number),
            None => word(line, '-'),
        }
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        match words.next()? {
            "-" => Some(None),
            number => Some(Some(number.parse().ok()?)),
        }
    }
}

impl Text for Option<Path> {
    fn put(&self, line: &mut String) {
        word(line, self.is_some());
        if let Some(path) = self {
            path.put(line);
        }
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        Some(if words.parse()? { Some(Path::get(words)?) } else { None })
    }
}

impl<T> Text for Id<T> {
    fn put(&self, line: &mut String) {
        word(line, self);
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        words.parse()
    }
}

/// Values that are one number.
macro_rules! numbers {
    ($($type:ty: $to:expr, $from:expr;)*) => {$(
        impl Text for $type {
            fn put(&self, line: &mut String) {
                let to: fn(&$type) -> u64 = $to;
                word(line, to(self));
            }

            fn get(words: &mut Words<'_>) -> Option<Self> {
                let from: fn(u64) -> Option<$type> = $from;
                from(words.parse()?)
            }
        }
    )*};
}

numbers! {
    u64: |number| *number, Some;
    usize: |number| *number as u64, |number| number.try_into().ok();
    Time: |time| time.as_micros(), |micros| Some(Time::from_micros(micros));
    StreamId: |stream| stream.0, |number| Some(StreamId(number));
    StreamCode: |code| code.0, |number| Some(StreamCode(number));
    SessionCode: |code| code.0, |number| Some(SessionCode(number));
    Hop: |hop| hop.get(), Hop::new;
}

impl Text for Duration {
    fn put(&self, line: &mut String) {
        word(line, self.as_secs());
        word(line, self.subsec_nanos());
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        Some(Self::new(words.parse()?, words.parse()?))
    }
}

/// Values that are one of a few names.
macro_rules! names {
    ($($type:ident { $($name:ident)* })*) => {$(
        impl Text for $type {
            fn put(&self, line: &mut String) {
                word(line, match self { $($type::$name => stringify!($name),)* });
            }

            fn get(words: &mut Words<'_>) -> Option<Self> {
                match words.next()? {
                    $(stringify!($name) => Some($type::$name),)*
                    _ => None,
                }
            }
        }
    )*};
}

names! {
    Dir { Bi Uni }
    Side { Client Server }
    Carrier { Raw WebTransport Link }
    Admission { Open Ask }
    Discover { Everything OnDemand }
    ClosedBy { Local Peer Transport }
    GroupOrder { NewestFirst OldestFirst }
}

impl Text for bool {
    fn put(&self, line: &mut String) {
        word(line, self);
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        words.parse()
    }
}

impl Text for u8 {
    fn put(&self, line: &mut String) {
        word(line, self);
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        words.parse()
    }
}

impl Text for Version {
    fn put(&self, line: &mut String) {
        word(line, self);
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        words.parse()
    }
}

impl Text for Start {
    fn put(&self, line: &mut String) {
        match self {
            Self::Latest => word(line, "latest"),
            Self::From(group) => {
                word(line, "from");
                group.put(line);
            }
            Self::Aged { floor } => {
                word(line, "aged");
                floor.put(line);
            }
        }
    }

    fn get(words: &mut Words<'_>) -> Option<Self> {
        match words.next()? {
            "latest" => Some(Self::Latest),
            "from" => Some(Self::From(words.parse()?)),
            "aged" => Some(Self::Aged { floor: words.parse()? }),
            _ => None,
        }
    }
}

/// Structs, field by field.
macro_rules! structs {
    ($($type:ident { $($field:ident)* })*) => {$(
        impl Text for $type {
            fn put(&self, line: &mut String) {
                let Self { $($field),* } = self;
                $($field.put(line);)*
            }

            fn get(words: &mut Words<'_>) -> Option<Self> {
                $(let $field = Text::get(words)?;)*
                Some(Self { $($field),* })
            }
        }
    )*};
}

structs! {
    Closed { by code reason }
    Config { hop seed limits }
    Grant { publish subscribe }
    Limits {
        store_bytes store_age group_bytes group_frames message_bytes session_buffer peer_streams
        announcements announce_requests reorder violations opening_timeout request_timeout stall_timeout
    }
    SessionConfig { side version carrier path admission discover grant }
    SubscribeOptions { priority max_age order start end }
    TrackInfo { priority order max_age_ms timescale }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways<T: Text + PartialEq + std::fmt::Debug>(value: T) {
        let mut line = String::new();
        value.put(&mut line);
        let mut words = Words::new(line.strip_prefix(' ').unwrap());
        assert_eq!(T::get(&mut words).as_ref(), Some(&value), "{line}");
        assert_eq!(words.next(), None);
    }

    #[test]
    fn every_value_survives() {
        for text in ["", "a b%c\n", "ü'", "%"] {
            both_ways(String::from(text));
        }
        both_ways(Bytes::from_static(&[0, 0xff]));
        both_ways(Bytes::new());
        both_ways(Some(3));
        both_ways(None::<u64>);
        both_ways(Grant { publish: Some(Path::new("a/b").unwrap()), subscribe: None });
        both_ways(Config::default());
        for start in [Start::Latest, Start::From(1), Start::Aged { floor: 2 }] {
            both_ways(SubscribeOptions { start, max_age: Duration::MAX, ..Default::default() });
        }
        both_ways(SessionConfig::client(Version::Lite05, Carrier::Raw, "/a?b"));
        both_ways(Closed { by: ClosedBy::Peer, code: SessionCode(3), reason: String::new() });
    }
}
