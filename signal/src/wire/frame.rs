//! The outside of a message: its type, and its data still as JSON.

use alloc::{borrow::Cow, string::String};

use data_encoding::BASE64;
use serde_json::value::RawValue;

use super::{
    Dialect, Malformed, Spelling, Timestamp,
    json::{Object, fields_or_null, is_null, string, string_or_empty},
};

/// What an envelope says of itself. The raw forms have no such thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The message's own id, chosen by its sender.
    pub id: String,
    /// When it was sent.
    pub timestamp: Timestamp,
}

/// A message that was taken apart as far as every form allows.
pub struct Frame<'a> {
    /// The id, as the sender chose it; empty if it has none.
    pub id: String,
    /// The type; empty if it has none.
    pub kind: String,
    /// When it was sent, if it says so.
    pub timestamp: Option<Timestamp>,
    pub(super) text: &'a str,
    data: Option<&'a RawValue>,
    raw: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    /// Takes a message apart.
    pub fn read(text: &'a str, spelling: Spelling) -> Result<Self, Malformed> {
        let names = ["id", "type", "timestamp", "data", "raw"];
        let [id, kind, timestamp, data, raw] =
            fields_or_null(text, names, spelling).ok_or(Malformed::Frame)?;
        let present = |value: Option<&'a RawValue>| value.filter(|value| !is_null(value));
        let timestamp = match present(timestamp) {
            Some(value) => {
                let text = string(value).ok_or(Malformed::Frame)?;
                Some(Timestamp::parse(&text).ok_or(Malformed::Frame)?)
            }
            None => None,
        };
        Ok(Self {
            id: string_or_empty(present(id)).ok_or(Malformed::Frame)?,
            kind: string_or_empty(present(kind)).ok_or(Malformed::Frame)?,
            timestamp: timestamp.filter(|timestamp| !timestamp.is_unset()),
            text,
            data: present(data),
            raw,
        })
    }

    /// The form that a connection speaks whose first message this is.
    pub fn dialect(&self) -> Dialect {
        match (self.data, self.raw) {
            (None, Some(raw)) if raw.get().starts_with("\"{") => Dialect::Raw,
            (None, Some(_)) => Dialect::Legacy,
            (None, None) if matches!(&*self.kind, "register" | "unregister") => Dialect::Raw,
            _ => Dialect::Envelope,
        }
    }

    /// The data as JSON; `null` if there is none.
    pub(super) fn json(&self, dialect: Dialect) -> Result<Cow<'a, str>, Malformed> {
        let (Dialect::Raw | Dialect::Legacy) = dialect else {
            return Ok(self.data.map_or("null", RawValue::get).into());
        };
        let Some(raw) = self.raw.filter(|raw| !is_null(raw)) else { return Ok("null".into()) };
        let text = string(raw).ok_or(Malformed::Frame)?;
        if text.trim_start().starts_with('{') {
            return Ok(text.into());
        }
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| Malformed::Frame)?;
        String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Malformed::Frame)
    }

    /// The type without what envelopes add to it.
    pub(super) fn base(&self, dialect: Dialect, suffix: &str) -> Option<&str> {
        match dialect {
            Dialect::Envelope => self.kind.strip_suffix(suffix),
            Dialect::Raw | Dialect::Legacy => Some(&self.kind),
        }
    }

    pub(super) fn unknown(&self) -> Malformed {
        // The answer quotes it, so it is not longer than a sound one could be.
        Malformed::Type(self.kind.chars().take(32).collect())
    }
}

/// A message of type `base`, with `suffix` where envelopes have one.
pub(super) fn wrap(
    base: &str,
    suffix: &str,
    data: &str,
    dialect: Dialect,
    stamp: &Stamp,
) -> String {
    match dialect {
        Dialect::Envelope => Object::new()
            .string("id", &stamp.id)
            .string("type", &[base, suffix].concat())
            .string("timestamp", stamp.timestamp.as_str())
            .json("data", data)
            .end(),
        Dialect::Raw => Object::new().string("type", base).string("raw", data).end(),
        Dialect::Legacy => {
            Object::new().string("type", base).string("raw", &BASE64.encode(data.as_bytes())).end()
        }
    }
}
