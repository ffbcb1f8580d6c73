//! What the hub says to a client.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Dialect, Forward, Frame, Kind, Malformed, Spelling, Stamp,
    frame::wrap,
    json::{Object, fields, optional_string, string, string_or_empty},
    key,
};

const SUFFIX: &str = "_response";

/// Whether a peer is in a room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Presence {
    /// It has come.
    Joined,
    /// It has gone.
    Left,
}

impl Presence {
    const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Left => "left",
        }
    }
}

/// What a refusal is about. Two have a response of their own in envelopes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// A registration with this id.
    Register(String),
    /// The end of the registration of this id.
    Unregister(String),
    /// Anything else.
    Other,
}

/// A request that was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// What was asked.
    pub about: About,
    /// Why, for programs. The codes are those of [`Refusal`](crate::Refusal).
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// The id of the request's envelope; in the raw forms, which have none, its type.
    pub request: Option<String>,
    /// The peer that it was for.
    pub target: Option<String>,
}

/// A message from the hub to a client.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// The client is known by this id now.
    Registered {
        /// The id.
        id: String,
        /// The secret that goes with the id.
        token: Option<String>,
    },
    /// The client is not known by this id any more.
    Unregistered {
        /// The id.
        id: String,
    },
    /// The client is in a room.
    Joined {
        /// Its name.
        room: String,
        /// Who else is there.
        peers: Vec<String>,
    },
    /// The client has left a room.
    Left {
        /// Its name.
        room: String,
    },
    /// Somebody came into a room of this client, or left it.
    Presence {
        /// Its name.
        room: String,
        /// Who.
        peer: String,
        /// Which of the two.
        state: Presence,
    },
    /// Something from another peer.
    Forward(Forward),
    /// A request was not done.
    Refused(Refused),
}

impl Reply {
    /// Writes it as the hub does.
    pub fn write(&self, dialect: Dialect, stamp: &Stamp) -> String {
        let key = |key: key::Key| key.name(dialect);
        let room = |room: &str| Object::new().string(key(key::ROOM), room);
        let response = |id: &str, success| {
            Object::new().string(key(key::CLIENT), id).json(key(key::SUCCESS), success)
        };
        let (base, suffix, data) = match self {
            Self::Registered { id, token } => {
                let token = token.as_deref();
                let bare = |object: Object| {
                    object.string(key(key::CLIENT), id).optional(key(key::TOKEN), token).end()
                };
                match dialect {
                    Dialect::Envelope => {
                        let data = response(id, "true").optional(key(key::TOKEN), token);
                        ("register", SUFFIX, data.end())
                    }
                    Dialect::Raw => return bare(Object::new().string("type", "register")),
                    Dialect::Legacy => return bare(Object::new()),
                }
            }
            Self::Unregistered { id } => ("unregister", SUFFIX, response(id, "true").end()),
            Self::Joined { room: name, peers } => {
                let peers = peers.iter().map(String::as_str);
                ("join", SUFFIX, room(name).strings(key(key::PEERS), peers).end())
            }
            Self::Left { room: name } => ("leave", SUFFIX, room(name).end()),
            Self::Presence { room: name, peer, state } => {
                let data =
                    room(name).string(key(key::PEER), peer).string(key(key::STATE), state.name());
                ("presence", "", data.end())
            }
            Self::Forward(forward) => (forward.payload.kind().name(), "", forward.json(dialect)),
            Self::Refused(refused) => {
                let (base, suffix, object) = match (dialect, &refused.about) {
                    (Dialect::Envelope, About::Register(id)) => {
                        ("register", SUFFIX, response(id, "false"))
                    }
                    (Dialect::Envelope, About::Unregister(id)) => {
                        ("unregister", SUFFIX, response(id, "false"))
                    }
                    _ => ("error", "", Object::new()),
                };
                let data = object
                    .string(key(key::CODE), &refused.code)
                    .string(key(key::MESSAGE), &refused.message)
                    .optional(key(key::REQUEST), refused.request.as_deref())
                    .optional(key(key::TO), refused.target.as_deref());
                (base, suffix, data.end())
            }
        };
        wrap(base, suffix, &data, dialect, stamp)
    }

