//! Clients and a hub, and what lies between them, in virtual time.

use std::{collections::VecDeque, time::Duration};

use smoq_signal::{
    Client, ClientConfig, ClientEvent, ClientOutput, CloseReason, Config, ConnId, Hub, Output,
    Time, wire::Dialect,
};

use super::{WALL_MICROS, entropy};

/// One client and its way to the hub and back. What is on its way arrives in order, when the test wants.
pub(crate) struct End {
    pub(crate) client: Client,
    pub(crate) events: Vec<ClientEvent>,
    /// What the client has open, and what the hub has. They differ while a connection is half open.
    here: Option<ConnId>,
    up: VecDeque<String>,
    down: VecDeque<Result<String, CloseReason>>,
}

pub(crate) struct Net {
    pub(crate) hub: Hub,
    pub(crate) now: Time,
    pub(crate) ends: Vec<End>,
    made: u8,
}

pub(crate) fn config(id: &str, dialect: Dialect) -> ClientConfig {
    ClientConfig {
        id: Some(id.into()),
        dialect,
        rooms: vec!["hall".into()],
        entropy: [id.as_bytes()[0]; 28],
        wall_micros: WALL_MICROS,
    }
}

impl Net {
    pub(crate) fn new(hub: Config, clients: impl IntoIterator<Item = ClientConfig>) -> Self {
        let end = |config| End {
            client: Client::new(config),
            events: Vec::new(),
            here: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
        };
        let ends = clients.into_iter().map(end).collect();
        let mut net = Self { hub: Hub::new(hub), now: Time::ZERO, ends, made: 0 };
        net.drain();
        net
    }

    /// All that is on its way arrives, and what follows from it.
    pub(crate) fn settle(&mut self) {
        loop {
            self.drain();
            let moved: usize =
                (0..self.ends.len()).map(|i| self.up(i, 99) + self.down(i, 99)).sum();
            if moved == 0 {
                return;
            }
        }
    }

    /// Up to `count` messages arrive at the hub.
    pub(crate) fn up(&mut self, i: usize, count: usize) -> usize {
        let count = count.min(self.ends[i].up.len());
        for _ in 0..count {
            let (text, here) = (self.ends[i].up.pop_front().unwrap(), self.ends[i].here);
            here.into_iter().for_each(|conn| self.hub.handle_message(self.now, conn, &text));
        }
        self.drain();
        count
    }

    /// Up to `count` messages arrive at the client.
    pub(crate) fn down(&mut self, i: usize, count: usize) -> usize {
        let end = &mut self.ends[i];
        let count = count.min(end.down.len());
        for what in end.down.drain(..count).collect::<Vec<_>>() {
            match what {
                Ok(text) => end.client.handle_message(self.now, &text),
                Err(reason) => {
                    (end.here, end.up) = (None, VecDeque::new());
                    end.client.handle_disconnected(self.now, Some(reason.code()));
                }
            }
        }
        self.drain();
        count
    }

    /// The client loses its connection. The hub notices only if it is told.
    pub(crate) fn cut(&mut self, i: usize, tell_hub: bool) {
        let end = &mut self.ends[i];
        let Some(conn) = end.here.take() else { return };
        (end.up, end.down) = (VecDeque::new(), VecDeque::new());
        end.client.handle_disconnected(self.now, None);
        if tell_hub {
            self.hub.handle_disconnect(self.now, conn);
        }
        self.drain();
    }

    /// Time passes. Pings of the hub are answered where there is a connection.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        loop {
            let clients = self.ends.iter().filter_map(|end| end.client.poll_timeout());
            let next = clients.chain(self.hub.poll_timeout()).min().filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            self.hub.handle_timeout(self.now);
            self.ends.iter_mut().for_each(|end| end.client.handle_timeout(self.now));
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn drain(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.hub.poll_output() {
                quiet = false;
                self.hub_wants(output);
            }
            for i in 0..self.ends.len() {
                while let Some(output) = self.ends[i].client.poll_output() {
                    quiet = false;
                    self.client_wants(i, output);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn hub_wants(&mut self, output: Output) {
        let end =
            |ends: &mut Vec<End>, conn| ends.iter().position(|end: &End| end.here == Some(conn));
        match output {
            Output::Send { conn, text } => {
                self.hub.handle_sent(self.now, conn);
                if let Some(i) = end(&mut self.ends, conn) {
                    self.ends[i].down.push_back(Ok(text));
                }
            }
            Output::Ping { conn } => {
                if let Some(i) = end(&mut self.ends, conn) {
                    self.ends[i].client.handle_alive(self.now);
                    self.hub.handle_alive(self.now, conn);
                }
            }
            Output::Close { conn, reason } => {
                if let Some(i) = end(&mut self.ends, conn) {
                    self.ends[i].down.push_back(Err(reason));
                }
            }
            Output::Event(_) => {}
        }
    }

    fn client_wants(&mut self, i: usize, output: ClientOutput) {
        match output {
            ClientOutput::Connect => {
                self.made = self.made.wrapping_add(1);
                let address = [192, 0, 2, i as u8].into();
                let end = &mut self.ends[i];
                match self.hub.handle_connect(self.now, address, entropy(self.made)) {
                    Ok(conn) => {
                        end.here = Some(conn);
                        end.client.handle_connected(self.now);
                    }
                    Err(_) => end.client.handle_disconnected(self.now, None),
                }
            }
            ClientOutput::Send(text) => self.ends[i].up.push_back(text),
            ClientOutput::Close => {
                // What was said before the end still arrives.
                let end = &mut self.ends[i];
                let Some(conn) = end.here.take() else { return };
                for text in std::mem::take(&mut end.up) {
                    self.hub.handle_message(self.now, conn, &text);
                }
                end.down.clear();
                self.hub.handle_disconnect(self.now, conn);
            }
            ClientOutput::Event(event) => self.ends[i].events.push(event),
        }
    }
}
