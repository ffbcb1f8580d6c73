//! What peers send to each other, and how one form of it becomes the other.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use data_encoding::BASE64;

use super::{
    Dialect, Malformed, Spelling,
    json::{Object, compact, fields, occurrences, optional_string, string, string_or_empty},
    key::{self, Key},
};

/// The kinds of what is forwarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A session description: an offer or an answer.
    Sdp,
    /// An ICE candidate.
    Candidate,
    /// What would travel on a data channel, if there were a direct way.
    DataChannel,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sdp, Self::Candidate, Self::DataChannel];

    /// The `type` of such a message, in every form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sdp => "sdp",
            Self::Candidate => "candidate",
            Self::DataChannel => "data_channel",
        }
    }
}

// The names in `RTCIceCandidateInit`.
const SDP_MID: &str = "sdpMid";
const SDP_M_LINE_INDEX: &str = "sdpMLineIndex";
const USERNAME_FRAGMENT: &str = "usernameFragment";

/// What a session description is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdpType {
    /// It asks for a session.
    Offer,
    /// It answers an offer.
    Answer,
    /// It answers an offer for the time being.
    Pranswer,
    /// It takes an offer back.
    Rollback,
}

impl SdpType {
    const ALL: [(Self, &str); 4] = [
        (Self::Offer, "offer"),
        (Self::Answer, "answer"),
        (Self::Pranswer, "pranswer"),
        (Self::Rollback, "rollback"),
    ];

    fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(it, _)| *it)
    }
}

/// A session description. Its text has passwords in it: it is not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// What it is for, if it says so.
    pub kind: Option<SdpType>,
    /// The object `{"type":…,"sdp":…}` as JSON.
    pub json: String,
}

/// An ICE candidate, as browsers have it in `RTCIceCandidateInit`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    /// The line, `candidate:…`. Empty for the end of candidates.
    pub candidate: String,
    /// The `mid` of its media section.
    pub sdp_mid: Option<String>,
    /// The index of its media section.
    pub sdp_m_line_index: Option<u16>,
    /// The ICE user that it belongs to.
    pub username_fragment: Option<String>,
}

/// What is forwarded. What a sender left out is `None`.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A session description.
    Sdp(Option<Description>),
    /// A candidate.
    Candidate(Option<Candidate>),
    /// A data channel's message.
    Data {
        /// The label of the channel.
        label: String,
        /// Its bytes.
        bytes: Option<Vec<u8>>,
    },
}

impl Payload {
    /// Which kind it is of.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Sdp(_) => Kind::Sdp,
            Self::Candidate(_) => Kind::Candidate,
            Self::Data { .. } => Kind::DataChannel,
        }
    }
}

/// A message from one peer to another. It cannot be printed for debugging: it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Forward {
    /// Who sends it.
    pub from: String,
    /// Whom it is for.
    pub to: String,
    /// What it says.
    pub payload: Payload,
    /// How its sender wrote it. A receiver of the same form gets what we do not know of, too.
    original: Option<(Dialect, String)>,
}

impl Forward {
    /// A message that is sent from here.
    pub fn new(from: impl Into<String>, to: impl Into<String>, payload: Payload) -> Self {
        Self { from: from.into(), to: to.into(), payload, original: None }
    }

    pub(super) fn read(
        kind: Kind,
        json: &str,
        dialect: Dialect,
        spelling: Spelling,
    ) -> Result<Self, Malformed> {
        let names = |keys: [Key; 2]| keys.map(|key| key.name(dialect));
        let [from, to] = fields(json, names([key::FROM, key::TO]), spelling)
            .ok_or(Malformed::Field(key::TO.name(dialect)))?
            .map(string_or_empty);
        let payload = match kind {
            Kind::Sdp => read_description(json, dialect, spelling).map(Payload::Sdp),
            Kind::Candidate => read_candidate(json, dialect, spelling).map(Payload::Candidate),
            Kind::DataChannel => read_data(json, dialect, spelling),
        };
        let original = match dialect {
            Dialect::Envelope => compact(json),
            Dialect::Raw | Dialect::Legacy => json.into(),
        };
        Ok(Self {
            from: from.ok_or(Malformed::Field(key::FROM.name(dialect)))?,
            to: to.ok_or(Malformed::Field(key::TO.name(dialect)))?,
            payload: payload.ok_or(Malformed::Field(content(kind).name(dialect)))?,
            original: Some((dialect, original)),
        })
    }

    /// Whether every receiver takes the same one for the sender: JSON may name a field twice, and not all
    /// programs choose the same, nor do all care for upper and lower case.
    pub(crate) fn names_one_sender(&self) -> bool {
        self.original
            .as_ref()
            .is_none_or(|(dialect, json)| occurrences(json, key::FROM.name(*dialect)) == Some(1))
    }

