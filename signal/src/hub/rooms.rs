//! Rooms: who is where, and who is told.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Hub,
    conn::{Conn, Origin, QueueFull},
};
use crate::{
    id::{ConnId, PeerId, RoomName},
    refusal::Refusal,
    wire::{Presence, Reply},
};

/// What a peer knows of a room that it is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// All, once it has read what waits for it.
    Told,
    /// Not all: too much waited for it already.
    Stale,
}

impl Hub {
    /// Brings the first id of a connection into a room.
    pub(super) fn join(&mut self, conn: ConnId, room: &str) -> Result<(), Refusal> {
        let id = self.first_id(conn)?;
        let room = RoomName::new(room, self.limits.id_bytes).map_err(Refusal::BadRoom)?;
        let peer = self.peers.get_mut(&id).ok_or(Refusal::NotRegistered)?;
        if !peer.rooms.contains_key(&room) {
            if peer.rooms.len() >= self.limits.rooms {
                return Err(Refusal::TooManyRooms);
            }
            let there = self.rooms.get(&room).map_or(0, |peers| peers.len());
            if there >= self.limits.room_peers {
                return Err(Refusal::RoomFull);
            }
            peer.rooms.insert(room.clone(), View::Told);
            self.announce(&room, &id, Presence::Joined);
            self.rooms.entry(room.clone()).or_default().insert(id.clone());
        }
        let peers = self.others(&room, &id);
        self.tell(conn, &Reply::Joined { room: room.to_string(), peers });
        Ok(())
    }

    /// Takes the first id of a connection out of a room.
    pub(super) fn leave(&mut self, conn: ConnId, room: &str) -> Result<(), Refusal> {
        let id = self.first_id(conn)?;
        let peer = self.peers.get_mut(&id).ok_or(Refusal::NotRegistered)?;
        let (room, _) = peer.rooms.remove_entry(room).ok_or(Refusal::NotInRoom)?;
        self.walk_out(&id, &room);
        self.tell(conn, &Reply::Left { room: room.to_string() });
        Ok(())
    }

    /// Takes an id out of a room that it has forgotten already.
    pub(super) fn walk_out(&mut self, id: &PeerId, room: &RoomName) {
        let Some(peers) = self.rooms.get_mut(room) else { return };
        peers.remove(id);
        if peers.is_empty() {
            self.rooms.remove(room);
        }
        self.announce(room, id, Presence::Left);
    }

    fn announce(&mut self, room: &RoomName, id: &PeerId, state: Presence) {
        let there: Vec<_> = self.rooms.get(room).into_iter().flatten().cloned().collect();
        let reply = Reply::Presence { room: room.to_string(), peer: id.to_string(), state };
        there.iter().for_each(|peer| self.show(peer, room, &reply));
    }

    /// Tells a peer of its room, unless it has to be told anew anyway.
    fn show(&mut self, id: &PeerId, room: &RoomName, reply: &Reply) {
        let Some(peer) = self.peers.get(id) else { return };
        if peer.rooms.get(room) != Some(&View::Told) {
            return;
        }
        if let Err(QueueFull) = self.queue(peer.conn, Origin::Presence, reply) {
            self.view(id, room, View::Stale);
        }
    }

    fn view(&mut self, id: &PeerId, room: &RoomName, view: View) {
        let view_of = self.peers.get_mut(id).and_then(|peer| peer.rooms.get_mut(room));
        view_of.into_iter().for_each(|old| *old = view);
    }

    /// Tells a connection that has read all presence who is in the rooms of which it was not told all.
    pub(super) fn refresh(&mut self, conn: ConnId) {
        if !self.conns.get(&conn).is_some_and(Conn::is_up_to_date) {
            return;
        }
        let Ok(id) = self.first_id(conn) else { return };
        let rooms = self.peers.get(&id).into_iter().flat_map(|peer| &peer.rooms);
        let stale = rooms.filter(|(_, view)| **view == View::Stale);
        for room in stale.map(|(room, _)| room.clone()).collect::<Vec<_>>() {
            self.view(&id, &room, View::Told);
            let peers = self.others(&room, &id);
            self.show(&id, &room, &Reply::Joined { room: room.to_string(), peers });
        }
    }

    /// Who is in a room beside this one.
    fn others(&self, room: &RoomName, id: &PeerId) -> Vec<String> {
        let all = self.rooms.get(room).into_iter().flatten();
        all.filter(|peer| *peer != id).map(ToString::to_string).collect()
    }

    fn first_id(&self, conn: ConnId) -> Result<PeerId, Refusal> {
        let id = self.conns.get(&conn).and_then(|conn| conn.ids.first());
        id.cloned().ok_or(Refusal::NotRegistered)
    }
}
