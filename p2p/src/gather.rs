//! How the world sees the sockets of a peer: each asks each STUN server of its family, again and again
//! until it answers.

use std::{net::SocketAddr, time::Duration};

use smoq_signal::Time;

use crate::{random::Random, stun};

/// The first pause before a request is repeated; each time doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often a server is asked.
const REQUESTS: u32 = 6;

struct Question {
    socket: SocketAddr,
    server: SocketAddr,
    transaction: stun::Transaction,
    asked: u32,
    /// When it is asked again, or given up.
    due: Time,
}

/// The questions that have no answer yet.
#[derive(Default)]
pub(crate) struct Gather {
    questions: Vec<Question>,
}

/// A datagram to send: from, to, what.
pub(crate) type Asked = (SocketAddr, SocketAddr, Vec<u8>);

impl Gather {
    /// Asks how `socket` is seen, from the next [`Self::handle_timeout`] on.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        socket: SocketAddr,
        servers: &[SocketAddr],
        random: &mut Random,
    ) {
        // From loopback there is no way out.
        let servers = servers.iter().filter(|server| {
            server.is_ipv4() == socket.is_ipv4()
                && (server.ip().is_loopback() || !socket.ip().is_loopback())
        });
        self.questions.extend(servers.map(|&server| Question {
            socket,
            server,
            transaction: random.bytes(),
            asked: 0,
            due: now,
        }));
    }

    /// How `socket` is seen, if the datagram tells that and was asked for.
    pub(crate) fn handle_datagram(
        &mut self,
        socket: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<SocketAddr> {
        let (transaction, seen) = stun::answer(datagram)?;
        let is_answered = |question: &Question| {
            question.transaction == transaction
                && question.socket == socket
                && question.server == from
        };
        let place = self.questions.iter().position(is_answered)?;
        self.questions.swap_remove(place);
        Some(seen)
    }

    /// What is to be sent now.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Vec<Asked> {
        let mut asked = Vec::new();
        self.questions.retain_mut(|question| {
            if question.due > now {
                return true;
            }
            if question.asked == REQUESTS {
                return false;
            }
            question.due = now.after(FIRST_PAUSE * (1 << question.asked));
            question.asked += 1;
            asked.push((question.socket, question.server, stun::request(&question.transaction)));
            true
        });
        asked
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.questions.iter().map(|question| question.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::tests::success;

    const SERVER: &str = "192.0.2.1:3478";

    fn asking() -> Gather {
        let mut gather = Gather::default();
        let servers = [SERVER, "[2001:db8::1]:3478"].map(|server| server.parse().unwrap());
        let socket = "10.0.0.1:5000".parse().unwrap();
        gather.ask(Time::ZERO, socket, &servers, &mut Random::new(&[1; 28]));
        gather
    }

    #[test]
    fn a_server_is_asked_again_and_then_given_up() {
        let mut gather = asking();
        let mut at = Vec::new();
        while let Some(due) = gather.poll_timeout() {
            let asked = gather.handle_timeout(due);
            at.extend(asked.iter().map(|_| due.as_millis()));
        }
        assert_eq!(at, [0, 500, 1500, 3500, 7500, 15500], "the other server is of another family");
    }

    #[test]
    fn only_the_answer_of_the_server_counts() {
        let mut gather = asking();
        let (socket, server, request) = gather.handle_timeout(Time::ZERO).remove(0);
        let seen = "198.51.100.7:6000".parse().unwrap();
        let answer = success(&request, seen);
        let other = "203.0.113.5:3478".parse().unwrap();
        assert_eq!(gather.handle_datagram(socket, other, &answer), None);
        let forged = [&request[..8], &[0; 12]].concat();
        assert_eq!(gather.handle_datagram(socket, server, &success(&forged, seen)), None);
        assert_eq!(gather.handle_datagram(socket, server, &answer), Some(seen));
        assert_eq!(gather.handle_datagram(socket, server, &answer), None, "told once");
        assert_eq!(gather.poll_timeout(), None);
    }
}
