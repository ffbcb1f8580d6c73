//! What an executor has to offer.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    task::{Context, Poll},
    time::Instant,
};

use quinn_udp::{RecvMeta, Transmit};

use crate::udp::Report;

/// An executor: where a driver's socket and timer come from, and what runs it.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// Its UDP socket.
    type Socket: Socket;
    /// Its timer.
    type Timer: Timer;

    /// Takes over a bound socket. [`Udp`](crate::Udp) has everything but the waiting.
    fn socket(&self, socket: UdpSocket) -> io::Result<Self::Socket>;

    /// A timer that is not set.
    fn timer(&self) -> Self::Timer;

    /// Runs `future` in the background.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);

    /// The addresses of a host name, for this port.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// A UDP socket, as one task sees it: one waker for each way of waiting.
pub trait Socket: Send + Unpin + 'static {
    /// Receives into `buffers`; says how many of them and of `meta` it filled. IPv4 addresses are IPv4
    /// addresses, also on a dual-stack socket.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>>;

    /// Sends one batch of datagrams, or fails with [`io::ErrorKind::WouldBlock`].
    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()>;

    /// Waits until [`try_send`](Self::try_send) may work.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The next ICMP report about what was sent. A runtime that is not told of them is always pending,
    /// and dialing nobody takes as long as the limit of the handshake.
    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report>;

    /// Where it is bound.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Most datagrams that [`try_send`](Self::try_send) takes at a time. May fall later.
    fn max_gso_segments(&self) -> usize;

    /// Most datagrams that arrive in one buffer.
    fn gro_segments(&self) -> usize;
}

/// A timer, as one task sees it, and the clock that it goes by.
pub trait Timer: Send + Unpin + 'static {
    /// What time it is. Only a runtime whose time is not that of the system has another clock.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Sets it, whatever it was set to.
    fn reset(&mut self, deadline: Instant);

    /// Waits for the deadline. Pending for ever if it was never set.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
