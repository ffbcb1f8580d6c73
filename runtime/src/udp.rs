//! UDP as every runtime needs it: dual-stack, offloads, ICMP errors; everything but the waiting.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
};

use quinn_udp::{RecvMeta, Transmit, TransportErrorPayload, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Kernel buffer asked for in both directions; the system may give less. A burst of 4 MiB is 16 ms at
/// 2 Gbit/s, the time for which a driver may be kept from running.
const KERNEL_BUFFER: usize = 4 << 20;

/// Opens a UDP socket. Without an address: any port, IPv6 and IPv4, or IPv4 alone where the system has
/// no IPv6. An unspecified IPv6 address takes IPv4 as well.
pub(crate) fn bind(address: Option<SocketAddr>) -> io::Result<UdpSocket> {
    match address {
        Some(address) => bind_to(address),
        None => bind_to((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| bind_to((Ipv4Addr::UNSPECIFIED, 0).into())),
    }
}

fn bind_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Where this is refused the socket is IPv6 alone, which is better than nothing.
        let _ = socket.set_only_v6(false);
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Opens `count` sockets on one address; the system gives what each peer sends to one of them. It fails
/// if somebody else listens there, even if that shares the address as well.
pub(crate) fn bind_shared(address: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    let first = bind_to(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    if count > 1 {
        // Only now, so that nobody else's socket is joined.
        share(&socket2::SockRef::from(&sockets[0]))?;
    }
    while sockets.len() < count {
        let socket = open(address)?;
        share(&socket2::SockRef::from(&socket))?;
        socket.bind(&address.into())?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

#[cfg(unix)]
fn share(socket: &socket2::SockRef<'_>) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn share(_: &socket2::SockRef<'_>) -> io::Result<()> {
    let why = "this system cannot share an address between sockets: use one shard";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Has ICMP errors reported. Only for sockets that dial: a server learns nothing from them, and anybody
/// can forge them.
pub(crate) fn report_errors(socket: &UdpSocket) -> io::Result<()> {
    UdpSocketState::new(socket.into())?.enable_transport_errors(socket.into())
}

/// What ICMP reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// This host says that nobody listens there, or that no way leads to it. The port is not told.
    Unreachable(IpAddr),
    /// Something without use here: path MTU is found by probing, and the rest means what silence means.
    Other,
}

/// The state beside a UDP socket, and the one place where IPv4 addresses are mapped into IPv6 for a
/// dual-stack socket, and back.
pub struct Udp {
    state: UdpSocketState,
    ipv6: bool,
}

impl Udp {
    /// Sets the options of a bound socket.
    pub fn new(socket: &UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(socket.into())?;
        let _ = state.set_recv_buffer_size(socket.into(), KERNEL_BUFFER);
        let _ = state.set_send_buffer_size(socket.into(), KERNEL_BUFFER);
        Ok(Self { state, ipv6: socket.local_addr()?.is_ipv6() })
    }

    /// Receives without waiting. See [`Socket::poll_recv`](crate::Socket::poll_recv).
    pub fn recv(
        &self,
        socket: UdpSockRef<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let count = self.state.recv(socket, buffers, meta)?;
        for meta in &mut meta[..count] {
            meta.addr = unmapped(meta.addr);
            meta.dst_ip = meta.dst_ip.map(|ip| ip.to_canonical());
        }
        Ok(count)
    }

    /// Sends without waiting. See [`Socket::try_send`](crate::Socket::try_send).
    pub fn send(&self, socket: UdpSockRef<'_>, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.ipv6 {
            return self.state.try_send(socket, transmit);
        }
        let transmit = Transmit {
            destination: mapped(transmit.destination),
            src_ip: transmit.src_ip.map(mapped_ip),
            ..*transmit
        };
        self.state.try_send(socket, &transmit)
    }

    /// The next report from the error queue, or [`io::ErrorKind::WouldBlock`] when it is empty.
    pub fn report(&self, socket: UdpSockRef<'_>) -> io::Result<Report> {
        let error = self.state.recv_transport_error(socket)?;
        let error = error.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(match (error.payload, error.addr) {
            (TransportErrorPayload::Unreachable, Some(address)) => {
                Report::Unreachable(address.ip().to_canonical())
            }
            _ => Report::Other,
        })
    }

    /// See [`Socket::max_gso_segments`](crate::Socket::max_gso_segments).
    pub fn max_gso_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// See [`Socket::gro_segments`](crate::Socket::gro_segments).
    pub fn gro_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

fn mapped_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    }
}

/// Keeps the scope of an IPv6 address.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => (v4, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_goes_both_ways() {
        let v4: SocketAddr = "192.0.2.1:5".parse().unwrap();
        assert_eq!(mapped(v4).to_string(), "[::ffff:192.0.2.1]:5");
        assert_eq!(unmapped(mapped(v4)), v4);
        assert_eq!(mapped_ip(v4.ip()).to_canonical(), v4.ip());
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, 7));
        assert_eq!(unmapped(mapped(scoped)), scoped);
    }

    #[test]
    fn binds_where_told() {
        let socket = bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert_ne!(bind(None).unwrap().local_addr().unwrap().port(), 0);
        let taken = socket.local_addr().unwrap();
        assert_eq!(bind(Some(taken)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    #[cfg(unix)]
    fn an_address_is_shared_with_nobody_else() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let Ok(sockets) = bind_shared(address.parse().unwrap(), 3) else {
                assert!(address.starts_with('['), "every machine has IPv4");
                continue;
            };
            let addresses: Vec<_> =
                sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert!(addresses.iter().all(|other| *other == addresses[0]) && addresses.len() == 3);
            for count in [1, 2] {
                let error = bind_shared(addresses[0], count).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            }
        }
    }

    #[test]
    fn a_dual_stack_socket_speaks_ipv4() {
        let dual = bind(None).unwrap();
        let udp = Udp::new(&dual).unwrap();
        let v4 = bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        v4.set_nonblocking(false).unwrap();
        let transmit = Transmit {
            destination: v4.local_addr().unwrap(),
            ecn: None,
            contents: b"hi",
            segment_size: None,
            src_ip: Some(Ipv4Addr::LOCALHOST.into()),
        };
        udp.send((&dual).into(), &transmit).unwrap();
        let mut buffer = [0; 10];
        let (size, from) = v4.recv_from(&mut buffer).unwrap();
        assert_eq!((size, from.ip()), (2, Ipv4Addr::LOCALHOST.into()));
    }
}
