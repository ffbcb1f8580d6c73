//! What clients ask for, one request at a time.

use alloc::string::{String, ToString};

use smoq_core::Time;

use super::{
    CloseReason, Event, Hub, Output, Peer,
    conn::{Origin, QueueFull},
};
use crate::{
    id::{ConnId, PeerId, id_of, is_shown, token_of},
    policy::{EmptyId, Forms, Refusals, Sender, TakenId, Tokens, Unregister},
    refusal::Refusal,
    wire::{About, Dialect, Forward, Frame, Malformed, Refused, Reply, Request, Stamp},
};

/// What an answer needs to know of its request.
struct Asked {
    about: About,
    request: Option<String>,
    target: Option<String>,
}

impl Hub {
    /// A connection said something.
    pub fn handle_message(&mut self, now: Time, id: ConnId, text: &str) {
        self.advance(now);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.heard = self.now;
        self.totals.messages_received += 1;
        self.totals.bytes_received += text.len() as u64;
        if text.len() > self.limits.message_bytes {
            self.end(id, Some(CloseReason::TooLarge));
        } else {
            let mut asked = Asked { about: About::Other, request: None, target: None };
            let may = conn.messages.take(self.now, 1) && conn.bytes.take(self.now, text.len());
            let done = match may {
                true => self.read(id, text, &mut asked),
                false => Err(Refusal::RateLimited),
            };
            if let Err(refusal) = done {
                self.refuse(id, refusal, asked);
            }
        }
        self.settle();
    }

