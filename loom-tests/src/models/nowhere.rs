//! A socket and a timer on which nothing ever happens.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    task::{Context, Poll},
    time::Instant,
};

use quinn_udp::{RecvMeta, Transmit};

use crate::{Report, Socket, Timer};

/// A socket that takes everything and brings nothing.
pub(super) struct Nowhere;

impl Socket for Nowhere {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn try_send(&mut self, _: &Transmit<'_>) -> io::Result<()> {
        Ok(())
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_report(&mut self, _: &mut Context<'_>) -> Poll<Report> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }

    fn max_gso_segments(&self) -> usize {
        1
    }

    fn gro_segments(&self) -> usize {
        1
    }
}

/// A timer whose time stands still.
pub(super) struct Never(pub(super) Instant);

impl Timer for Never {
    fn now(&self) -> Instant {
        self.0
    }

    fn reset(&mut self, _: Instant) {}

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
