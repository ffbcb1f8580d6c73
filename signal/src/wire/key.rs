//! The names of fields in each form.

use super::Dialect;

/// One field's names: in an envelope, in the raw form, in the older base64 form.
#[derive(Clone, Copy)]
pub(crate) struct Key(&'static str, &'static str, &'static str);

impl Key {
    pub(crate) const fn name(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Envelope => self.0,
            Dialect::Raw => self.1,
            Dialect::Legacy => self.2,
        }
    }
}

pub(crate) const CLIENT: Key = Key("client_id", "ID", "id");
pub(crate) const FROM: Key = Key("from_id", "ID", "id");
pub(crate) const TO: Key = Key("to_id", "TargetID", "target_id");
pub(crate) const DESCRIPTION: Key =
    Key("session_description", "SessionDescription", "session_description");
pub(crate) const CANDIDATE: Key = Key("candidate", "Candidate", "candidate");
pub(crate) const LABEL: Key = Key("label", "Label", "label");
pub(crate) const PAYLOAD: Key = Key("payload", "Data", "data");
pub(crate) const SUCCESS: Key = Key("success", "Success", "success");
pub(crate) const TOKEN: Key = Key("token", "Token", "token");
pub(crate) const ROOM: Key = Key("room", "Room", "room");
pub(crate) const PEER: Key = Key("peer_id", "PeerID", "peer_id");
pub(crate) const PEERS: Key = Key("peers", "Peers", "peers");
pub(crate) const STATE: Key = Key("state", "State", "state");
pub(crate) const CODE: Key = Key("code", "Code", "code");
pub(crate) const MESSAGE: Key = Key("message", "Message", "message");
pub(crate) const REQUEST: Key = Key("request_id", "RequestID", "request_id");
