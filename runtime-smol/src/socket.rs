//! A UDP socket in async-io's reactor.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    task::{Context, Poll, ready},
};

use async_io::Async;
use quinn_udp::{RecvMeta, Transmit};
use smoq_runtime::{Report, Socket, Udp};

/// What is known of the way in. async-io tells of each event once, and keeps nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inbound {
    /// There may be more to receive.
    Full,
    /// There was nothing to receive.
    Empty,
    /// Something came. If it is no datagram it is a report: the reactor does not tell one from the other.
    Woken,
}

/// A socket of std in the reactor, with what quinn-udp adds.
pub struct AsyncSocket {
    io: Async<UdpSocket>,
    udp: Udp,
    inbound: Inbound,
    /// There may be something in the error queue.
    reports: bool,
}

impl AsyncSocket {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let udp = Udp::new(&socket)?;
        Ok(Self { io: Async::new(socket)?, udp, inbound: Inbound::Full, reports: false })
    }
}

impl Socket for AsyncSocket {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.inbound == Inbound::Empty {
                ready!(self.io.poll_readable(cx))?;
                self.inbound = Inbound::Woken;
            }
            let result = self.udp.recv(self.io.get_ref().into(), buffers, meta);
            // While there is a report, the reactor goes on to wake the task.
            self.reports |= self.inbound == Inbound::Woken && result.is_err();
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.inbound = Inbound::Empty;
                }
                result => {
                    self.inbound = Inbound::Full;
                    return Poll::Ready(result);
                }
            }
        }
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.udp.send(self.io.get_ref().into(), transmit)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_writable(cx)
    }

    /// Whether there is one shows when the task is woken to receive and there is nothing to receive.
    fn poll_report(&mut self, _: &mut Context<'_>) -> Poll<Report> {
        if self.reports {
            if let Ok(report) = self.udp.report(self.io.get_ref().into()) {
                return Poll::Ready(report);
            }
            self.reports = false;
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        self.udp.max_gso_segments()
    }

    fn gro_segments(&self) -> usize {
        self.udp.gro_segments()
    }
}
