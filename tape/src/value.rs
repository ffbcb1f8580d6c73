//! Arguments of inputs as bytes: numbers in groups of seven bits, lowest first, with the highest bit set
//! on all but the last; texts and payloads behind their length.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use smoq_core::{
    Admission, Carrier, Closed, ClosedBy, Config, Dir, Discover, Estimate, Grant, Id, Limits, Path,
    Serve, SessionConfig, Side, Start, StreamId, SubscribeOptions, Time, Version,
    wire::{GroupOrder, Hop, SessionCode, StreamCode, TrackInfo},
};

/// What is left to read of a record.
pub(crate) struct Source(Bytes);

impl Source {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }
}

/// A value as bytes and back.
pub(crate) trait Value: Sized {
    /// Appends the bytes.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes the bytes; `None` if they are no such value.
    fn get(from: &mut Source) -> Option<Self>;

    /// The value, if it is a time.
    fn time(&self) -> Option<Time> {
        None
    }
}

/// An argument of a method: a value, or a reference to one.
pub(crate) trait Argument<'a> {
    /// The value.
    type Value: Value;

    /// Appends the bytes.
    fn note(&self, out: &mut Vec<u8>);

    /// The argument for a value.
    fn lend(value: &'a Self::Value) -> Self;
}

impl<T: Value + Clone> Argument<'_> for T {
    type Value = T;

    fn note(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    fn lend(value: &T) -> T {
        value.clone()
    }
}

impl<'a> Argument<'a> for &'a Path {
    type Value = Path;

    fn note(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    fn lend(value: &'a Path) -> Self {
        value
    }
}

impl<'a> Argument<'a> for &'a str {
    type Value = String;

    fn note(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn lend(value: &'a String) -> Self {
        value
    }
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.len().put(out);
    out.extend_from_slice(bytes);
}

impl Value for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest > 0x7f {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn get(from: &mut Source) -> Option<Self> {
        let mut number = 0;
        for shift in (0..Self::BITS).step_by(7) {
            let byte = from.byte()?;
            let bits = Self::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl Value for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }

    fn get(from: &mut Source) -> Option<Self> {
        let length = usize::get(from)?;
        from.take(length)
    }
}

impl Value for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn get(from: &mut Source) -> Option<Self> {
        core::str::from_utf8(&Bytes::get(from)?).ok().map(ToOwned::to_owned)
    }
}

impl Value for Path {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_str().as_bytes(), out);
    }

    fn get(from: &mut Source) -> Option<Self> {
        Self::new(&String::get(from)?).ok()
    }
}

impl<T: Value> Value for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(from: &mut Source) -> Option<Self> {
        Some(if bool::get(from)? { Some(T::get(from)?) } else { None })
    }
}

impl Value for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        u64::from(self.subsec_nanos()).put(out);
    }

    fn get(from: &mut Source) -> Option<Self> {
        let (seconds, nanos) = (u64::get(from)?, u64::get(from)?);
        let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        Some(Self::new(seconds, nanos))
    }
}

impl Value for Time {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_micros().put(out);
    }

    fn get(from: &mut Source) -> Option<Self> {
        u64::get(from).map(Self::from_micros)
    }

    fn time(&self) -> Option<Time> {
        Some(*self)
    }
}

impl<T> Value for Id<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_bits().put(out);
    }

    fn get(from: &mut Source) -> Option<Self> {
        u64::get(from).map(Self::from_bits)
    }
}

/// Values that are one number.
macro_rules! numbers {
    ($($type:ty: $to:expr, $from:expr;)*) => {$(
        impl Value for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let to: fn(&$type) -> u64 = $to;
                to(self).put(out);
            }

            fn get(from: &mut Source) -> Option<Self> {
                let make: fn(u64) -> Option<$type> = $from;
                make(u64::get(from)?)
            }
        }
    )*};
}

numbers! {
    usize: |number| *number as u64, |number| number.try_into().ok();
    u8: |number| (*number).into(), |number| number.try_into().ok();
    bool: |yes| (*yes).into(), |number| (number < 2).then_some(number == 1);
    StreamId: |stream| stream.0, |number| Some(StreamId(number));
    StreamCode: |code| code.0, |number| Some(StreamCode(number));
    SessionCode: |code| code.0, |number| Some(SessionCode(number));
    Hop: |hop| hop.get(), Hop::new;
}

/// Values that are one of a few.
macro_rules! choices {
    ($($type:ident { $($number:literal $name:ident)* })*) => {$(
        impl Value for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $($type::$name => $number,)* });
            }

            fn get(from: &mut Source) -> Option<Self> {
                match from.byte()? {
                    $($number => Some($type::$name),)*
                    _ => None,
                }
            }
        }
    )*};
}

