//! Rooms: who is where, and who is told.

use alloc::{string::ToString, vec::Vec};

use super::Hub;
use crate::{
    id::{ConnId, PeerId, RoomName},
    refusal::Refusal,
    wire::{Presence, Reply},
};

impl Hub {
    /// Brings the first id of a connection into a room.
    pub(super) fn join(&mut self, conn: ConnId, room: &str) -> Result<(), Refusal> {
        let id = self.first_id(conn)?;
        let room = RoomName::new(room, self.limits.id_bytes).map_err(Refusal::BadRoom)?;
        let peer = self.peers.get_mut(&id).ok_or(Refusal::NotRegistered)?;
        if !peer.rooms.contains(&room) {
            if peer.rooms.len() >= self.limits.rooms {
                return Err(Refusal::TooManyRooms);
            }
            let there = self.rooms.get(&room).map_or(0, |peers| peers.len());
            if there >= self.limits.room_peers {
                return Err(Refusal::RoomFull);
            }
            peer.rooms.insert(room.clone());
            self.announce(&room, &id, Presence::Joined);
            self.rooms.entry(room.clone()).or_default().insert(id.clone());
        }
        let others = self.rooms.get(&room).into_iter().flatten().filter(|peer| **peer != id);
        let peers = others.map(ToString::to_string).collect();
        self.tell(conn, &Reply::Joined { room: room.to_string(), peers });
        Ok(())
    }

    /// Takes the first id of a connection out of a room.
    pub(super) fn leave(&mut self, conn: ConnId, room: &str) -> Result<(), Refusal> {
        let id = self.first_id(conn)?;
        let peer = self.peers.get_mut(&id).ok_or(Refusal::NotRegistered)?;
        let room = peer.rooms.take(room).ok_or(Refusal::NotInRoom)?;
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
        let others: Vec<_> = self
            .rooms
            .get(room)
            .into_iter()
            .flatten()
            .filter_map(|peer| self.peers.get(peer).map(|peer| peer.conn))
            .collect();
        let reply = Reply::Presence { room: room.to_string(), peer: id.to_string(), state };
        others.into_iter().for_each(|conn| self.tell(conn, &reply));
    }

    fn first_id(&self, conn: ConnId) -> Result<PeerId, Refusal> {
        let id = self.conns.get(&conn).and_then(|conn| conn.ids.first());
        id.cloned().ok_or(Refusal::NotRegistered)
    }
}
