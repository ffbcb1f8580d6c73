//! The one task behind an endpoint.

mod io;
mod keeper;
mod probes;
mod readers;
mod rejoin;
mod requests;
mod role;
mod shards;
mod writers;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use smoq_core::{
    Id, Reader, Serve,
    wire::{SessionCode, StreamCode},
};
use smoq_quic::{Endpoint, Event};

use self::{
    io::{Flush, Io},
    keeper::Change,
    probes::Probes,
    readers::Readers,
    rejoin::Standing,
    requests::Requests,
    shards::FAILED,
    writers::Writers,
};
pub(crate) use self::{
    keeper::{Dial, Keeper, Resolving},
    role::Role,
    shards::{Peer, Shards},
};
use crate::{
    error::Reason,
    mailbox::{Capacity, Receiver},
    op::Op,
    record::Sink,
    requests::Place,
    runtime::{Socket, Timer},
    udp::Report,
};

/// What handles may have waiting for their driver. A driver empties it each turn, so it need not hold
/// more than a writer makes while a driver is busy: a group of large frames, or many small ones.
pub(crate) const CAPACITY: Capacity = Capacity { messages: 1024, bytes: 4 << 20 };

/// ICMP reports per turn, which anybody on the path can forge.
const REPORTS: usize = 32;
/// How long to leave a socket alone that is full and does not say so.
const RETRY: Duration = Duration::from_millis(1);

/// Runs one endpoint until its handles are gone, or until it is told to shut down.
///
/// It holds no handle, and no lock while it acts on the node.
pub(crate) struct Driver<S, T> {
    endpoint: Endpoint,
    io: Io<S>,
    timer: T,
    /// What the timer is set to.
    armed: Option<Instant>,
    ops: Receiver<Op>,
    batch: VecDeque<Op>,
    writers: Writers,
    readers: Readers,
    requests: Requests,
    probes: Probes,
    role: Role,
    shards: Shards,
    sink: Sink,
    /// Subscriptions with news, told when the connection's are.
    readable: VecDeque<Id<Reader>>,
    /// All connections were closed: what is left is to tell the peers.
    closing: bool,
}

impl<S: Socket, T: Timer> Driver<S, T> {
    pub(crate) fn new(
        endpoint: Endpoint,
        socket: S,
        timer: T,
        ops: Receiver<Op>,
        role: Role,
        shards: Shards,
        sink: Sink,
    ) -> Self {
        Self {
            endpoint,
            io: Io::new(socket),
            timer,
            armed: None,
            ops,
            batch: VecDeque::new(),
            writers: Writers::default(),
            readers: Readers::new(role.keeps()),
            requests: Requests::default(),
            probes: Probes::default(),
            role,
            shards,
            sink,
            readable: VecDeque::new(),
            closing: false,
        }
    }

    fn close(&mut self, now: Instant, code: SessionCode, reason: &str) {
        if !self.closing {
            self.closing = true;
            self.role.stop();
            self.shards.close(code, reason);
            self.endpoint.close_all(now, code, reason);
        }
    }

