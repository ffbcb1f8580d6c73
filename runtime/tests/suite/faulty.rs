//! Executors and systems that do what they may: timers that come late, sockets that are full, or silent for
//! a while.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use quinn_udp::{RecvMeta, Transmit};
use smoq_runtime::{Report, Runtime, Socket, Timer, core::Carrier};

use super::{connecting, flow, hardship, tools::*};

pub(crate) async fn late_timers_lose_nothing<R: Bed>(runtime: R) {
    let runtime = Faulty { late: Duration::from_millis(40), ..Faulty::new(runtime) };
    connecting::a_silent_server_runs_into_the_limit(runtime.clone()).await;
    hardship::who_was_cut_off_comes_back(runtime.clone()).await;
    flow::finished_means_that_it_arrived(runtime).await;
}

pub(crate) async fn a_socket_that_would_block_loses_nothing<R: Bed>(runtime: R) {
    let runtime = Faulty { full: true, ..Faulty::new(runtime) };
    hardship::who_was_cut_off_comes_back(runtime.clone()).await;
    flow::finished_means_that_it_arrived(runtime).await;
}

#[derive(Clone)]
pub(super) struct Faulty<R> {
    runtime: R,
    /// How late timers are.
    late: Duration,
    /// Every batch is refused once.
    full: bool,
    /// Holds back what has arrived.
    pub(super) gate: Arc<Gate>,
}

/// Lets everything pass, or nothing.
#[derive(Default)]
pub(super) struct Gate {
    /// `Some` while it is shut: who waits.
    waiting: Mutex<Option<Vec<Waker>>>,
}

impl Gate {
    pub(super) fn shut(&self) {
        *self.waiting.lock().unwrap() = Some(Vec::new());
    }

    pub(super) fn open(&self) {
        let waiting = self.waiting.lock().unwrap().take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    fn stops(&self, cx: &Context<'_>) -> bool {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.as_mut().map(|waiting| waiting.push(cx.waker().clone())).is_some()
    }
}

impl<R> Faulty<R> {
    /// Without a fault.
    pub(super) fn new(runtime: R) -> Self {
        Self { runtime, late: Duration::ZERO, full: false, gate: Arc::default() }
    }
}

impl<R: Bed> Bed for Faulty<R> {
    const CARRIER: Carrier = R::CARRIER;
}

impl<R: Runtime> Runtime for Faulty<R> {
    type Socket = FaultySocket<R::Socket>;
    type Timer = LateTimer<R::Timer>;

    fn socket(&self, socket: UdpSocket) -> io::Result<Self::Socket> {
        let refuse = self.full.then_some(true);
        let gate = self.gate.clone();
        Ok(FaultySocket { socket: self.runtime.socket(socket)?, refuse, gate })
    }

    fn timer(&self) -> Self::Timer {
        LateTimer { timer: self.runtime.timer(), late: self.late }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.runtime.resolve(host, port)
    }
}

pub(super) struct LateTimer<T> {
    timer: T,
    late: Duration,
}

impl<T: Timer> Timer for LateTimer<T> {
    fn now(&self) -> Instant {
        self.timer.now()
    }

    fn reset(&mut self, deadline: Instant) {
        self.timer.reset(deadline + self.late);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(cx)
    }
}

pub(super) struct FaultySocket<S> {
    socket: S,
    /// Whether it refuses the next batch, if it ever does.
    refuse: Option<bool>,
    gate: Arc<Gate>,
}

impl<S: Socket> Socket for FaultySocket<S> {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.gate.stops(cx) {
            return Poll::Pending;
        }
        self.socket.poll_recv(cx, buffers, meta)
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let refused = self.refuse == Some(true);
        self.refuse = self.refuse.map(|refuse| !refuse);
        if refused {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.socket.try_send(transmit)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refuse.is_none() {
            return self.socket.poll_writable(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        self.socket.poll_report(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn gro_segments(&self) -> usize {
        self.socket.gro_segments()
    }
}
