//! Random messages: most of them nearly right.

use smoq_core::Version;

use moq_oracle::Kind;

/// splitmix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A message of `kind`, or something close to one, or noise, and maybe something after it.
    pub(crate) fn message(&mut self, kind: Kind, version: Version) -> Vec<u8> {
        if self.once_in(12) {
            return self.noise(24);
        }
        let mut body = Vec::new();
        let framing = self.body(kind, version, &mut body);
        if self.once_in(4) {
            self.mutate(&mut body);
        }
        let mut out = Vec::new();
        match framing {
            Framing::None => {}
            Framing::Length => self.number_as(body.len() as u64, &mut out),
            Framing::Type(kind) => {
                self.number_as(kind, &mut out);
                self.number_as(body.len() as u64, &mut out);
            }
        }
        out.extend(body);
        if self.once_in(6) {
            self.mutate(&mut out);
        }
        if self.once_in(6) {
            out.extend(self.noise(4));
        }
        out
    }

    fn noise(&mut self, longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => {
                    bytes[at] = self.pick(&[0, 1, 2, 3, 0x3f, 0x40, 0x80, 0xc0, 0xff])
                }
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                4 => {
                    let again = bytes[at..].to_vec();
                    bytes.extend(again);
                }
                _ => bytes.insert(at, self.next() as u8),
            }
        }
    }

    /// Writes the fields as the notes on the protocol have them, without help from either codec.
    fn body(&mut self, kind: Kind, version: Version, out: &mut Vec<u8>) -> Framing {
        let (v04, v05, v06) =
            (version >= Version::Lite04, version >= Version::Lite05, version >= Version::Lite06);
        match kind {
            Kind::Setup => self.setup(out),
            Kind::AnnounceRequest => {
                self.path(out);
                if v04 && !v06 {
                    self.number(out);
                }
            }
            Kind::AnnounceOk => self.numbers(2, out),
            Kind::Announce if v06 => return self.typed_announce(out),
            Kind::Announce => {
                out.push(self.pick(&[0, 0, 1, 1, 1, 2, 3]));
                self.path(out);
                self.hops(v04, out);
            }
            Kind::Subscribe => {
                self.number(out);
                self.path(out);
                self.string(out);
                self.params(version, out);
            }
            Kind::SubscribeUpdate => self.params(version, out),
            Kind::SubscribeResponse => {
                let kind = self.below(4);
                match (kind, v05) {
                    (0, false) => {
                        out.push(self.next() as u8);
                        out.push(self.pick(&[0, 1, 2]));
                        self.numbers(3, out);
                    }
                    (1, false) | (2, true) => self.numbers(3, out),
                    _ => self.number(out),
                }
                return Framing::Type(kind as u64);
            }
            Kind::Fetch => {
                self.path(out);
                self.string(out);
                out.push(self.next() as u8);
                self.numbers(if v06 { 3 } else { 1 }, out);
            }
            Kind::Group => self.numbers(if v06 { 3 } else { 2 }, out),
            Kind::Goaway if self.once_in(50) => {
                let length = 8190 + self.below(5);
                self.number_as(length as u64, out);
                out.resize(out.len() + length, b'u');
            }
            Kind::Goaway => self.string(out),
            Kind::Track => {
                self.path(out);
                self.string(out);
            }
            Kind::TrackInfo => {
                out.push(self.next() as u8);
                if !v06 {
                    out.push(self.pick(&[0, 1, 2]));
                }
                self.numbers(2, out);
            }
            Kind::Probe => self.numbers(if v04 { 2 } else { 1 }, out),
            Kind::Datagram => {
                self.numbers(3, out);
                out.extend(self.noise(4));
                return Framing::None;
            }
        }
        Framing::Length
    }

    fn setup(&mut self, out: &mut Vec<u8>) {
        let count = if self.once_in(40) { 60 + self.below(8) } else { self.below(6) };
        let first = self.below(8);
        self.number_as(count as u64, out);
        for n in 0..count {
            // Mostly all different, since a repeated one ends it.
            let id = if self.once_in(20) { self.below(7) } else { first + n };
            self.number_as(id as u64, out);
            let mut value = Vec::new();
            match id {
                2 => self.string_body(&mut value),
                _ if self.once_in(15) => value = self.noise(3),
                _ => self.number(&mut value),
            }
            self.number_as(value.len() as u64, out);
            out.extend(value);
        }
    }

    fn typed_announce(&mut self, out: &mut Vec<u8>) -> Framing {
        let kind = self.below(4);
        match kind {
            0 => self.path(out),
            1 => self.number(out),
            2 => self.number(out),
            _ => out.extend(self.noise(6)),
        }
        if matches!(kind, 0 | 2) {
            self.hops(true, out);
            self.numbers(2, out);
        }
        Framing::Type(kind as u64)
    }

    fn hops(&mut self, ids: bool, out: &mut Vec<u8>) {
        let count = if self.once_in(20) { 30 + self.below(5) } else { self.below(5) };
        self.number_as(count as u64, out);
        for _ in 0..if ids { count } else { 0 } {
            match self.below(4) {
                0 => self.number(out),
                _ => {
                    let id = self.next() >> 2;
                    self.number_as(id, out);
                }
            }
        }
    }

    fn params(&mut self, version: Version, out: &mut Vec<u8>) {
        out.push(self.next() as u8);
        if version <= Version::Lite05 {
            out.push(self.pick(&[0, 1, 2]));
        }
        self.numbers(if version >= Version::Lite06 { 5 } else { 3 }, out);
    }

    fn path(&mut self, out: &mut Vec<u8>) {
        let mut path = Vec::new();
        if self.once_in(20) {
            let segments = 30 + self.below(5);
            path = b"a/".repeat(segments);
        } else {
            self.string_body(&mut path);
        }
        self.number_as(path.len() as u64, out);
        out.extend(path);
    }

    fn string(&mut self, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        self.string_body(&mut text);
        self.number_as(text.len() as u64, out);
        out.extend(text);
    }

    fn string_body(&mut self, out: &mut Vec<u8>) {
        for _ in 0..self.below(8) {
            let piece = self.pick(&["/", "/", "a", "room", "*", "**", ".", "\u{e9}", "?x=1", "\0"]);
            out.extend(piece.as_bytes());
        }
        if self.once_in(25) {
            out.push(self.pick(&[0x80, 0xc3, 0xff]));
        }
    }

    fn numbers(&mut self, count: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            self.number(out);
        }
    }

    fn number(&mut self, out: &mut Vec<u8>) {
        let value = match self.below(8) {
            0 => 0,
            1 | 2 => self.next() % 4,
            3 => self.next() % 100,
            4 => self.pick(&[63, 64, 16383, 16384, (1 << 30) - 1, 1 << 30]),
            5 => self.pick(&[(1 << 61) - 1, 1 << 61, (1 << 62) - 2, (1 << 62) - 1]),
            _ => {
                let bits = self.below(62);
                self.next() >> (2 + bits)
            }
        };
        self.number_as(value, out);
    }

    /// A varint, in one of eight cases longer than it has to be.
    fn number_as(&mut self, value: u64, out: &mut Vec<u8>) {
        let shortest = match value {
            0..0x40 => 0,
            0x40..0x4000 => 1,
            0x4000..0x4000_0000 => 2,
            _ => 3,
        };
        let size = if self.once_in(8) { shortest + self.below(4 - shortest) } else { shortest };
        let bytes = (value | (size as u64) << (8 * (1 << size) - 2)).to_be_bytes();
        out.extend(&bytes[8 - (1 << size)..]);
    }
}

enum Framing {
    None,
    Length,
    Type(u64),
}