choices! {
    Dir { 0 Bi 1 Uni }
    Side { 0 Client 1 Server }
    Carrier { 0 Raw 1 WebTransport 2 Link }
    Admission { 0 Open 1 Ask }
    Discover { 0 Everything 1 OnDemand }
    ClosedBy { 0 Local 1 Peer 2 Transport }
    GroupOrder { 0 NewestFirst 1 OldestFirst }
    Version { 3 Lite03 4 Lite04 5 Lite05 6 Lite06 }
}

impl Value for Serve {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Broadcast(broadcast) => {
                out.push(0);
                broadcast.put(out);
            }
            Self::Below(path) => {
                out.push(1);
                path.put(out);
            }
        }
    }

    fn get(from: &mut Source) -> Option<Self> {
        match from.byte()? {
            0 => Some(Self::Broadcast(Id::get(from)?)),
            1 => Some(Self::Below(Path::get(from)?)),
            _ => None,
        }
    }
}

impl Value for Start {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Latest => out.push(0),
            Self::From(group) => {
                out.push(1);
                group.put(out);
            }
            Self::Aged { floor } => {
                out.push(2);
                floor.put(out);
            }
        }
    }

    fn get(from: &mut Source) -> Option<Self> {
        match from.byte()? {
            0 => Some(Self::Latest),
            1 => Some(Self::From(u64::get(from)?)),
            2 => Some(Self::Aged { floor: u64::get(from)? }),
            _ => None,
        }
    }
}

/// Structs, field by field.
macro_rules! structs {
    ($($type:ident { $($field:ident)* })*) => {$(
        impl Value for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.put(out);)*
            }

            fn get(from: &mut Source) -> Option<Self> {
                $(let $field = Value::get(from)?;)*
                Some(Self { $($field),* })
            }
        }
    )*};
}

structs! {
    Closed { by code reason }
    Config { hop seed limits rejoin }
    Estimate { bitrate rtt app_limited }
    Grant { publish subscribe }
    Limits {
        store_bytes store_age group_bytes group_frames message_bytes session_buffer peer_streams
        announcements announce_requests reorder violations opening_timeout request_timeout wanted
        wanted_timeout stall_timeout
    }
    SessionConfig { side version carrier datagrams path admission discover grant cost }
    SubscribeOptions { priority max_age order start end }
    TrackInfo { priority order max_age_ms timescale }
}

#[cfg(test)]
mod tests {
    use core::fmt::Debug;

    use super::*;

    fn both_ways<T: Value + PartialEq + Debug>(value: T) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        let mut from = Source::new(bytes.into());
        assert_eq!(T::get(&mut from).as_ref(), Some(&value));
        assert!(from.is_empty());
    }

    #[test]
    fn every_value_survives() {
        for text in ["", "a b%c\n", "ü'"] {
            both_ways(String::from(text));
        }
        for number in [0, 0x7f, 0x80, 1 << 63, u64::MAX] {
            both_ways(number);
            both_ways(Some(number));
        }
        both_ways(Bytes::from_static(&[0, 0xff]));
        both_ways(None::<u64>);
        both_ways(Id::<()>::from_bits(7 << 32 | 2));
        both_ways(Grant { publish: Some(Path::new("a/b").unwrap()), subscribe: None });
        both_ways(Config::default());
        both_ways(Estimate::of_window(1, Duration::from_micros(3), true));
        both_ways(Serve::Broadcast(Id::from_bits(7)));
        both_ways(Serve::Below(Path::new("a/b").unwrap()));
        for start in [Start::Latest, Start::From(1), Start::Aged { floor: 2 }] {
            both_ways(SubscribeOptions { start, max_age: Duration::MAX, ..Default::default() });
        }
        for version in Version::ALL {
            both_ways(SessionConfig::client(version, Carrier::Raw, "/a?b"));
        }
        both_ways(Closed { by: ClosedBy::Peer, code: SessionCode(3), reason: String::new() });
    }

    #[test]
    fn what_is_no_value_is_refused() {
        fn refused<T: Value>(bytes: &'static [u8]) {
            assert!(T::get(&mut Source::new(Bytes::from_static(bytes))).is_none(), "{bytes:?}");
        }
        refused::<u64>(&[0x80]);
        refused::<u64>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]);
        refused::<u64>(&[0x80; 11]);
        refused::<Bytes>(&[2, 0]);
        refused::<String>(&[1, 0xff]);
        refused::<bool>(&[2]);
        refused::<Start>(&[3]);
        refused::<Duration>(&[0, 0x80, 0x94, 0xeb, 0xdc, 3]);
    }
}
