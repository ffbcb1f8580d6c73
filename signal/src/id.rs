//! Who and where: names of connections, peers and rooms.

use alloc::{boxed::Box, string::String};
use core::{borrow::Borrow, fmt};

use data_encoding::BASE32HEX_NOPAD;
use thiserror::Error;

/// A connection of a hub. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub(crate) u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text cannot be the id of a peer or the name of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum IdError {
    /// It has nothing in it.
    #[error("it is empty; give it at least one letter")]
    Empty,
    /// It is longer than the hub allows.
    #[error("it has {bytes} bytes; at most {most} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// It has a character that could forge a line of a log.
    #[error("it has a control character in it; use letters, digits and punctuation")]
    Control,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a text of at most `most` bytes.
            pub fn new(text: &str, most: usize) -> Result<Self, IdError> {
                check(text, most).map(|()| Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Who a client is to others.
    PeerId
}

name! {
    /// What a room is called.
    RoomName
}

impl PeerId {
    /// The id without a name, which hubs written in Go give to clients that choose none.
    pub(crate) fn nameless() -> Self {
        Self("".into())
    }
}

/// Random bytes of which the id and the token of one client are made, by itself or by the hub. They must
/// come from a source that nobody can guess.
pub type Entropy = [u8; 28];

/// The id of a client that chooses none.
pub(crate) fn id_of(entropy: &Entropy) -> String {
    spell(&entropy[..12])
}

/// The secret that goes with it.
pub(crate) fn token_of(entropy: &Entropy) -> String {
    spell(&entropy[12..])
}

/// Whether a secret is shown. Takes the same time wherever the first difference is.
pub(crate) fn is_shown(secret: &str, shown: &str) -> bool {
    let differences = secret.bytes().zip(shown.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    secret.len() == shown.len() && differences == 0
}

fn check(text: &str, most: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > most {
        return Err(IdError::TooLong { bytes: text.len(), most });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control);
    }
    Ok(())
}

/// Bytes as digits and small letters, five bits each: twelve bytes give the twenty characters that Go
/// programs use for an id.
pub(crate) fn spell(bytes: &[u8]) -> String {
    let mut text = BASE32HEX_NOPAD.encode(bytes);
    text.make_ascii_lowercase();
    text
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_could_confuse_is_no_id() {
        assert_eq!(PeerId::new("", 8), Err(IdError::Empty));
        assert_eq!(PeerId::new("123456789", 8), Err(IdError::TooLong { bytes: 9, most: 8 }));
        assert_eq!(RoomName::new("a\nb", 8), Err(IdError::Control));
        assert_eq!(RoomName::new("küche", 8).unwrap().to_string(), "küche");
    }

    #[test]
    fn a_secret_is_shown_whole() {
        assert!(is_shown("secret", "secret"));
        for wrong in ["", "secre", "secrets", "Secret"] {
            assert!(!is_shown("secret", wrong), "{wrong}");
        }
    }

    #[test]
    fn twelve_bytes_make_an_id_as_go_has_them() {
        assert_eq!(spell(&[0; 12]), "00000000000000000000");
        let text = spell(&[0xff; 12]);
        assert_eq!((text.len(), &text[..19]), (20, "vvvvvvvvvvvvvvvvvvv"));
    }
}
