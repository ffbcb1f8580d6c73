//! An application that does not know what waits: one end publishes a few frames, the other prints them.

use std::time::Instant;

use bytes::Bytes;
use smoq_core::{
    Announced, Event as Core, Frames, Id, NextFrame, Path, SubscribeOptions, Track,
    wire::{SessionCode, TrackInfo},
};
use smoq_quic::{Endpoint, Event};

use crate::Error;

const BROADCAST: &str = "clock";
const TRACK: &str = "ticks";
const TICKS: u64 = 5;

/// What an endpoint is driven for.
pub trait App {
    /// Does what the endpoint's events ask for, and closes it at the end. Says whether there were any.
    ///
    /// # Errors
    /// If the connection or what it is for fails.
    fn act(&mut self, endpoint: &mut Endpoint, now: Instant) -> Result<bool, Error>;

    /// Whether everything was done and the other end was told goodbye.
    fn is_over(&self, endpoint: &Endpoint) -> bool;
}

/// One end of the conversation.
pub struct Talk {
    role: Role,
    /// Everything was said, or heard.
    done: bool,
}

enum Role {
    Publisher { track: Id<Track>, said: bool },
    Viewer { frames: Option<Frames>, heard: Vec<String> },
}

impl App for Talk {
    fn act(&mut self, endpoint: &mut Endpoint, now: Instant) -> Result<bool, Error> {
        let mut acted = false;
        while let Some(event) = endpoint.poll_event() {
            acted = true;
            match event {
                Event::ConnectFailed { error, .. } => return Err(error.into()),
                Event::Core(Core::Closed { closed, .. }) if !self.may_end(closed.code) => {
                    return Err(format!("the session was closed: {}", closed.reason).into());
                }
                Event::Core(event) if !self.done => {
                    self.hear(endpoint, now, &event)?;
                    if self.done {
                        endpoint.close_all(now, SessionCode::NO_ERROR, "done");
                    }
                }
                Event::Connected { .. } | Event::Core(_) | Event::Link(_) => {}
            }
        }
        Ok(acted)
    }

    fn is_over(&self, endpoint: &Endpoint) -> bool {
        self.done && endpoint.is_idle()
    }
}

impl Talk {
    /// Announces a broadcast, to be heard by whoever connects.
    ///
    /// # Errors
    /// If the endpoint publishes that already.
    pub fn publisher(endpoint: &mut Endpoint, now: Instant) -> Result<Self, Error> {
        let time = endpoint.time(now);
        let node = endpoint.node_mut();
        let broadcast = node.create_broadcast(time, &Path::new(BROADCAST)?)?;
        let track = node.create_track(time, broadcast, TRACK, TrackInfo::default())?;
        node.announce(time, broadcast)?;
        Ok(Self { role: Role::Publisher { track, said: false }, done: false })
    }

    /// Waits for that broadcast, and prints its frames.
    ///
    /// # Errors
    /// None in practice: the broadcast has a proper name.
    pub fn viewer(endpoint: &mut Endpoint, now: Instant) -> Result<Self, Error> {
        let time = endpoint.time(now);
        endpoint.node_mut().watch(time, &Path::new(BROADCAST)?);
        Ok(Self { role: Role::Viewer { frames: None, heard: Vec::new() }, done: false })
    }

    /// Whether nothing is missing at an end with this code.
    fn may_end(&self, code: SessionCode) -> bool {
        let said = matches!(self.role, Role::Publisher { said: true, .. });
        code == SessionCode::NO_ERROR && (self.done || said)
    }

    fn hear(&mut self, endpoint: &mut Endpoint, now: Instant, event: &Core) -> Result<(), Error> {
        let time = endpoint.time(now);
        let node = endpoint.node_mut();
        match (&mut self.role, event) {
            (Role::Publisher { track, said }, Core::Demand { wanted: true, .. }) if !*said => {
                *said = true;
                let (group, _) = node.create_group(time, *track, None)?;
                for tick in 0..TICKS {
                    let payload = Bytes::from(format!("tick {tick}"));
                    node.write_frame(time, group, tick * 1000, payload)?;
                }
                node.finish_group(time, group)?;
                node.finish_track(time, *track)?;
            }
            // Whoever listened has everything.
            (Role::Publisher { said: true, .. }, Core::Demand { wanted: false, .. }) => {
                self.done = true;
            }
            (Role::Viewer { frames, .. }, Core::Announced { watcher }) => {
                while let Some(announced) = node.poll_announced(*watcher)? {
                    if let Announced::Active { path, .. } = announced {
                        let options = SubscribeOptions::default();
                        let reader = node.subscribe(time, &path, TRACK, options)?;
                        *frames = Some(Frames::new(reader));
                    }
                }
            }
            (Role::Viewer { frames: Some(frames), heard }, Core::Readable { .. }) => loop {
                match frames.next(node, time)? {
                    NextFrame::Frame(frame) => {
                        let text = String::from_utf8_lossy(&frame.payload).into_owned();
                        println!("{} ms: {text}", frame.timestamp);
                        heard.push(text);
                    }
                    NextFrame::GroupEnd { .. } => {}
                    NextFrame::Pending => break,
                    NextFrame::End => {
                        self.done = true;
                        break;
                    }
                    NextFrame::Failed(code) => {
                        return Err(format!("the subscription failed: {code}").into());
                    }
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// What a viewer has heard.
    pub fn into_heard(self) -> Vec<String> {
        match self.role {
            Role::Publisher { .. } => Vec::new(),
            Role::Viewer { heard, .. } => heard,
        }
    }
}
