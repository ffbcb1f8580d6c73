//! What acts and faults do to a run.

use std::time::Duration;

use smoq_core::Side;

use super::{
    depth::Depth,
    plan::Act,
    run::{Due, Run, name},
};
use crate::actors::{Publisher, Viewer, live, wanted};

impl<D: Depth> Run<'_, D> {
    /// What was due is done.
    pub(super) fn happens(&mut self, due: Due) {
        match due {
            Due::Act(at) => {
                let act = self.plan.acts[at].1;
                self.say(|_| format!("{act:?}"));
                self.act(act);
            }
            Due::Dial(link) => self.dial(link),
            Due::Restart(host) => self.restart(host),
            Due::Retry(at) => {
                self.retrying.remove(&at);
                let viewer = &mut self.viewers[at];
                let lost: Vec<_> = viewer
                    .over()
                    .filter(|(_, fine)| !fine || self.healed)
                    .map(|(seat, _)| seat)
                    .collect();
                for seat in lost {
                    viewer.subscribe(&mut self.world, seat, &name(seat), live());
                }
            }
            Due::Read(at) => {
                self.viewers[at].slow = false;
                // What it has missed is there to be read; a wrong one is found by the next event.
                let outcome = self.viewers[at].read(&mut self.world);
                self.tap().judge(outcome);
                self.retry_later(at);
            }
            Due::Flows(link, server) => self.flows(link, server),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Group { publisher, frames, size, ending } => {
                self.publishing(publisher, |one, world| one.group(world, frames, size, ending));
            }
            Act::Finish { publisher } => self.publishing(publisher, Publisher::finish),
            Act::Republish { publisher } => self.publishing(publisher, Publisher::publish),
            Act::Subscribe { viewer, path, start, lossless, priority } => {
                let options = wanted(start, lossless, priority);
                self.viewing(viewer, path, |one, world, path| {
                    one.subscribe(world, path, &name(path), options);
                });
            }
            Act::Unsubscribe { viewer, path } => {
                self.viewing(viewer, path, |one, world, path| one.unsubscribe(world, path));
            }
            Act::Update { viewer, path, priority } => {
                self.viewing(viewer, path, |one, world, path| one.update(world, path, priority));
            }
            Act::SlowReader { viewer, millis } => {
                if let Some(one) = self.viewers.get_mut(viewer) {
                    one.slow = true;
                    self.after(Duration::from_millis(millis), Due::Read(viewer));
                }
            }
            Act::Cut { link } => {
                if let Some(connection) = self.up(link) {
                    self.world.cut(connection);
                }
            }
            Act::Disturb { link, pick } => {
                if let Some(connection) = self.up(link) {
                    self.world.disturb(connection, pick);
                }
            }
            Act::Stall { link, server, millis } => {
                if let Some(connection) = self.up(link) {
                    self.world.stall(connection, side(server));
                    self.after(Duration::from_millis(millis), Due::Flows(link, server));
                }
            }
            Act::FullSocket { link, server, millis } => {
                if let Some(connection) = self.up(link) {
                    self.world.squeeze(connection, side(server));
                    self.after(Duration::from_millis(millis), Due::Flows(link, server));
                }
            }
            Act::Crash { host, millis } => {
                if host < self.hosts.len() && self.down.insert(host) {
                    self.restarts += 1;
                    let (node, config) = (self.hosts[host], self.config(host));
                    self.world.crash(node, config);
                    for dialed in &mut self.links {
                        dialed.knows[0] &= dialed.client != host;
                        dialed.knows[1] &= dialed.server != host;
                    }
                    if let Some(at) = self.publisher_at(host) {
                        self.publishers[at].crashed();
                    }
                    if let Some(at) = self.viewer_at(host) {
                        self.viewers[at].crashed();
                    }
                    self.after(Duration::from_millis(millis), Due::Restart(host));
                }
            }
        }
    }

    fn up(&self, link: usize) -> Option<D::Connection> {
        let connection = self.links.get(link)?.connection?;
        Some(connection).filter(|connection| !self.world.is_over(*connection))
    }

    fn publishing(&mut self, at: usize, act: impl FnOnce(&mut Publisher, &mut D)) {
        let down = self.down.contains(&(self.plan.relays + at));
        if let Some(one) = self.publishers.get_mut(at).filter(|_| !down) {
            act(one, &mut self.world);
        }
    }

    fn viewing(&mut self, at: usize, path: usize, act: impl FnOnce(&mut Viewer, &mut D, usize)) {
        let down = self.down.contains(&(self.plan.relays + self.publishers.len() + at));
        let path = path % self.plan.paths;
        if let Some(one) = self.viewers.get_mut(at).filter(|_| !down) {
            act(one, &mut self.world, path);
        }
    }

    /// A node that died is there again.
    pub(super) fn restart(&mut self, host: usize) {
        if !self.down.remove(&host) {
            return;
        }
        self.world.revive(self.hosts[host]);
        if host >= self.plan.relays {
            self.begin(host);
        }
        for link in 0..self.links.len() {
            if self.links[link].client == host || self.links[link].server == host {
                self.after(Duration::from_millis(1), Due::Dial(link));
            }
        }
    }

    /// A link end is neither stalled nor full any more.
    pub(super) fn flows(&mut self, link: usize, server: bool) {
        if let Some(connection) = self.links.get(link).and_then(|dialed| dialed.connection) {
            self.world.flow(connection, side(server));
        }
    }
}

fn side(server: bool) -> Side {
    if server { Side::Server } else { Side::Client }
}
