//! Events and tables in words.

use smoq_p2p::{
    Channel, Event, Kind, Message, State, Stats, signal::ClientEvent, signal::wire::Presence,
};

use crate::terminal::name;

/// What the screen says of an event, if anything.
pub(super) fn event(event: &Event) -> Option<String> {
    let text = match event {
        Event::Hub(event) => return hub(event),
        Event::State { peer, state } => format!("{}: {}", name(peer), of_state(*state)),
        Event::Ended { peer, end } => format!("{}: the call is over: {end}", name(peer)),
        Event::Opened { protocol, .. } | Event::Closed { protocol, .. } if !protocol.is_empty() => {
            return None;
        }
        Event::Opened { peer, label, .. } => {
            format!("{}: channel {} is open", name(peer), name(label))
        }
        Event::Closed { peer, label, .. } => {
            format!("{}: channel {} is closed", name(peer), name(label))
        }
        Event::Lost { peer, bytes, loss } => {
            format!("{}: up to {bytes} bytes may not have arrived: {loss}", name(peer))
        }
        Event::Media { peer, kind } => format!("{}: takes {}", name(peer), self::kind(*kind)),
        Event::Message { peer, channel, label, message, protocol: _ } => {
            let way = if channel.is_some() { "" } else { ", through the hub" };
            let (peer, label) = (name(peer), name(label));
            match message {
                Message::Text(text) => format!("[{peer} {label}{way}] {text}"),
                Message::Binary(bytes) => format!("[{peer} {label}{way}] {} bytes", bytes.len()),
            }
        }
        Event::Writable { .. } => return None,
    };
    Some(text)
}

fn hub(event: &ClientEvent) -> Option<String> {
    let text = match event {
        ClientEvent::Registered { id } => format!("id {}", name(id)),
        ClientEvent::NotRegistered { refused, again } => {
            let then = if *again { "; it is tried again" } else { "" };
            format!("the hub does not take this id: {}{then}", refused.message)
        }
        ClientEvent::Disconnected => "the hub is lost; it is tried again".into(),
        ClientEvent::Replaced => {
            "somebody else has this id now; calls go on, but no new ones can be made".into()
        }
        ClientEvent::Joined { peers, .. } => here(peers.iter()),
        ClientEvent::Presence { peer, state: Presence::Joined, .. } => {
            format!("{} is here", name(peer))
        }
        ClientEvent::Presence { peer, state: Presence::Left, .. } => {
            format!("{} has left", name(peer))
        }
        ClientEvent::Refused(refused) => format!("the hub refuses: {}", refused.message),
        // They are for the machine, which never tells them.
        ClientEvent::Description { .. }
        | ClientEvent::Rollback { .. }
        | ClientEvent::Candidate { .. }
        | ClientEvent::Data { .. } => return None,
    };
    Some(text)
}

/// Who is in the room.
pub(super) fn here<'a>(peers: impl Iterator<Item = &'a String>) -> String {
    let peers: Vec<_> = peers.map(|peer| name(peer)).collect();
    if peers.is_empty() {
        "nobody else is here".into()
    } else {
        format!("here: {}", peers.join(" "))
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "sound",
        Kind::Video => "pictures",
    }
}

fn of_state(state: State) -> &'static str {
    match state {
        State::Calling => "calling",
        State::Connecting => "looking for a direct way",
        State::Direct => "connected directly",
        State::Hub => "no direct way; messages go through the hub, files do not",
    }
}

pub(super) fn call(peer: &str, state: State, channels: &[Channel]) -> String {
    let channel = |it: &Channel| {
        let open = if it.open { "" } else { " (not open yet)" };
        let file = if it.protocol.is_empty() { "" } else { " (a file)" };
        format!("{}{open}{file}", name(&it.label))
    };
    let channels: Vec<_> = channels.iter().map(channel).collect();
    format!("{}: {}; channels: {}", name(peer), of_state(state), channels.join(", "))
}

pub(super) fn stats(peer: &str, stats: &Stats) -> String {
    let path = match stats.path {
        Some((here, there)) => format!("{here} to {there}"),
        None => "none".into(),
    };
    let trip = stats.round_trip.map_or("unknown".into(), |trip| format!("{} ms", trip.as_millis()));
    format!(
        "{}: {}; messages sent {}, received {}; bytes sent {}, received {}; frames sent \
         {}, received {}; way {path}; round trip {trip}",
        name(peer),
        of_state(stats.state),
        stats.messages_sent,
        stats.messages_received,
        stats.bytes_sent,
        stats.bytes_received,
        stats.frames_sent,
        stats.frames_received,
    )
}
