//! A UDP socket in tokio's reactor.

use std::{
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use quinn_udp::{RecvMeta, Transmit};
use smoq_runtime::{Report, Socket, Udp};
use tokio::{io::Interest, net::UdpSocket};

type ErrorReady = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// tokio's socket with what quinn-udp adds.
pub struct TokioSocket {
    io: Arc<UdpSocket>,
    udp: Udp,
    /// Waits for the error queue, which tokio tells by a future only.
    error_ready: ErrorReady,
}

impl TokioSocket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let udp = Udp::new(&socket)?;
        let io = Arc::new(UdpSocket::from_std(socket)?);
        let error_ready = error_ready(io.clone());
        Ok(Self { io, udp, error_ready })
    }
}

fn error_ready(io: Arc<UdpSocket>) -> ErrorReady {
    Box::pin(async move { io.ready(Interest::ERROR).await.map(|_| ()) })
}

impl Socket for TokioSocket {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let receive = || self.udp.recv((&*self.io).into(), buffers, meta);
            match self.io.try_io(Interest::READABLE, receive) {
                // Only this error clears tokio's readiness, so only this one may loop.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || self.udp.send((&*self.io).into(), transmit))
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_send_ready(cx)
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        loop {
            // An error of this wait is one of the reactor, which the other ways of waiting tell as well.
            let _ = ready!(self.error_ready.as_mut().poll(cx));
            self.error_ready = error_ready(self.io.clone());
            match self.io.try_io(Interest::ERROR, || self.udp.report((&*self.io).into())) {
                Ok(report) => return Poll::Ready(report),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It would come again at once: look again when something else has woken the driver.
                Err(_) => return Poll::Pending,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_gso_segments(&self) -> usize {
        self.udp.max_gso_segments()
    }

    fn gro_segments(&self) -> usize {
        self.udp.gro_segments()
    }
}
