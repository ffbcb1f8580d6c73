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

use crate::{
    adaptive::bottleneck::Bottleneck,
    executor::{World, remaining, world},
};

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

/// All sockets, by port: they are all on one host. Several on one port divide the peers.
#[derive(Default)]
pub(crate) struct Ports {
    sockets: BTreeMap<u16, Vec<Port>>,
    pub(crate) narrow: Option<Narrow>,
    made: u64,
}

/// A narrow way from one port to all others but one.
pub(crate) struct Narrow {
    pub(crate) from: u16,
    pub(crate) except: u16,
    pub(crate) line: Bottleneck,
}

#[derive(Default)]
struct Port {
    /// Which of the sockets with this port.
    id: u64,
    inbox: VecDeque<Datagram>,
    /// Datagrams that came where nobody listens.
    refused: usize,
    waker: Option<Waker>,
}

impl Ports {
    /// A datagram arrives, or comes back. Gives whom to wake.
    pub(crate) fn deliver(&mut self, datagram: Datagram) -> Option<Waker> {
        if let Some(ports) = self.sockets.get_mut(&datagram.to) {
            let turn = usize::from(datagram.from) % ports.len();
            ports[turn].inbox.push_back(datagram);
            return ports[turn].waker.take();
        }
        // A socket that only the operating system knows says nothing.
        UdpSocket::bind((Ipv4Addr::LOCALHOST, datagram.to)).ok()?;
        let port = self.sockets.get_mut(&datagram.from)?.first_mut()?;
        port.refused += 1;
        port.waker.take()
    }
}

impl World {
    /// How long a datagram takes; `None` if it is lost.
    fn delay(&mut self, datagram: &Datagram) -> Option<Duration> {
        let now = self.now;
        match &mut self.ports.narrow {
            Some(way) if way.from == datagram.from && way.except != datagram.to => {
                Some(way.line.carry(now, datagram.contents.len())? - now)
            }
            _ => Some(DELAY),
        }
    }
}

/// The operating system's socket is there to have the port.
pub(crate) struct MemorySocket {
    local: SocketAddr,
    id: u64,
    _reserved: UdpSocket,
}

impl MemorySocket {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let id = world(|world| {
            world.ports.made += 1;
            let id = world.ports.made;
            let port = Port { id, ..Port::default() };
            world.ports.sockets.entry(local.port()).or_default().push(port);
            id
        });
        Ok(Self { local, id, _reserved: socket })
    }

    fn port<T>(&self, act: impl FnOnce(&mut Port) -> T) -> T {
        world(|world| {
            let mut ports = world.ports.sockets.get_mut(&self.local.port()).into_iter().flatten();
            act(ports.find(|port| port.id == self.id).expect("it is bound"))
        })
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        // Its waker is dropped when the world is free again.
        let _port = remaining(|world| {
            let ports = world.ports.sockets.get_mut(&self.local.port())?;
            let port = ports.iter().position(|port| port.id == self.id).map(|at| ports.remove(at));
            if ports.is_empty() {
                world.ports.sockets.remove(&self.local.port());
            }
            port
        });
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
            world(|world| {
                if let Some(delay) = world.delay(&datagram) {
                    world.deliver(delay, datagram);
                }
            });
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
