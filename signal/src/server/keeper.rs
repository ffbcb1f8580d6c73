//! The task that owns the hub.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use smoq_core::Time;
use tokio::sync::{
    Semaphore,
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{executor::Runtime, log::Log, metrics::Metrics};
use crate::{CloseReason, Config, ConnId, ConnectRefused, Hub, Output};

/// Inputs that wait for the hub. Few: each may be a message of the largest size, and whoever has one
/// more to say waits, which the client notices.
const INPUTS: usize = 64;

/// What the connection of a client has to send.
pub(super) enum Order {
    Text(String),
    Ping,
}

/// A connection's end of the hub.
pub(super) struct Line {
    pub(super) conn: ConnId,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Told once. Dropped without a word, it means that the hub is gone.
    pub(super) close: oneshot::Receiver<CloseReason>,
}

enum Input {
    Connect { remote: SocketAddr, line: oneshot::Sender<Result<Line, ConnectRefused>> },
    Message { conn: ConnId, text: Utf8Bytes },
    Alive { conn: ConnId },
    Disconnect { conn: ConnId },
    Close { conn: ConnId, reason: CloseReason },
    Metrics { answer: oneshot::Sender<Metrics> },
    Shutdown,
}

/// How tasks speak to the hub.
#[derive(Clone)]
pub(super) struct Handle {
    inputs: mpsc::Sender<Input>,
    /// What was sent frees a queue, so it does not wait behind what may fill one. As long as all that the
    /// hub gives out, so never full.
    sent: mpsc::Sender<ConnId>,
}

/// The keeper ends only after all handles, or by a bug; then what is said to it is lost.
impl Handle {
    /// Asks for a connection.
    pub(super) async fn connect(&self, remote: SocketAddr) -> Result<Line, ConnectRefused> {
        let (line, answer) = oneshot::channel();
        let _ = self.inputs.send(Input::Connect { remote, line }).await;
        answer.await.unwrap_or(Err(ConnectRefused::Shutdown))
    }

    pub(super) async fn message(&self, conn: ConnId, text: Utf8Bytes) {
        let _ = self.inputs.send(Input::Message { conn, text }).await;
    }

    pub(super) async fn alive(&self, conn: ConnId) {
        let _ = self.inputs.send(Input::Alive { conn }).await;
    }

    pub(super) async fn sent(&self, conn: ConnId) {
        let _ = self.sent.send(conn).await;
    }

    pub(super) async fn disconnect(&self, conn: ConnId) {
        let _ = self.inputs.send(Input::Disconnect { conn }).await;
    }

    /// The connection is closed from here.
    pub(super) async fn close(&self, conn: ConnId, reason: CloseReason) {
        let _ = self.inputs.send(Input::Close { conn, reason }).await;
    }

    pub(super) async fn metrics(&self) -> Option<Metrics> {
        let (answer, metrics) = oneshot::channel();
        let _ = self.inputs.send(Input::Metrics { answer }).await;
        metrics.await.ok()
    }

    pub(super) async fn shutdown(&self) {
        let _ = self.inputs.send(Input::Shutdown).await;
    }
}

/// The hub's end of a connection.
struct Wire {
    orders: mpsc::Sender<Order>,
    close: oneshot::Sender<CloseReason>,
}

pub(super) struct Keeper {
    hub: Hub,
    epoch: Instant,
    inputs: mpsc::Receiver<Input>,
    /// Where what is found out here takes its turn.
    own_inputs: mpsc::WeakSender<Input>,
    sent: mpsc::Receiver<ConnId>,
    wires: BTreeMap<ConnId, Wire>,
    /// Orders that a connection may hold: the messages that the hub gives it, and pings.
    orders: usize,
    log: Log,
    metrics: Metrics,
}

impl Keeper {
    pub(super) fn new(config: Config) -> (Self, Handle) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_micros = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
        let (inputs_end, inputs) = mpsc::channel(INPUTS);
        let given_out = config.limits.connections.saturating_mul(config.limits.in_flight);
        let (sent_end, sent) = mpsc::channel(given_out.clamp(1, Semaphore::MAX_PERMITS));
        let orders = config.limits.in_flight + 8;
        let keeper = Self {
            hub: Hub::new(Config { wall_micros, ..config }),
            epoch: Instant::now(),
            inputs,
            own_inputs: inputs_end.downgrade(),
            sent,
            wires: BTreeMap::new(),
            orders,
            log: Log::default(),
            metrics: Metrics::default(),
        };
        (keeper, Handle { inputs: inputs_end, sent: sent_end })
    }

    /// Runs until nobody can say anything any more.
    pub(super) async fn run<R: Runtime>(mut self) {
        self.hub.handle_timeout(Time::ZERO);
        loop {
            let deadline = self.hub.poll_timeout().map(|at| self.epoch + at.since(Time::ZERO));
            let late = async {
                match deadline {
                    Some(at) => R::sleep(at.saturating_duration_since(Instant::now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(conn) = self.sent.recv() => {
                    let now = self.now();
                    self.hub.handle_sent(now, conn);
                }
                () = late => {
                    let now = self.now();
                    self.hub.handle_timeout(now);
                }
                input = self.inputs.recv() => match input {
                    Some(input) => self.handle(input),
                    None => return,
                },
            }
            self.drain();
        }
    }

    fn now(&self) -> Time {
        let micros = self.epoch.elapsed().as_micros();
        Time::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connect { remote, line } => self.connect(now, remote, line),
            Input::Message { conn, text } => self.hub.handle_message(now, conn, &text),
            Input::Alive { conn } => self.hub.handle_alive(now, conn),
            Input::Disconnect { conn } => self.hub.handle_disconnect(now, conn),
            Input::Close { conn, reason } => self.hub.close(now, conn, reason),
            // Whoever asked may be gone.
            Input::Metrics { answer } => {
                self.hub.handle_timeout(now);
                drop(answer.send(self.metrics.with(self.hub.stats())));
            }
            Input::Shutdown => self.hub.shutdown(now),
        }
    }

    fn connect(
        &mut self,
        now: Time,
        remote: SocketAddr,
        line: oneshot::Sender<Result<Line, ConnectRefused>>,
    ) {
        let mut entropy = [0; 28];
        let random = getrandom::fill(&mut entropy).is_ok();
        let admitted = match random {
            true => self.hub.handle_connect(now, remote.ip(), entropy),
            // Ids that can be guessed are worse than none.
            false => Err(ConnectRefused::Full),
        };
        let conn = match admitted {
            Ok(conn) => conn,
            Err(refused) => {
                self.log.turned_away(remote, refused);
                return drop(line.send(Err(refused)));
            }
        };
        self.log.connecting(conn, remote);
        let (orders, orders_end) = mpsc::channel(self.orders);
        let (close, close_end) = oneshot::channel();
        self.wires.insert(conn, Wire { orders, close });
        if line.send(Ok(Line { conn, orders: orders_end, close: close_end })).is_err() {
            self.hub.handle_disconnect(now, conn);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { conn, text } => self.order(conn, Order::Text(text)),
                Output::Ping { conn } => self.order(conn, Order::Ping),
                Output::Close { conn, reason } => {
                    if let Some(wire) = self.wires.remove(&conn) {
                        // It may have ended by itself.
                        let _ = wire.close.send(reason);
                    }
                }
                Output::Event(event) => {
                    self.metrics.event(&event);
                    if let Some(over) = self.log.event(&event) {
                        self.wires.remove(&over);
                    }
                }
            }
        }
    }

    /// There is room for all messages that the hub gives out; a ping more or less is no loss.
    fn order(&mut self, conn: ConnId, order: Order) {
        let Some(wire) = self.wires.get(&conn) else { return };
        if let Err(TrySendError::Closed(_)) = wire.orders.try_send(order) {
            // It is over, and may not have said so: its task can end before it has the line. What it said
            // before comes first. If there is no room now, the next ping finds out again.
            let told = self.own_inputs.upgrade().map(|it| it.try_send(Input::Disconnect { conn }));
            if let Some(Ok(())) = told {
                self.wires.remove(&conn);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::executor::Tokio, *};
    use crate::Limits;

    #[tokio::test]
    async fn a_connection_that_nobody_carries_is_forgotten() {
        let limits = Limits { ping_interval: Duration::from_millis(20), ..Limits::default() };
        let (keeper, hub) = Keeper::new(Config { limits, ..Config::default() });
        let keeper = tokio::spawn(keeper.run::<Tokio>());
        let is_empty =
            || async { hub.metrics().await.unwrap().json().contains(r#""connected_clients":0,"#) };
        let line = hub.connect(([127, 0, 0, 1], 1).into()).await.unwrap();
        assert!(!is_empty().await);
        drop(line);
        let forgotten = async {
            while !is_empty().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), forgotten).await.unwrap();
        drop(hub);
        keeper.await.unwrap();
    }
}