    fn apply(&mut self, now: Instant, op: Op) {
        let time = self.endpoint.time(now);
        let node = self.endpoint.node_mut();
        match op {
            Op::Create { broadcast, path, far } => {
                self.writers.create(node, time, broadcast, &path, &far);
            }
            Op::Announce { broadcast, far } => self.writers.announce(node, time, broadcast, &far),
            Op::Unpublish { broadcast } => self.writers.unpublish(node, time, broadcast),
            Op::Track { track, broadcast, name, info, far } => {
                self.writers.track(node, time, track, broadcast, &name, info, far);
            }
            Op::Serve { requests, place, far } => {
                let place = match place {
                    Place::Broadcast(key) => self.writers.broadcast(key).map(Serve::Broadcast),
                    Place::Below(path) => self.writers.check().map(|()| Serve::Below(path)),
                };
                self.requests.serve(node, time, requests, place, far);
            }
            Op::MoreWanted { requests } => self.requests.more(node, requests),
            Op::Unserve { requests } => self.requests.unserve(node, time, requests),
            Op::Accept { track, id, info, far } => {
                self.writers.accept(node, time, track, id, info, far);
            }
            Op::Decline { id } => {
                // Nobody may wait for it any more, or it may be made by name.
                let _ = node.decline(time, id, StreamCode::NOT_FOUND);
            }
            Op::FinishTrack { track } => self.writers.finish_track(node, time, track),
            Op::DropTrack { track, abort } => self.writers.drop_track(node, time, track, abort),
            Op::Drain { track, ticket, backlog } => self.writers.drain(track, ticket, backlog),
            Op::Group { group, track, sequence, far } => {
                self.writers.group(node, time, group, track, sequence, far);
            }
            Op::Datagram { track, sequence, timestamp, payload } => {
                self.writers.datagram(node, time, track, sequence, timestamp, payload);
            }
            Op::Frame { group, timestamp, payload } => {
                self.writers.write(node, time, group, |node, id| {
                    node.write_frame(time, id, timestamp, payload)
                });
            }
            Op::StartFrame { group, timestamp, size } => {
                self.writers.write(node, time, group, |node, id| {
                    node.start_frame(time, id, timestamp, size)
                });
            }
            Op::Chunk { group, data } => {
                self.writers.write(node, time, group, |node, id| node.write_chunk(time, id, data));
            }
            Op::DropGroup { group, abort } => self.writers.drop_group(node, time, group, abort),
            Op::Watch { watch, prefix, far } => self.readers.watch(node, time, watch, &prefix, far),
            Op::MoreAnnounced { watch } => self.readers.more_announced(node, watch),
            Op::Unwatch { watch } => self.readers.unwatch(node, time, watch),
            Op::Subscribe { subscription, path, track, part, far } => {
                self.readers.subscribe(node, time, subscription, &path, &track, part, far);
            }
            Op::Update { subscription, options } => {
                self.readers.update(node, time, subscription, options);
            }
            Op::MoreGroups { subscription } => {
                self.readable.extend(self.readers.more_groups(subscription));
            }
            Op::Unsubscribe { subscription } => self.readers.unsubscribe(node, time, subscription),
            Op::MoreChunks { subscription, group } => {
                self.readers.more_chunks(node, subscription, group);
            }
            Op::DropReader { subscription, group } => {
                self.readers.drop_group(node, time, subscription, group);
            }
            Op::Grant { session, grant, far } => {
                let result = node.grant(time, session, grant);
                far.update(|answer| *answer = Some(result.map_err(Into::into)));
            }
            Op::CloseSession { session, code, reason } => {
                // A session that has gone is closed.
                let _ = node.close(time, session, code, &reason);
            }
            Op::Leave { uri, far } => {
                let result = self.endpoint.drain(now, &uri);
                far.update(|answer| *answer = Some(result.map_err(Into::into)));
            }
            Op::Stats { far } => {
                let mut stats = node.stats();
                // Links that are being closed are not counted as sessions any more.
                stats.sessions = stats.sessions.saturating_sub(self.endpoint.links());
                far.update(|answer| *answer = Some(Ok(stats)));
            }
            Op::Probe { estimates, far } => self.probes.ask(node, time, estimates, far),
            Op::Unprobe { estimates } => self.probes.forget(node, time, estimates),
            Op::Pause => self.endpoint.pause_reading(now),
            Op::Resume => self.endpoint.resume_reading(now),
            Op::Shutdown { code, reason } => self.close(now, code, &reason),
            Op::Link { from, batch } => {
                if let Some(session) = self.shards.link(from) {
                    self.endpoint.handle_link(now, session, batch);
                }
            }
            Op::Datagrams(datagrams) => {
                for datagram in datagrams {
                    self.endpoint.handle_misdirected(now, datagram);
                }
            }
        }
    }

    /// Does what the handles want. Says whether any are left.
    fn operate(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let handles = self.ops.take(cx, &mut self.batch);
        while let Some(op) = self.batch.pop_front() {
            self.apply(now, op);
        }
        handles
    }

    /// Gives what happened to the handles. Says whether there was anything.
    fn events(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut any = false;
        loop {
            let Some(event) = self.endpoint.poll_event() else {
                // Who reads of a failure after its cause is known can be spared it.
                let Some(reader) = self.readable.pop_front() else { return any };
                let time = self.endpoint.time(now);
                self.readers.readable(self.endpoint.node_mut(), time, reader);
                continue;
            };
            any = true;
            match event {
                Event::Core(smoq_core::Event::Announced { watcher }) => {
                    let time = self.endpoint.time(now);
                    self.readers.announced(self.endpoint.node_mut(), time, watcher);
                }
                Event::Core(smoq_core::Event::Readable { reader }) => {
                    self.readable.push_back(reader);
                }
                Event::Core(smoq_core::Event::Wanted { requests }) => {
                    self.requests.wanted(self.endpoint.node_mut(), requests);
                }
                Event::Core(smoq_core::Event::Demand { track, wanted }) => {
                    self.writers.demand(track, wanted);
                }
                Event::Core(smoq_core::Event::Unread { track }) => self.writers.unread(track),
                Event::Core(smoq_core::Event::Probed { session }) => {
                    self.probes.heard(self.endpoint.node_mut(), session);
                }
                Event::Link(event) => self.link_failed(now, &event),
                event => {
                    if let Event::Connected { session, .. } = event {
                        let time = self.endpoint.time(now);
                        self.probes.connected(self.endpoint.node_mut(), time, session);
                    }
                    let (change, event) = self.role.hear(now, event);
                    if let Some(change) = change {
                        self.change(cx, now, change);
                    }
                    if let Some(event) = event {
                        self.role.event(event);
                    }
                    self.role.tell();
                }
            }
        }
    }

