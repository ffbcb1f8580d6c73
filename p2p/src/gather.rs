//! How the world sees the sockets of a peer: each asks each STUN server of its family, again and again
//! until it answers, and then from time to time: what a NAT has opened it closes if nothing goes through.

use std::{net::SocketAddr, time::Duration};

use smoq_signal::Time;

use crate::{random::Random, stun};

/// The first pause before a request is repeated; each time doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often a server is asked that does not answer.
const REQUESTS: u32 = 6;
/// When a server that has answered is asked again. NATs forget after half a minute at the earliest (RFC 4787
/// allows two minutes at least, and is not obeyed by all).
const AGAIN: Duration = Duration::from_secs(25);

struct Question {
    socket: SocketAddr,
    server: SocketAddr,
    transaction: stun::Transaction,
    /// The answer of last time.
    seen: Option<SocketAddr>,
    asked: u32,
    /// When it is asked again, or given up.
    due: Time,
}

/// What is asked, of servers that have not been given up.
#[derive(Default)]
pub(crate) struct Gather {
    questions: Vec<Question>,
}

/// How the world sees a socket from now on, and how it did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) now: SocketAddr,
    pub(crate) before: Option<SocketAddr>,
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
            seen: None,
            asked: 0,
            due: now,
        }));
    }

    /// How `socket` is seen, if the datagram tells that and was asked for.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Time,
        socket: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        random: &mut Random,
    ) -> Option<Seen> {
        let (transaction, seen) = stun::answer(datagram)?;
        let is_answered = |question: &Question| {
            question.transaction == transaction
                && question.socket == socket
                && question.server == from
        };
        let place = self.questions.iter().position(is_answered)?;
        let question = &mut self.questions[place];
        question.transaction = random.bytes();
        question.asked = 0;
        question.due = now.after(AGAIN);
        Some(Seen { now: seen, before: question.seen.replace(seen) })
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

    fn random() -> Random {
        Random::new(&[1; 28])
    }

    fn asking() -> Gather {
        let mut gather = Gather::default();
        let servers = [SERVER, "[2001:db8::1]:3478"].map(|server| server.parse().unwrap());
        let socket = "10.0.0.1:5000".parse().unwrap();
        gather.ask(Time::ZERO, socket, &servers, &mut random());
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
        let mut random = Random::new(&[2; 28]);
        let mut hear = |gather: &mut Gather, socket, from, answer: &[u8]| {
            gather.handle_datagram(Time::ZERO, socket, from, answer, &mut random)
        };
        let (socket, server, request) = gather.handle_timeout(Time::ZERO).remove(0);
        let seen = "198.51.100.7:6000".parse().unwrap();
        let answer = success(&request, seen);
        let other = "203.0.113.5:3478".parse().unwrap();
        assert_eq!(hear(&mut gather, socket, other, &answer), None);
        let forged = [&request[..8], &[0; 12]].concat();
        assert_eq!(hear(&mut gather, socket, server, &success(&forged, seen)), None);
        let told = Some(Seen { now: seen, before: None });
        assert_eq!(hear(&mut gather, socket, server, &answer), told);
        gather.handle_timeout(Time::ZERO.after(AGAIN));
        assert_eq!(hear(&mut gather, socket, server, &answer), None, "told once");
    }

    #[test]
    fn a_server_that_has_answered_is_asked_for_what_has_changed() {
        let mut gather = asking();
        let mut random = Random::new(&[2; 28]);
        let seen = ["198.51.100.7:6000", "198.51.100.7:6001"].map(|seen| seen.parse().unwrap());
        let mut before = None;
        let mut requests = Vec::new();
        for (round, now) in [0, 1, 1].into_iter().map(|index| seen[index]).enumerate() {
            let due = gather.poll_timeout().unwrap();
            assert_eq!(u128::from(due.as_millis()), AGAIN.as_millis() * round as u128);
            let (socket, server, request) = gather.handle_timeout(due).remove(0);
            let answer = success(&request, now);
            let told = gather.handle_datagram(due, socket, server, &answer, &mut random);
            assert_eq!(told, Some(Seen { now, before }));
            before = Some(now);
            assert!(!requests.contains(&request), "a new request each time");
            requests.push(request);
        }
        // It has gone.
        let mut asked = 0;
        while let Some(due) = gather.poll_timeout() {
            asked += gather.handle_timeout(due).len();
        }
        assert_eq!(asked, REQUESTS as usize);
    }
}
