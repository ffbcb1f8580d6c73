//! SETTINGS (RFC 9114, section 7.2.4), of every draft of WebTransport that is in use.

use alloc::vec::Vec;

use bytes::BytesMut;

use crate::{Error, frame, varint};

// RFC 9114, 9204, 9220 and 9297.
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
const H3_DATAGRAM: u64 = 0x33;
/// draft-ietf-masque-h3-datagram-04. Older browsers want it.
const H3_DATAGRAM_DRAFT04: u64 = 0xff_d277;

// Each series of drafts of draft-ietf-webtrans-http3 has its own way to say that it is spoken.
/// Drafts 02 to 06: a flag.
const ENABLE_WEBTRANSPORT: u64 = 0x2b60_3742;
/// Drafts 07 to 12: how many sessions.
const MAX_SESSIONS_DRAFT07: u64 = 0xc671_706a;
/// Drafts 13 and 14: how many sessions.
const MAX_SESSIONS_DRAFT13: u64 = 0x14e9_cd29;
/// Drafts from 15 on: a flag.
const WT_ENABLED: u64 = 0x2c7c_f000;

/// Settings of HTTP/2 that HTTP/3 must not have (RFC 9114, section 7.2.4.1).
const RESERVED: core::ops::RangeInclusive<u64> = 0x2..=0x5;

/// What one end says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Extended CONNECT (RFC 9220) is taken. Only servers say so.
    pub connect: bool,
    /// HTTP datagrams (RFC 9297) are taken.
    pub datagrams: bool,
    /// WebTransport is spoken, by drafts 02 to 14: `:protocol` is `webtransport`.
    pub webtransport: bool,
    /// WebTransport is spoken, by drafts from 15 on: `:protocol` is `webtransport-h3`.
    pub webtransport_h3: bool,
    /// Bytes that a field section may have at most, 32 for each field included; `None` for any.
    pub max_field_section: Option<u64>,
}

impl Settings {
    /// What this crate says: all of it, one session.
    pub const fn ours(max_field_section: u64) -> Self {
        Self {
            connect: true,
            datagrams: true,
            webtransport: true,
            webtransport_h3: true,
            max_field_section: Some(max_field_section),
        }
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut body = BytesMut::new();
        let mut put = |id, value| {
            varint::encode(id, &mut body);
            varint::encode(value, &mut body);
        };
        if let Some(size) = self.max_field_section {
            put(MAX_FIELD_SECTION_SIZE, size);
        }
        if self.connect {
            put(ENABLE_CONNECT_PROTOCOL, 1);
        }
        if self.datagrams {
            put(H3_DATAGRAM, 1);
            put(H3_DATAGRAM_DRAFT04, 1);
        }
        if self.webtransport {
            put(ENABLE_WEBTRANSPORT, 1);
            put(MAX_SESSIONS_DRAFT07, 1);
            put(MAX_SESSIONS_DRAFT13, 1);
        }
        if self.webtransport_h3 {
            put(WT_ENABLED, 1);
        }
        frame::encode(frame::SETTINGS, &body, out);
    }

    /// Understands the payload of the frame. Unknown settings are passed over.
    ///
    /// # Errors
    /// [`Error::Frame`] and [`Error::Settings`].
    pub fn decode(mut payload: &[u8]) -> Result<Self, Error> {
        let mut settings = Self::default();
        let mut seen = Vec::new();
        while !payload.is_empty() {
            let id = varint::decode(&mut payload).ok_or(Error::Frame)?;
            let value = varint::decode(&mut payload).ok_or(Error::Frame)?;
            if RESERVED.contains(&id) {
                return Err(Error::Settings(id));
            }
            seen.push(id);
            let flag = || if value > 1 { Err(Error::Settings(id)) } else { Ok(value == 1) };
            match id {
                MAX_FIELD_SECTION_SIZE => settings.max_field_section = Some(value),
                ENABLE_CONNECT_PROTOCOL => settings.connect = flag()?,
                H3_DATAGRAM | H3_DATAGRAM_DRAFT04 => settings.datagrams |= flag()?,
                ENABLE_WEBTRANSPORT => settings.webtransport |= flag()?,
                MAX_SESSIONS_DRAFT07 | MAX_SESSIONS_DRAFT13 => settings.webtransport |= value > 0,
                WT_ENABLED => settings.webtransport_h3 = value > 0,
                _ => {}
            }
        }
        seen.sort_unstable();
        match seen.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::Settings(pair[0])),
            None => Ok(settings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_goes_both_ways() {
        let ours = Settings::ours(16384);
        let mut frame = BytesMut::new();
        ours.encode(&mut frame);
        assert_eq!(frame[0], 4);
        assert_eq!(usize::from(frame[1]), frame.len() - 2);
        assert_eq!(Settings::decode(&frame[2..]), Ok(ours));
        for cut in 3..frame.len() {
            let _ = Settings::decode(&frame[2..cut]);
        }
    }

    #[test]
    fn each_draft_is_understood() {
        let spoken: [(&[u8], bool, bool); 4] = [
            (&[0xab, 0x60, 0x37, 0x42, 1], true, false),
            (&[0xc0, 0, 0, 0, 0xc6, 0x71, 0x70, 0x6a, 9], true, false),
            (&[0x94, 0xe9, 0xcd, 0x29, 9], true, false),
            (&[0xac, 0x7c, 0xf0, 0, 1], false, true),
        ];
        for (payload, webtransport, webtransport_h3) in spoken {
            let settings = Settings::decode(payload).unwrap();
            assert_eq!(settings, Settings { webtransport, webtransport_h3, ..Settings::default() });
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(Settings::decode(&[0x2, 0]), Err(Error::Settings(2)));
        assert_eq!(Settings::decode(&[0x8, 2]), Err(Error::Settings(8)));
        assert_eq!(Settings::decode(&[0x33, 2]), Err(Error::Settings(0x33)));
        assert_eq!(Settings::decode(&[0x21, 0, 0x21, 1]), Err(Error::Settings(0x21)));
        assert_eq!(Settings::decode(&[0x8]), Err(Error::Frame));
        assert_eq!(Settings::decode(&[0x40]), Err(Error::Frame));
        assert_eq!(Settings::decode(&[]), Ok(Settings::default()));
    }
}
