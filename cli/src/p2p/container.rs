//! What comes out of ffmpeg: Opus in Ogg (RFC 3533, RFC 7845), and VP8 in IVF.

use std::{
    io::{self, Read},
    time::Duration,
};

use smoq_p2p::{Frame, Kind};

/// Bytes of a packet or a picture. An encoder that makes more has lost its way.
const MOST: usize = 4 << 20;
/// How long a packet of Opus is, as ffmpeg is told.
const PACKET: Duration = Duration::from_millis(20);

/// Reads packets until there are no more, or `send` wants none.
pub(super) fn ogg(mut from: impl Read, mut send: impl FnMut(Frame) -> bool) -> io::Result<()> {
    let mut packet = Vec::new();
    let mut count = 0;
    loop {
        let mut head = [0; 27];
        from.read_exact(&mut head)?;
        let [b'O', b'g', b'g', b'S', 0, .., segments] = head else { return Err(broken()) };
        let mut lengths = vec![0; usize::from(segments)];
        from.read_exact(&mut lengths)?;
        for length in lengths {
            let begin = packet.len();
            packet.resize(begin + usize::from(length), 0);
            from.read_exact(&mut packet[begin..])?;
            if packet.len() > MOST {
                return Err(broken());
            }
            // A packet goes on after a segment of this length.
            if length == 255 {
                continue;
            }
            let is_head = packet.starts_with(b"OpusHead") || packet.starts_with(b"OpusTags");
            if !is_head {
                let frame = Frame {
                    kind: Kind::Audio,
                    at: PACKET * count,
                    bytes: packet.as_slice().into(),
                };
                if !send(frame) {
                    return Ok(());
                }
                count += 1;
            }
            packet.clear();
        }
    }
}

/// Reads pictures until there are no more, or `send` wants none.
pub(super) fn ivf(mut from: impl Read, mut send: impl FnMut(Frame) -> bool) -> io::Result<()> {
    let mut head = [0; 32];
    from.read_exact(&mut head)?;
    let number =
        |place: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|i| head[place + i])));
    // Times are in units of `scale / rate` seconds.
    let (rate, scale) = (number(16), number(20));
    if !head.starts_with(b"DKIF") || rate == 0 {
        return Err(broken());
    }
    loop {
        let mut head = [0; 12];
        from.read_exact(&mut head)?;
        let [a, b, c, d, time @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MOST {
            return Err(broken());
        }
        let mut picture = vec![0; length];
        from.read_exact(&mut picture)?;
        let micros =
            u128::from(u64::from_le_bytes(time)) * u128::from(scale) * 1_000_000 / u128::from(rate);
        let at = Duration::from_micros(u64::try_from(micros).map_err(|_| broken())?);
        if !send(Frame { kind: Kind::Video, at, bytes: picture.into() }) {
            return Ok(());
        }
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with these lengths of segments, filled with counted bytes.
    fn page(lengths: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut page = b"OggS".to_vec();
        page.resize(26, 0);
        page.push(lengths.len() as u8);
        [&page, lengths, bytes].concat()
    }

    fn picture(time: u64, bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes()[..], &time.to_le_bytes(), bytes].concat()
    }

    fn head(rate: u32, scale: u32) -> Vec<u8> {
        let mut head = b"DKIF".to_vec();
        head.resize(16, 0);
        head.extend([rate.to_le_bytes(), scale.to_le_bytes()].concat());
        head.resize(32, 0);
        head
    }

    /// What is read, and how it ends.
    fn read(
        read: impl FnOnce(&[u8], &mut dyn FnMut(Frame) -> bool) -> io::Result<()>,
        bytes: &[u8],
    ) -> (Vec<(u128, Vec<u8>)>, io::ErrorKind) {
        let mut frames = Vec::new();
        let end = read(bytes, &mut |frame| {
            frames.push((frame.at.as_millis(), frame.bytes.to_vec()));
            true
        });
        (frames, end.unwrap_err().kind())
    }

    #[test]
    fn packets_may_lie_on_several_pages() {
        let long = [7; 300];
        let bytes = [
            page(&[9, 8], b"OpusHead.OpusTags"),
            page(&[2, 0, 3, 255], &[b"abcde", &long[..255]].concat()),
            page(&[45, 1], &[&long[255..], b"z"].concat()),
        ];
        let (frames, end) = read(|from, send| ogg(from, send), &bytes.concat());
        let expected: [(u128, &[u8]); 5] =
            [(0, b"ab"), (20, b""), (40, b"cde"), (60, &long), (80, b"z")];
        assert_eq!(frames, expected.map(|(at, bytes)| (at, bytes.to_vec())));
        assert_eq!(end, io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn pictures_have_the_time_of_their_file() {
        let bytes = [head(30, 1), picture(0, b"one"), picture(45, b"two")].concat();
        let (frames, end) = read(|from, send| ivf(from, send), &bytes);
        assert_eq!(frames, [(0, b"one".to_vec()), (1500, b"two".to_vec())]);
        assert_eq!(end, io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nonsense_is_an_error() {
        let huge = [head(30, 1), vec![0xff; 12]].concat();
        let late = [head(1, u32::MAX), picture(u64::MAX, b"x")].concat();
        for bytes in [&[0; 64][..], &head(0, 1), &huge, &late] {
            let (frames, end) = read(|from, send| ivf(from, send), bytes);
            assert_eq!((frames.len(), end), (0, io::ErrorKind::InvalidData));
        }
        let (_, end) = read(|from, send| ogg(from, send), &[0; 64]);
        assert_eq!(end, io::ErrorKind::InvalidData);
    }

    #[test]
    fn who_wants_no_more_gets_no_more() {
        let bytes = [head(30, 1), picture(0, b"one"), picture(1, b"two")].concat();
        let mut count = 0;
        ivf(&bytes[..], |_| {
            count += 1;
            false
        })
        .unwrap();
        ogg(&page(&[1, 1], b"ab")[..], |_| {
            count += 1;
            false
        })
        .unwrap();
        assert_eq!(count, 2);
    }
}
