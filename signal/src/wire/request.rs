//! What a client asks of the hub.

use alloc::string::String;

use super::{
    Dialect, Forward, Frame, Kind, Malformed, Spelling, Stamp,
    frame::wrap,
    json::{Object, fields, optional_string, string_or_empty},
    key,
};

const SUFFIX: &str = "_request";

/// A message from a client to the hub. What it names is not checked yet.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// To be known by an id.
    Register {
        /// The id; `None` or empty leaves the choice to the hub, where the form allows that.
        id: Option<String>,
        /// A secret that goes with the id: whoever shows it takes the id over while it is held.
        token: Option<String>,
    },
    /// To be known no more.
    Unregister {
        /// The id; empty means the one that the connection has.
        id: String,
    },
    /// To come into a room: be told who is there, who comes and who goes.
    Join {
        /// Its name.
        room: String,
    },
    /// To leave a room.
    Leave {
        /// Its name.
        room: String,
    },
    /// To pass something on to another peer.
    Forward(Forward),
}

impl Request {
    /// Reads what a client said.
    pub fn read(
        frame: &Frame<'_>,
        dialect: Dialect,
        spelling: Spelling,
    ) -> Result<Self, Malformed> {
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == frame.kind) {
            let json = frame.json(dialect)?;
            return Forward::read(kind, &json, dialect, spelling).map(Self::Forward);
        }
        let room = || {
            let name = key::ROOM.name(dialect);
            let json = frame.json(dialect)?;
            let [room] = fields(&json, [name], spelling).ok_or(Malformed::Field(name))?;
            string_or_empty(room).ok_or(Malformed::Field(name))
        };
        match frame.base(dialect, SUFFIX) {
            Some("register") => {
                let json = frame.json(dialect)?;
                let names = [key::CLIENT, key::TOKEN].map(|key| key.name(dialect));
                let bad = |i: usize| Malformed::Field(names[i]);
                let [id, token] = fields(&json, names, spelling).ok_or(bad(0))?;
                Ok(Self::Register {
                    id: optional_string(id).ok_or(bad(0))?,
                    token: optional_string(token).ok_or(bad(1))?,
                })
            }
            Some("unregister") => {
                let name = key::CLIENT.name(dialect);
                let json = frame.json(dialect)?;
                let [id] = fields(&json, [name], spelling).ok_or(Malformed::Field(name))?;
                Ok(Self::Unregister { id: string_or_empty(id).ok_or(Malformed::Field(name))? })
            }
            Some("join") => Ok(Self::Join { room: room()? }),
            Some("leave") => Ok(Self::Leave { room: room()? }),
            _ => Err(frame.unknown()),
        }
    }

    /// Writes it as a client does.
    pub fn write(&self, dialect: Dialect, stamp: &Stamp) -> String {
        let key = |key: key::Key| key.name(dialect);
        let (base, data) = match self {
            Self::Forward(forward) => {
                let kind = forward.payload.kind();
                return wrap(kind.name(), "", &forward.json(dialect), dialect, stamp);
            }
            Self::Register { id, token } => {
                let object = Object::new().optional(key(key::CLIENT), id.as_deref());
                ("register", object.optional(key(key::TOKEN), token.as_deref()))
            }
            Self::Unregister { id } => ("unregister", Object::new().string(key(key::CLIENT), id)),
            Self::Join { room } => ("join", Object::new().string(key(key::ROOM), room)),
            Self::Leave { room } => ("leave", Object::new().string(key(key::ROOM), room)),
        };
        wrap(base, SUFFIX, &data.end(), dialect, stamp)
    }
}
