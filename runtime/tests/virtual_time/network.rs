//! The network: datagrams lie in memory while they are on their way.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    task::{Context, Poll, Waker},
    time::Duration,
};

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};
use smoq_runtime::{Report, Socket};

use crate::executor::{remaining, world};

/// From one socket to any other.
const DELAY: Duration = Duration::from_micros(500);

/// Datagrams of one call, each way.
const BATCH: usize = 10;

pub(crate) struct Datagram {
    from: u16,
    to: u16,
    ecn: Option<EcnCodepoint>,
    contents: Vec<u8>,
}

/// All sockets, by port: they are all on one host.
#[derive(Default)]
pub(crate) struct Ports(BTreeMap<u16, Port>);

#[derive(Default)]
struct Port {
    inbox: VecDeque<Datagram>,
    /// Datagrams that came where nobody listens.
    refused: usize,
    waker: Option<Waker>,
}

impl Ports {
    /// A datagram arrives, or comes back. Gives whom to wake.
    pub(crate) fn deliver(&mut self, datagram: Datagram) -> Option<Waker> {
        if let Some(port) = self.0.get_mut(&datagram.to) {
            port.inbox.push_back(datagram);
            return port.waker.take();
        }
        // A socket that only the operating system knows says nothing.
        UdpSocket::bind((Ipv4Addr::LOCALHOST, datagram.to)).ok()?;
        let port = self.0.get_mut(&datagram.from)?;
        port.refused += 1;
        port.waker.take()
    }
}

/// The operating system's socket is there to have the port.
pub(crate) struct MemorySocket {
    local: SocketAddr,
    _reserved: UdpSocket,
}

impl MemorySocket {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        world(|world| world.ports.0.insert(local.port(), Port::default()));
        Ok(Self { local, _reserved: socket })
    }

    fn port<T>(&self, act: impl FnOnce(&mut Port) -> T) -> T {
        world(|world| act(world.ports.0.get_mut(&self.local.port()).expect("it is bound")))
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        // Its waker is dropped when the world is free again.
        let _port = remaining(|world| world.ports.0.remove(&self.local.port()));
    }
}

impl Socket for MemorySocket {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.port(|port| {
            let count = port.inbox.len().min(buffers.len());
            if count == 0 {
                port.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let slots = buffers.iter_mut().zip(meta);
            for ((buffer, meta), datagram) in slots.zip(port.inbox.drain(..count)) {
                let size = datagram.contents.len();
                buffer[..size].copy_from_slice(&datagram.contents);
                *meta = RecvMeta::default();
                meta.addr = (Ipv4Addr::LOCALHOST, datagram.from).into();
                (meta.len, meta.stride, meta.ecn) = (size, size, datagram.ecn);
            }
            Poll::Ready(Ok(count))
        })
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        for contents in transmit.contents.chunks(size) {
            let (from, to) = (self.local.port(), transmit.destination.port());
            let datagram = Datagram { from, to, ecn: transmit.ecn, contents: contents.to_vec() };
            world(|world| world.deliver(DELAY, datagram));
        }
        Ok(())
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        self.port(|port| match port.refused.checked_sub(1) {
            Some(left) => {
                port.refused = left;
                Poll::Ready(Report::Unreachable(Ipv4Addr::LOCALHOST.into()))
            }
            None => {
                port.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_gso_segments(&self) -> usize {
        BATCH
    }

    fn gro_segments(&self) -> usize {
        1
    }
}
