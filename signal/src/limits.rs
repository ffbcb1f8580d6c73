//! Every bound on what clients can make a hub keep or do, in one place.

use core::time::Duration;

/// So many per second, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// What comes back each second.
    pub per_second: u32,
    /// What may be used at once after a rest. At least the largest single use, or that is never allowed.
    pub burst: u32,
}

/// Bounds on memory, work and patience. The defaults suit a public hub; each has its reason beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one message, both ways. Default 524,288, the bound of the Go programs. A longer one ends
    /// its connection with 1009.
    pub message_bytes: usize,
    /// Bytes of the id of a peer and of the name of a room. Default 64: three times what programs
    /// generate.
    pub id_bytes: usize,
    /// Connections at a time. Default 4096: what a small machine has memory for. Each takes a file
    /// descriptor, of which a process may have as many as `ulimit -n` says.
    pub connections: usize,
    /// Connections from one address at a time; from one /64 for IPv6. Default 64: an office behind one
    /// address. A reverse proxy in front makes all clients one address: raise it there.
    pub connections_per_address: usize,
    /// Connections that one address may make. Default 4 per second, 128 at once: whoever leaves and comes
    /// again must not be new each time. See [`Limits::per_address`].
    pub connects: Rate,
    /// Ids that one connection may hold. Default 1: a second one has no honest use.
    pub ids: usize,
    /// Rooms that one peer may be in. Default 8.
    pub rooms: usize,
    /// Peers in one room. Default 128: each of them is told of each.
    pub room_peers: usize,
    /// Messages from one connection. Default 100 per second, 500 at once: many candidates of many calls.
    pub messages: Rate,
    /// Bytes from one connection. Default 512 KiB per second, 2 MiB at once: four largest messages.
    pub bytes: Rate,
    /// Requests of one connection that are refused by its own fault. Default 1 per second, 64 at once.
    /// Beyond it the connection is closed: a faulty program is told first, a hostile one does not fill the
    /// log. Not counted where refusals are silent.
    pub refusals: Rate,
    /// What it costs of `messages` to come into a room or leave it, which is told to everybody there, and to
    /// take an id or give it up, which is written to the log. Default 8.
    pub membership_cost: usize,
    /// Messages from others that wait for one connection. Default 256. What is beyond it is refused.
    pub queue_messages: usize,
    /// Bytes of such messages. Default 2 MiB.
    pub queue_bytes: usize,
    /// Bytes that wait for all connections together, of whatever origin. Default 256 MiB. Beyond it the
    /// connection for which most waits is closed. At least the largest message.
    pub total_queue_bytes: usize,
    /// Answers that wait for one connection. Default 512: all that may be asked at once. Beyond it the
    /// connection is closed: it asks, but does not read. As much presence may wait beside them. What is
    /// beyond that is not told; instead the whole room is, when the connection has read what there was.
    pub own_messages: usize,
    /// Bytes of answers, and of presence beside them. Default 512 KiB. At least what it takes to name all
    /// peers of a room.
    pub own_bytes: usize,
    /// Messages that the embedder may hold for one connection, of those that wait. Default 16.
    pub in_flight: usize,
    /// How often a connection is asked for a sign of life. Default 15 s, as the Go programs do.
    pub ping_interval: Duration,
    /// How long a connection may give no sign of life. Default 90 s, as the Go programs have it.
    pub idle_timeout: Duration,
    /// How long a connection may go without an id. Default 60 s.
    pub register_timeout: Duration,
    /// How long a connection may take nothing of what it is sent. Default 10 s.
    pub write_timeout: Duration,
}

impl Limits {
    /// Lets an address have so many connections, and make them as often as fits: all of them twice at
    /// once, and again within 16 seconds.
    pub fn per_address(self, connections: u32) -> Self {
        let burst = connections.saturating_mul(2);
        let connects = Rate { per_second: (connections / 16).max(1), burst };
        Self { connections_per_address: connections as usize, connects, ..self }
    }

    /// Where [`Policies::GO_COMPAT`](crate::Policies::GO_COMPAT) holds: several ids, or none, are fine.
    pub fn go_compat() -> Self {
        Self { ids: 16, register_timeout: Duration::MAX, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 512 << 10,
            id_bytes: 64,
            connections: 4096,
            connections_per_address: 64,
            connects: Rate { per_second: 4, burst: 128 },
            ids: 1,
            rooms: 8,
            room_peers: 128,
            messages: Rate { per_second: 100, burst: 500 },
            bytes: Rate { per_second: 512 << 10, burst: 2 << 20 },
            refusals: Rate { per_second: 1, burst: 64 },
            membership_cost: 8,
            queue_messages: 256,
            queue_bytes: 2 << 20,
            total_queue_bytes: 256 << 20,
            own_messages: 512,
            own_bytes: 512 << 10,
            in_flight: 16,
            ping_interval: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(90),
            register_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
        }
    }
}
