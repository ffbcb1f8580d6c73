//! The task that owns the hub.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use smoq_core::Time;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{log::Log, metrics::Metrics};
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
    Sent { conn: ConnId },
    Disconnect { conn: ConnId },
    Metrics { answer: oneshot::Sender<Metrics> },
    Shutdown,
}

/// How tasks speak to the hub.
#[derive(Clone)]
pub(super) struct Handle(mpsc::Sender<Input>);

/// The keeper ends only after all handles, or by a bug; then what is said to it is lost.
impl Handle {
    /// Asks for a connection.
    pub(super) async fn connect(&self, remote: SocketAddr) -> Result<Line, ConnectRefused> {
        let (line, answer) = oneshot::channel();
        let _ = self.0.send(Input::Connect { remote, line }).await;
        answer.await.unwrap_or(Err(ConnectRefused::Shutdown))
    }

    pub(super) async fn message(&self, conn: ConnId, text: Utf8Bytes) {
        let _ = self.0.send(Input::Message { conn, text }).await;
    }

    pub(super) async fn alive(&self, conn: ConnId) {
        let _ = self.0.send(Input::Alive { conn }).await;
    }

    pub(super) async fn sent(&self, conn: ConnId) {
        let _ = self.0.send(Input::Sent { conn }).await;
    }

    pub(super) async fn disconnect(&self, conn: ConnId) {
        let _ = self.0.send(Input::Disconnect { conn }).await;
    }

    pub(super) async fn metrics(&self) -> Option<Metrics> {
        let (answer, metrics) = oneshot::channel();
        let _ = self.0.send(Input::Metrics { answer }).await;
        metrics.await.ok()
    }

    pub(super) async fn shutdown(&self) {
        let _ = self.0.send(Input::Shutdown).await;
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
        let (sender, inputs) = mpsc::channel(INPUTS);
        let orders = config.limits.in_flight + 8;
        let keeper = Self {
            hub: Hub::new(Config { wall_micros, ..config }),
            epoch: Instant::now(),
            inputs,
            wires: BTreeMap::new(),
            orders,
            log: Log::default(),
            metrics: Metrics::default(),
        };
        (keeper, Handle(sender))
    }

    /// Runs until nobody can say anything any more.
    pub(super) async fn run(mut self) {
        self.hub.handle_timeout(Time::ZERO);
        loop {
            let deadline = self.hub.poll_timeout().map(|at| self.epoch + at.since(Time::ZERO));
            let late = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.handle(input),
                    None => return,
                },
                () = late => {
                    let now = self.now();
                    self.hub.handle_timeout(now);
                }
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
            Input::Sent { conn } => self.hub.handle_sent(now, conn),
            Input::Disconnect { conn } => self.hub.handle_disconnect(now, conn),
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

    /// There is room for all messages that the hub gives out; a ping more or less is no loss. A connection
    /// that is gone will say so.
    fn order(&mut self, conn: ConnId, order: Order) {
        if let Some(wire) = self.wires.get(&conn) {
            let _ = wire.orders.try_send(order);
        }
    }
}