    /// Tells those who read and write what has become of the connection.
    fn change(&mut self, cx: &mut Context<'_>, now: Instant, change: Change) {
        if let Change::Over(_) = change {
            // Handles that are on their way here were made before it. At other changes they come later:
            // what they ask of a lost connection would fail before anybody knows why.
            self.operate(cx, now);
        }
        let time = self.endpoint.time(now);
        let node = self.endpoint.node_mut();
        match change {
            Change::Leaving => {
                self.writers.away();
                self.readers.away(node, time, Standing::Leaving);
            }
            Change::Away => {
                self.writers.away();
                self.readers.away(node, time, Standing::Lost);
            }
            Change::Back => self.readers.back(node, time),
            Change::Moved => self.writers.moved(),
            Change::Settled => {
                self.writers.settle();
                self.readers.settle(node, time);
            }
            // Who sees that the connection is over sees that writing has failed and nothing is announced.
            Change::Over(closed) => {
                let lost = Reason(closed.clone());
                self.writers.lose(&lost);
                self.requests.lose(&lost);
                self.readers.lose(node, &lost);
                self.probes.end();
                self.role.over(closed);
                self.readers.settle(node, time);
            }
        }
    }

    /// A link to another shard has a fault. Once it is closed, peers of one shard do not see those of
    /// the other: the server had better be started again.
    fn link_failed(&mut self, now: Instant, event: &smoq_core::Event) {
        match event {
            smoq_core::Event::Violation { session, stream, error } => {
                let shard = self.shards.peer(*session);
                tracing::error!(shard, ?stream, %error, "a rule was broken between two shards");
            }
            smoq_core::Event::Closed { session, closed } if !self.closing => {
                let (shard, reason) = (self.shards.peer(*session), &closed.reason);
                let code = closed.code;
                tracing::error!(shard, %code, reason, "the link to a shard has ended: shutting down");
                self.close(now, SessionCode::INTERNAL, FAILED);
            }
            _ => {}
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.timer.now();
        let mut again = false;
        let handles = self.operate(cx, now);
        for report in 0..=REPORTS {
            match self.io.poll_report(cx) {
                Poll::Ready(Report::Unreachable(host)) => {
                    self.endpoint.handle_unreachable(now, (host, self.role.port()).into());
                }
                Poll::Ready(Report::Other) => {}
                Poll::Pending => break,
            }
            again |= report == REPORTS;
        }
        match self.io.receive(cx, now, &mut self.endpoint) {
            Ok(more) => again |= more,
            Err(error) => {
                tracing::error!(%error, "the socket fails again and again: giving up");
                return Poll::Ready(());
            }
        }
        // The clock is asked, not the timer: an executor may keep a timer that is due from saying so.
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
        }
        self.events(cx, now);
        while let Some(change) = self.role.poll(cx, now, &mut self.endpoint) {
            self.change(cx, now, change);
        }
        self.role.tell();
        let mut flush = self.io.flush(cx, now, &mut self.endpoint);
        if !handles && flush == Flush::Idle {
            self.close(now, SessionCode::NO_ERROR, "");
            flush = self.io.flush(cx, now, &mut self.endpoint);
        }
        self.shards.flush(now, &mut self.endpoint);
        again |= self.events(cx, now);
        self.writers.check_drains(self.endpoint.node());
        self.sink.flush(&mut self.endpoint);
        let mut retry = None;
        match flush {
            Flush::Idle if self.closing && self.endpoint.is_idle() => return Poll::Ready(()),
            Flush::Idle | Flush::Blocked => {}
            Flush::Full => retry = Some(now + RETRY),
            Flush::Budget => again = true,
        }
        again |= self.arm(cx, retry).is_ready();
        if again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Sets the timer, to `retry` if that is sooner. Ready if it is due already.
    fn arm(&mut self, cx: &mut Context<'_>, retry: Option<Instant>) -> Poll<()> {
        let deadlines = [self.endpoint.poll_timeout(), self.role.deadline(), retry];
        let deadline = deadlines.into_iter().flatten().min();
        if let Some(at) = deadline.filter(|_| self.armed != deadline) {
            self.timer.reset(at);
        }
        self.armed = deadline;
        match deadline {
            Some(_) => {
                let due = self.timer.poll(cx);
                if due.is_ready() {
                    self.armed = None;
                }
                due
            }
            None => Poll::Pending,
        }
    }
}

impl<S: Socket, T: Timer> Future for Driver<S, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.turn(cx)
    }
}

