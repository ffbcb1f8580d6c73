//! Codes that end sessions and streams.
//!
//! These are the registries of moq-net 0.3 and later. Older peers and gomoqt use other ones under the
//! same versions, so a received code is for logs; decisions hang on it only where every registry agrees.

use core::fmt;

/// From here on, codes belong to the application.
const APPLICATION: u64 = 64;

macro_rules! registry {
    ($(#[$doc:meta])* $name:ident { $($(#[$code_doc:meta])* $code:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u64);

        impl $name {
            $($(#[$code_doc])* pub const $code: Self = Self($value);)*

            /// The code `number` of the application.
            pub const fn application(number: u16) -> Self {
                Self(APPLICATION + number as u64)
            }

            /// What the code means, in words for a log.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    APPLICATION.. => "application",
                    _ => "unknown",
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ({:#x})", self.name(), self.0)
            }
        }
    };
}

registry! {
    /// Why a session ends: the application code of CONNECTION_CLOSE.
    SessionCode {
        /// Nothing went wrong.
        NO_ERROR = 0, "no error";
        /// A fault of the sender, or of its transport.
        INTERNAL = 1, "internal error";
        /// The peer may not be here, or not any more.
        UNAUTHORIZED = 2, "unauthorized";
        /// The peer broke a rule.
        PROTOCOL_VIOLATION = 3, "protocol violation";
        /// Parameters are too many or malformed.
        KEY_VALUE_FORMATTING = 6, "key-value formatting error";
        /// The peer stayed after GOAWAY.
        GOAWAY_TIMEOUT = 0x10, "goaway timeout";
        /// The peer is too slow.
        TIMEOUT = 0x11, "timeout";
        /// There is no common version.
        VERSION = 0x15, "no common version";
    }
}

registry! {
    /// Why a stream ends: the code of RESET_STREAM and STOP_SENDING.
    StreamCode {
        /// A fault of the sender.
        INTERNAL = 0, "internal error";
        /// Nobody wants it any more.
        CANCEL = 1, "cancelled";
        /// It did not arrive in time.
        DELIVERY_TIMEOUT = 2, "delivery timeout";
        /// The session ends.
        SESSION_CLOSED = 3, "session closed";
        /// A request after GOAWAY.
        GOING_AWAY = 4, "going away";
        /// The reader is too slow.
        TOO_FAR_BEHIND = 5, "too far behind";
        /// The peer broke a rule on this stream.
        MALFORMED_TRACK = 0x12, "malformed track";
        /// Reserved: there is no room.
        NO_CAPACITY = 0x30, "no capacity";
        /// The peer never answered a request.
        CONTROL_TIMEOUT = 0x31, "control timeout";
        /// The group has too many bytes or frames.
        GROUP_TOO_LARGE = 0x32, "group too large";
        /// The broadcast or the track is unknown.
        NOT_FOUND = 0x33, "not found";
        /// The group expired.
        OLD = 0x34, "old";
        /// The group left the cache; it may be fetched again.
        EVICTED = 0x35, "evicted";
        /// There is no route to the broadcast.
        UNROUTABLE = 0x36, "unroutable";
        /// A frame is shorter or longer than it said.
        WRONG_SIZE = 0x37, "wrong size";
        /// The frame has too many bytes.
        FRAME_TOO_LARGE = 0x38, "frame too large";
        /// The timestamp breaks a rule.
        TIMESTAMP_MISMATCH = 0x39, "timestamp mismatch";
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn codes_have_names() {
        assert_eq!(StreamCode::NOT_FOUND.to_string(), "not found (0x33)");
        assert_eq!(StreamCode(0x2f).to_string(), "unknown (0x2f)");
        assert_eq!(SessionCode::application(5).to_string(), "application (0x45)");
    }
}