    /// Reads what a hub said, of any make.
    pub fn read(
        frame: &Frame<'_>,
        dialect: Dialect,
        spelling: Spelling,
    ) -> Result<Self, Malformed> {
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == frame.kind) {
            let json = frame.json(dialect)?;
            return Forward::read(kind, &json, dialect, spelling).map(Self::Forward);
        }
        // The answer to a registration has its fields outside, in the forms with `raw`.
        let bare = dialect != Dialect::Envelope && matches!(&*frame.kind, "register" | "");
        let json = if bare { frame.text.into() } else { frame.json(dialect)? };
        let text = |key: key::Key| {
            let name = key.name(dialect);
            let [value] = fields(&json, [name], spelling).ok_or(Malformed::Field(name))?;
            string_or_empty(value).ok_or(Malformed::Field(name))
        };
        match frame.base(dialect, SUFFIX) {
            Some("register") => return registration(frame, &json, dialect, spelling),
            Some("") if dialect == Dialect::Legacy => {
                return registration(frame, &json, dialect, spelling);
            }
            Some("unregister") => {
                let id = text(key::CLIENT)?;
                return match succeeded(&json, dialect, spelling)? {
                    true => Ok(Self::Unregistered { id }),
                    false => refused(&json, About::Unregister(id), dialect, spelling),
                };
            }
            Some("join") => {
                let name = key::PEERS.name(dialect);
                let [peers] = fields(&json, [name], spelling).ok_or(Malformed::Field(name))?;
                let peers = peers.ok_or(Malformed::Field(name))?;
                let peers =
                    serde_json::from_str(peers.get()).map_err(|_| Malformed::Field(name))?;
                return Ok(Self::Joined { room: text(key::ROOM)?, peers });
            }
            Some("leave") => return Ok(Self::Left { room: text(key::ROOM)? }),
            _ => {}
        }
        match &*frame.kind {
            "presence" => {
                let state = match &*text(key::STATE)? {
                    "joined" => Presence::Joined,
                    "left" => Presence::Left,
                    _ => return Err(Malformed::Field(key::STATE.name(dialect))),
                };
                Ok(Self::Presence { room: text(key::ROOM)?, peer: text(key::PEER)?, state })
            }
            "error" => {
                let about = match (dialect, &*text(key::REQUEST)?) {
                    (Dialect::Raw | Dialect::Legacy, "register") => About::Register(String::new()),
                    (Dialect::Raw | Dialect::Legacy, "unregister") => {
                        About::Unregister(String::new())
                    }
                    _ => About::Other,
                };
                refused(&json, about, dialect, spelling)
            }
            _ => Err(frame.unknown()),
        }
    }
}

fn registration(
    frame: &Frame<'_>,
    json: &str,
    dialect: Dialect,
    spelling: Spelling,
) -> Result<Reply, Malformed> {
    let names = [key::CLIENT, key::TOKEN].map(|key| key.name(dialect));
    let [id, token] = fields(json, names, spelling).ok_or(Malformed::Frame)?;
    let id = string_or_empty(id).ok_or(Malformed::Field(names[0]))?;
    let token = optional_string(token).ok_or(Malformed::Field(names[1]))?;
    match dialect {
        Dialect::Envelope if !succeeded(json, dialect, spelling)? => {
            refused(json, About::Register(id), dialect, spelling)
        }
        // Without a type it could be anything; an id makes it the answer.
        Dialect::Legacy if id.is_empty() => Err(frame.unknown()),
        Dialect::Envelope | Dialect::Raw | Dialect::Legacy => Ok(Reply::Registered { id, token }),
    }
}

/// Only envelopes say so.
fn succeeded(json: &str, dialect: Dialect, spelling: Spelling) -> Result<bool, Malformed> {
    let name = key::SUCCESS.name(dialect);
    let [success] = fields(json, [name], spelling).ok_or(Malformed::Field(name))?;
    match success.map(|value| value.get()) {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err(Malformed::Field(name)),
    }
}

fn refused(
    json: &str,
    about: About,
    dialect: Dialect,
    spelling: Spelling,
) -> Result<Reply, Malformed> {
    let names = [key::CODE, key::MESSAGE, key::REQUEST, key::TO].map(|key| key.name(dialect));
    let values = fields(json, names, spelling).ok_or(Malformed::Frame)?;
    let mut texts = names.iter().zip(values).map(|(name, value)| match value {
        Some(value) => string(value).map(Some).ok_or(Malformed::Field(name)),
        None => Ok(None),
    });
    let mut next = || texts.next().unwrap_or(Ok(None));
    Ok(Reply::Refused(Refused {
        about,
        // Go's hub gives no reason.
        code: next()?.unwrap_or_else(|| "refused".to_string()),
        message: next()?.unwrap_or_default(),
        request: next()?,
        target: next()?,
    }))
}