    fn read(&mut self, id: ConnId, text: &str, asked: &mut Asked) -> Result<(), Refusal> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        let spelling = conn.form().spelling(self.policies.spelling);
        let frame = Frame::read(text, spelling)?;
        let dialect = *conn.dialect.get_or_insert_with(|| match self.policies.forms {
            Forms::All => frame.dialect(),
            Forms::Envelope => Dialect::Envelope,
        });
        let request = match dialect {
            Dialect::Envelope => &frame.id,
            Dialect::Raw | Dialect::Legacy => &frame.kind,
        };
        let echo = !request.is_empty() && request.len() <= self.limits.id_bytes;
        asked.request = echo.then(|| request.clone());
        match Request::read(&frame, dialect, dialect.spelling(self.policies.spelling))? {
            Request::Register { id: wanted, token } => {
                asked.about = About::Register(self.quotable(wanted.as_deref()));
                self.register(id, dialect, wanted, token)
            }
            Request::Unregister { id: wanted } => {
                asked.about = About::Unregister(self.quotable(Some(&wanted)));
                match self.policies.unregister {
                    Unregister::Answer => self.unregister(id, &wanted),
                    Unregister::Ignore => Ok(()),
                }
            }
            Request::Join { room } => self.charge(id).and_then(|()| self.join(id, &room)),
            Request::Leave { room } => self.charge(id).and_then(|()| self.leave(id, &room)),
            Request::Forward(forward) => {
                asked.target = Some(self.quotable(Some(&forward.to)));
                let stamp = match dialect {
                    Dialect::Envelope => {
                        let timestamp = frame.timestamp.unwrap_or_else(|| self.timestamp());
                        Stamp { id: frame.id, timestamp }
                    }
                    Dialect::Raw | Dialect::Legacy => self.stamp(),
                };
                self.forward(id, forward, &stamp)
            }
        }
    }

    fn register(
        &mut self,
        id: ConnId,
        dialect: Dialect,
        wanted: Option<String>,
        token: Option<String>,
    ) -> Result<(), Refusal> {
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        let wanted = wanted.unwrap_or_default();
        let peer = match (dialect, &*wanted, conn.ids.first()) {
            // Those who leave the choice to the hub ask again until they are answered.
            (Dialect::Raw | Dialect::Legacy, "", Some(first)) => first.clone(),
            (Dialect::Raw | Dialect::Legacy, "", None) => {
                PeerId::new(&id_of(&conn.entropy), usize::MAX).map_err(Refusal::BadId)?
            }
            (Dialect::Envelope, "", _) if self.policies.empty_id == EmptyId::Allow => {
                PeerId::nameless()
            }
            _ => PeerId::new(&wanted, self.limits.id_bytes).map_err(Refusal::BadId)?,
        };
        let shown = token.filter(|token| !token.is_empty());
        if shown.as_ref().is_some_and(|token| token.len() > self.limits.id_bytes) {
            return Err(Malformed::Field("token").into());
        }
        let own = token_of(&conn.entropy);
        let holder = self.peers.get(&peer);
        let may_hold = match holder {
            None => true,
            Some(holder) if holder.conn == id => false,
            Some(holder) if self.may_take_over(holder, shown.as_deref()) => true,
            Some(_) if self.policies.taken_id == TakenId::Pretend => false,
            Some(_) => return Err(Refusal::IdTaken),
        };
        if may_hold {
            if conn.ids.len() >= self.limits.ids {
                return Err(Refusal::TooManyIds);
            }
            let holder = holder.map(|holder| holder.conn);
            self.charge(id)?;
            if let Some(holder) = holder {
                self.end(holder, Some(CloseReason::Replaced));
            }
            self.hold(id, peer.clone(), shown.unwrap_or(own), dialect);
        }
        let token = match self.policies.tokens {
            Tokens::Issue => self.peers.get(&peer).map(|peer| peer.token.clone()),
            Tokens::None => None,
        };
        self.tell(id, &Reply::Registered { id: peer.to_string(), token });
        Ok(())
    }

    fn hold(&mut self, conn: ConnId, peer: PeerId, token: String, dialect: Dialect) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.ids.push(peer.clone());
        }
        self.peers.insert(peer.clone(), Peer { conn, token, rooms: Default::default() });
        self.outputs.push_back(Output::Event(Event::Registered { conn, peer, dialect }));
    }

    fn may_take_over(&self, holder: &Peer, shown: Option<&str>) -> bool {
        let shown = shown.is_some_and(|shown| is_shown(&holder.token, shown));
        self.policies.tokens == Tokens::Issue && shown
    }

    fn unregister(&mut self, id: ConnId, wanted: &str) -> Result<(), Refusal> {
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        if conn.ids.is_empty() {
            return Err(Refusal::NotRegistered);
        }
        let found = conn.ids.iter().position(|own| wanted.is_empty() || own.as_str() == wanted);
        let found = found.ok_or(Refusal::ForgedSender)?;
        self.charge(id)?;
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        let peer = conn.ids.remove(found);
        conn.nameless = self.now;
        self.free(id, peer.clone());
        self.arm(id);
        self.tell(id, &Reply::Unregistered { id: peer.to_string() });
        Ok(())
    }

    fn forward(&mut self, id: ConnId, forward: Forward, stamp: &Stamp) -> Result<(), Refusal> {
        let Some(conn) = self.conns.get(&id) else { return Ok(()) };
        match self.policies.sender {
            Sender::AsSent => {}
            Sender::Own if conn.ids.is_empty() => return Err(Refusal::NotRegistered),
            Sender::Own => {
                let own = conn.ids.iter().any(|own| own.as_str() == forward.from);
                if !own || !forward.names_one_sender() {
                    return Err(Refusal::ForgedSender);
                }
            }
        }
        let to = self.holder(&forward.to).ok_or(Refusal::UnknownTarget)?;
        let Some(target) = self.conns.get(&to) else { return Err(Refusal::UnknownTarget) };
        let kind = forward.payload.kind();
        let text = Reply::Forward(forward).write(target.form(), stamp);
        let bytes = text.len();
        if bytes > self.limits.message_bytes {
            return Err(Refusal::TooLarge);
        }
        self.push(to, Origin::Peer, text).map_err(|QueueFull| Refusal::TargetBusy)?;
        self.totals.forwarded += 1;
        self.outputs.push_back(Output::Event(Event::Forwarded { conn: id, to, kind, bytes }));
        Ok(())
    }

    /// Takes what it costs to change who is where.
    fn charge(&mut self, id: ConnId) -> Result<(), Refusal> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        // One was taken already, as for any message.
        let rest = self.limits.membership_cost.saturating_sub(1);
        conn.messages.take(self.now, rest).then_some(()).ok_or(Refusal::RateLimited)
    }

    fn refuse(&mut self, id: ConnId, refusal: Refusal, asked: Asked) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        self.totals.refused += 1;
        match self.policies.refusals {
            // Who is not told cannot do better.
            Refusals::Silent => {}
            Refusals::Answer => {
                if refusal.blames_sender() && !conn.refusals.take(self.now, 1) {
                    self.doomed.push((id, CloseReason::TooManyRefusals));
                }
                let Asked { about, request, target } = asked;
                let (code, message) = (refusal.code().into(), refusal.to_string());
                self.tell(id, &Reply::Refused(Refused { about, code, message, request, target }));
            }
        }
        self.outputs.push_back(Output::Event(Event::Refused { conn: id, refusal }));
    }

    /// An id as a client wrote it, for an answer; cut if it is longer than one can be.
    fn quotable(&self, id: Option<&str>) -> String {
        let text = id.unwrap_or_default();
        text.chars().take(self.limits.id_bytes).collect()
    }
}
