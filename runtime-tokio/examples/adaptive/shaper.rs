//! A bottleneck between a client and a server: it forwards datagrams, those of the server at a rate.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{net::UdpSocket, task::JoinHandle, time::sleep_until};

use crate::bottleneck::Bottleneck;

/// The longest datagram.
const LONGEST: usize = 65_535;

pub(crate) struct Shaper {
    /// Where the server seems to be.
    pub(crate) address: SocketAddr,
    line: Arc<Mutex<Bottleneck>>,
    task: JoinHandle<io::Result<()>>,
}

impl Shaper {
    pub(crate) async fn new(server: SocketAddr, rate: u64) -> io::Result<Self> {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        far.connect(server).await?;
        let address = near.local_addr()?;
        let line = Arc::new(Mutex::new(Bottleneck::new(Instant::now(), rate)));
        let task = tokio::spawn(forward(near, far, line.clone()));
        Ok(Self { address, line, task })
    }

    pub(crate) fn set_rate(&self, rate: u64) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.set_rate(Instant::now(), rate);
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(near: UdpSocket, far: UdpSocket, line: Arc<Mutex<Bottleneck>>) -> io::Result<()> {
    let (mut up, mut down) = (vec![0; LONGEST], vec![0; LONGEST]);
    let mut client = None;
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    loop {
        let next = waiting.front().map(|(at, _)| *at);
        tokio::select! {
            received = near.recv_from(&mut up) => {
                let (size, from) = received?;
                client = Some(from);
                far.send(&up[..size]).await?;
            }
            received = far.recv(&mut down) => {
                let size = received?;
                let now = Instant::now();
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = line.carry(now, size) {
                    waiting.push_back((at, down[..size].to_vec()));
                }
            }
            () = sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {
                if let (Some((_, datagram)), Some(client)) = (waiting.pop_front(), client) {
                    near.send_to(&datagram, client).await?;
                }
            }
        }
    }
}
