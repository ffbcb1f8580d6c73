//! Error codes of HTTP/3 and WebTransport.

use core::fmt;

/// A code of RESET_STREAM, STOP_SENDING or CONNECTION_CLOSE on an HTTP/3 connection.
///
/// The codes of WebTransport applications are mapped into the same space
/// (draft-ietf-webtrans-http3, section 4.4): [`Code::from_application`],
/// [`Code::to_application`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub u64);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name that the standard has for it.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

// RFC 9114, section 8.1; RFC 9204, section 6; draft-ietf-webtrans-http3, section 9.5.
codes! {
    /// Nothing is wrong.
    NO_ERROR = 0x100;
    /// Another rule was broken.
    GENERAL_PROTOCOL_ERROR = 0x101;
    /// A stream that this end does not take.
    STREAM_CREATION_ERROR = 0x103;
    /// A stream that has to stay open has ended.
    CLOSED_CRITICAL_STREAM = 0x104;
    /// A frame where it may not be.
    FRAME_UNEXPECTED = 0x105;
    /// A frame that is not well-formed.
    FRAME_ERROR = 0x106;
    /// The peer asks for more than it should.
    EXCESSIVE_LOAD = 0x107;
    /// An id that does not name what it should.
    ID_ERROR = 0x108;
    /// A setting that may not be, or not with this value.
    SETTINGS_ERROR = 0x109;
    /// The control stream does not begin with SETTINGS.
    MISSING_SETTINGS = 0x10a;
    /// A request that was not looked at.
    REQUEST_REJECTED = 0x10b;
    /// A request that is not wanted any more.
    REQUEST_CANCELLED = 0x10c;
    /// A request that ended before it was whole.
    REQUEST_INCOMPLETE = 0x10d;
    /// A message that is not well-formed.
    MESSAGE_ERROR = 0x10e;
    /// A field section that cannot be decoded.
    QPACK_DECOMPRESSION_FAILED = 0x200;
    /// A WebTransport stream that came before its session and could not be kept.
    BUFFERED_STREAM_REJECTED = 0x3994_bd84;
    /// A WebTransport stream whose session is over.
    SESSION_GONE = 0x170d_7b68;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#x})", self.0),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl Code {
    /// First and last code of the range that applications have.
    const FIRST: u64 = 0x52e4_a40f_a8db;
    const LAST: u64 = 0x52e5_ac98_3162;

    /// Every 31st code of the range is reserved by HTTP/3 (RFC 9114, section 8.1).
    const STEP: u64 = 0x1e;

    /// The code of an application as it travels.
    pub const fn from_application(code: u32) -> Self {
        Self(Self::FIRST + code as u64 + code as u64 / Self::STEP)
    }

    /// The code that an application meant; `None` if HTTP/3 itself speaks.
    pub const fn to_application(self) -> Option<u32> {
        if self.0 < Self::FIRST || self.0 > Self::LAST {
            return None;
        }
        let shifted = self.0 - Self::FIRST;
        if shifted % (Self::STEP + 1) == Self::STEP {
            return None;
        }
        Some((shifted - shifted / (Self::STEP + 1)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn codes_of_applications_go_both_ways() {
        for code in (0..1000).chain([u32::MAX - 1, u32::MAX]) {
            assert_eq!(Code::from_application(code).to_application(), Some(code));
        }
        assert_eq!(Code::from_application(0), Code(Code::FIRST));
        assert_eq!(Code::from_application(u32::MAX), Code(Code::LAST));
    }

    #[test]
    fn reserved_codes_are_no_application_s() {
        assert_eq!(Code(Code::FIRST + 0x1e).to_application(), None);
        assert_eq!(Code(Code::FIRST - 1).to_application(), None);
        assert_eq!(Code(Code::LAST + 1).to_application(), None);
        assert_eq!(Code::NO_ERROR.to_application(), None);
    }

    #[test]
    fn names_are_shown() {
        assert_eq!(Code::ID_ERROR.to_string(), "ID_ERROR (0x108)");
        assert_eq!(Code(7).to_string(), "0x7");
    }
}