    /// Its data in one form.
    pub(super) fn json(&self, dialect: Dialect) -> String {
        if let Some((_, json)) = self.original.as_ref().filter(|(form, _)| *form == dialect) {
            return json.clone();
        }
        let object = Object::new()
            .string(key::FROM.name(dialect), &self.from)
            .string(key::TO.name(dialect), &self.to);
        let object = match &self.payload {
            Payload::Sdp(None) | Payload::Candidate(None) => object,
            Payload::Sdp(Some(it)) => object.json(key::DESCRIPTION.name(dialect), &it.json),
            Payload::Candidate(Some(it)) => write_candidate(object, it, dialect),
            Payload::Data { label, bytes } => {
                let bytes = bytes.as_ref().map(|bytes| BASE64.encode(bytes));
                object
                    .string(key::LABEL.name(dialect), label)
                    .optional(key::PAYLOAD.name(dialect), bytes.as_deref())
            }
        };
        object.end()
    }
}

/// The field that a kind of message is about.
fn content(kind: Kind) -> Key {
    match kind {
        Kind::Sdp => key::DESCRIPTION,
        Kind::Candidate => key::CANDIDATE,
        Kind::DataChannel => key::PAYLOAD,
    }
}

// Below, the outer `Option` is `None` for what is malformed, the inner one for what is absent.

fn read_description(
    json: &str,
    dialect: Dialect,
    spelling: Spelling,
) -> Option<Option<Description>> {
    let [Some(value)] = fields(json, [key::DESCRIPTION.name(dialect)], spelling)? else {
        return Some(None);
    };
    let [sdp] = fields(value.get(), ["sdp"], spelling)?;
    optional_string(sdp)?;
    let [kind] = fields(value.get(), ["type"], spelling)?;
    let kind = match kind {
        Some(kind) => Some(SdpType::parse(&string(kind)?)?),
        None => None,
    };
    Some(Some(Description { kind, json: compact(value.get()) }))
}

fn read_candidate(json: &str, dialect: Dialect, spelling: Spelling) -> Option<Option<Candidate>> {
    let [Some(value)] = fields(json, [key::CANDIDATE.name(dialect)], spelling)? else {
        return Some(None);
    };
    if value.get().starts_with('{') {
        return read_init(value.get(), "candidate", spelling).map(Some);
    }
    match dialect {
        Dialect::Envelope => None,
        Dialect::Raw | Dialect::Legacy => {
            let text = string(value)?;
            if text.trim_start().starts_with('{') {
                return read_init(&text, "candidate", spelling).map(Some);
            }
            // The line alone; where it belongs stands beside it, if anywhere.
            read_init(json, key::CANDIDATE.name(dialect), spelling).map(Some)
        }
    }
}

fn read_init(json: &str, line: &str, spelling: Spelling) -> Option<Candidate> {
    let names = [line, SDP_MID, SDP_M_LINE_INDEX, USERNAME_FRAGMENT];
    let [line, mid, index, user] = fields(json, names, spelling)?;
    Some(Candidate {
        candidate: string_or_empty(line)?,
        sdp_mid: optional_string(mid)?,
        sdp_m_line_index: match index {
            Some(index) => Some(serde_json::from_str(index.get()).ok()?),
            None => None,
        },
        username_fragment: optional_string(user)?,
    })
}

fn write_candidate(object: Object, it: &Candidate, dialect: Dialect) -> Object {
    let name = key::CANDIDATE.name(dialect);
    match dialect {
        Dialect::Envelope => object.json(name, &init(it)),
        Dialect::Legacy => object.string(name, &init(it)),
        Dialect::Raw => {
            let index = it.sdp_m_line_index.map(|index| index.to_string());
            let object =
                object.string(name, &it.candidate).optional("SdpMid", it.sdp_mid.as_deref());
            let object = match index {
                Some(index) => object.json("SdpMLineIndex", &index),
                None => object,
            };
            object.optional("UsernameFragment", it.username_fragment.as_deref())
        }
    }
}

/// As browsers and Go programs write it: what is unknown is `null`.
fn init(it: &Candidate) -> String {
    let text = |object: Object, name, value: Option<&str>| match value {
        Some(value) => object.string(name, value),
        None => object.json(name, "null"),
    };
    let index = it.sdp_m_line_index.map(|index| index.to_string());
    let object = Object::new().string("candidate", &it.candidate);
    let object = text(object, SDP_MID, it.sdp_mid.as_deref());
    let object = object.json(SDP_M_LINE_INDEX, index.as_deref().unwrap_or("null"));
    text(object, USERNAME_FRAGMENT, it.username_fragment.as_deref()).end()
}

fn read_data(json: &str, dialect: Dialect, spelling: Spelling) -> Option<Payload> {
    let names = [key::LABEL, key::PAYLOAD].map(|key| key.name(dialect));
    let [label, bytes] = fields(json, names, spelling)?;
    let bytes = match bytes {
        // Go programs take an array of bytes, too.
        Some(value) if value.get().starts_with('[') => serde_json::from_str(value.get()).ok()?,
        Some(value) => Some(BASE64.decode(string(value)?.as_bytes()).ok()?),
        None => None,
    };
    Some(Payload::Data { label: string_or_empty(label)?, bytes })
}