impl<S, T> Drop for Driver<S, T> {
    /// A recording has to have its end above all where that is a panic.
    fn drop(&mut self) {
        self.sink.finish(&mut self.endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        io::tests::{Fake, dialing},
        *,
    };
    use smoq_core::{Id, Session, Side};
    use smoq_quic::{EndpointConfig, Shard};

    use crate::{
        client::ConnectionState, events::EventQueue, mailbox::mailbox, slot::slot, test::Count,
    };

    /// Never due; keeps what it is set to.
    #[derive(Default)]
    struct FakeTimer(Option<Instant>);

    impl Timer for FakeTimer {
        fn reset(&mut self, deadline: Instant) {
            self.0 = Some(deadline);
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    #[test]
    fn a_socket_that_is_full_for_ever_stops_nothing_else() {
        let count = Count::new();
        let waker = count.waker();
        let cx = &mut Context::from_waker(&waker);
        let socket = Fake { lies: true, ..Fake::default() };
        let (_ops, receiver) = mailbox(CAPACITY);
        let (_near, far) = slot(ConnectionState::default());
        let home = "moqt://127.0.0.1:2".parse().unwrap();
        let role = Role::Client { far, home, keeper: None };
        let endpoint = dialing(Instant::now());
        let (shards, sink) = (Shards::default(), Sink::default());
        let mut driver =
            Driver::new(endpoint, socket, FakeTimer::default(), receiver, role, shards, sink);
        for turn in 1..=3 {
            assert!(driver.turn(cx).is_pending());
            assert_eq!(driver.io.socket.receives, turn, "it still receives");
            let soon = driver.timer.0.expect("it looks again by itself");
            assert!(soon <= Instant::now() + RETRY);
        }
        assert_eq!(count.get(), 0, "it does not spin");
        driver.io.socket.room = 10;
        assert!(driver.turn(cx).is_pending());
        assert_eq!(driver.io.socket.sent.len(), 1);
        let next = driver.timer.0.expect("the handshake has a limit");
        assert!(next > Instant::now() + RETRY, "back to the endpoint's own time");
    }

    /// A shard without sockets that work, linked to another one.
    fn shard(now: Instant, index: u8, side: Side) -> (Endpoint, Id<Session>) {
        let shard = Some(Shard { index, count: 2 });
        let mut endpoint = Endpoint::new(EndpointConfig { shard, ..Default::default() }, now);
        let link = endpoint.add_link(now, side);
        (endpoint, link)
    }

    #[test]
    fn a_link_that_ends_ends_all_shards() {
        let count = Count::new();
        let waker = count.waker();
        let cx = &mut Context::from_waker(&waker);
        let now = Instant::now();
        let (endpoint, session) = shard(now, 0, Side::Client);
        let (mut other, link) = shard(now, 1, Side::Server);
        let (ops, receiver) = mailbox(CAPACITY);
        let (other_ops, other_receiver) = mailbox(CAPACITY);
        let peer = Peer { shard: 1, session, ops: other_ops.to_peer() };
        let (_near, far) = slot(EventQueue::default());
        let mut driver = Driver::new(
            endpoint,
            Fake::default(),
            FakeTimer::default(),
            receiver,
            Role::server(far, 0, Vec::new()),
            Shards::new(0, vec![peer], Vec::new()),
            Sink::default(),
        );
        assert!(driver.turn(cx).is_pending());
        assert!(!driver.closing);
        let time = other.time(now);
        let code = SessionCode::PROTOCOL_VIOLATION;
        other.node_mut().close(time, link, code, "it has had enough").unwrap();
        while let Some((_, batch)) = other.poll_link(now) {
            ops.force(Op::Link { from: 1, batch });
        }
        let ended = (0..3).any(|_| driver.turn(cx).is_ready());
        assert!(ended && driver.closing);
        let mut told = VecDeque::new();
        other_receiver.take(cx, &mut told);
        let shutdown = |op: &Op| {
            matches!(op, Op::Shutdown { code, reason }
                if *code == SessionCode::INTERNAL && reason == FAILED)
        };
        assert_eq!(told.iter().filter(|op| shutdown(op)).count(), 1);
    }
}
