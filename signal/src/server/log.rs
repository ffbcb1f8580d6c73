//! What happens on a hub, as lines of a log. Nothing that peers say to each other is in it.

use std::{collections::BTreeMap, net::SocketAddr};

use tracing::{debug, info};

use crate::{ConnId, ConnectRefused, Event};

/// Remembers what names a connection in the log.
#[derive(Default)]
pub(super) struct Log {
    remotes: BTreeMap<ConnId, SocketAddr>,
}

impl Log {
    pub(super) fn turned_away(&self, remote: SocketAddr, refused: ConnectRefused) {
        match refused {
            ConnectRefused::Full | ConnectRefused::Shutdown => {
                info!(%remote, "turned away: {refused}");
            }
            // One address could write a lot of these.
            ConnectRefused::AddressFull | ConnectRefused::TooOften => {
                debug!(%remote, "turned away: {refused}");
            }
        }
    }

    /// To be called before the first event of a connection.
    pub(super) fn connecting(&mut self, conn: ConnId, remote: SocketAddr) {
        self.remotes.insert(conn, remote);
    }

    /// Logs an event. Gives the connection that it ends.
    pub(super) fn event(&mut self, event: &Event) -> Option<ConnId> {
        let conn = match event {
            Event::Connected { conn, .. }
            | Event::Registered { conn, .. }
            | Event::Unregistered { conn, .. }
            | Event::Forwarded { conn, .. }
            | Event::Refused { conn, .. }
            | Event::Closed { conn, .. } => *conn,
        };
        let remote = self.remotes.get(&conn).map_or_else(|| "-".into(), SocketAddr::to_string);
        match event {
            Event::Connected { .. } => info!(%conn, remote, "connected"),
            Event::Registered { peer, dialect, .. } => {
                info!(%conn, remote, peer = peer.as_str(), ?dialect, "registered");
            }
            Event::Unregistered { peer, .. } => {
                info!(%conn, remote, peer = peer.as_str(), "unregistered");
            }
            Event::Forwarded { to, kind, bytes, .. } => {
                debug!(%conn, remote, %to, kind = kind.name(), bytes, "forwarded");
            }
            Event::Refused { refusal, .. } => {
                // The words may quote the client, the code does not. A bad client could write a lot of
                // these: those who want to know have the metrics.
                debug!(%conn, remote, code = refusal.code(), "refused");
            }
            Event::Closed { reason: None, .. } => {
                info!(%conn, remote, by = "client", "closed");
                self.remotes.remove(&conn);
                return Some(conn);
            }
            Event::Closed { reason: Some(reason), .. } => {
                info!(%conn, remote, by = "hub", code = reason.code(), "closed: {reason}");
                self.remotes.remove(&conn);
                return Some(conn);
            }
        }
        None
    }
}
