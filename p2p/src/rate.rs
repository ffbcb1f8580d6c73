//! How often strangers may begin calls: each makes this side send datagrams to whatever addresses they name.

use std::{collections::BTreeMap, time::Duration};

use smoq_signal::Time;

/// Calls that come at once, from all peers.
const MOST: u32 = 64;
/// After that, one in this time.
const PAUSE: Duration = Duration::from_millis(250);
/// Calls that come at once, from one peer.
const MOST_OF_ONE: u32 = 8;
/// After that, one in this time.
const PAUSE_OF_ONE: Duration = Duration::from_secs(4);

/// Calls that one peer, or all, have begun.
#[derive(Clone, Copy)]
struct Begun {
    /// When they would all be forgotten.
    until: Time,
}

impl Begun {
    /// Counts another one, if there may be one.
    fn add(&mut self, now: Time, most: u32, pause: Duration) -> bool {
        let until = self.until.max(now).after(pause);
        let is_allowed = until <= now.after(pause * most);
        if is_allowed {
            self.until = until;
        }
        is_allowed
    }
}

/// The calls that were begun a short while ago.
pub(crate) struct Rate {
    all: Begun,
    /// Of no more peers than `all` lets in while one is remembered.
    each: BTreeMap<String, Begun>,
}

impl Rate {
    pub(crate) fn new() -> Self {
        Self { all: Begun { until: Time::ZERO }, each: BTreeMap::new() }
    }

    /// Whether a peer may begin a call. If so, it counts.
    pub(crate) fn allows(&mut self, now: Time, peer: &str) -> bool {
        self.each.retain(|_, begun| begun.until > now);
        let mut one = self.each.get(peer).copied().unwrap_or(Begun { until: now });
        let is_allowed = one.add(now, MOST_OF_ONE, PAUSE_OF_ONE) && self.all.add(now, MOST, PAUSE);
        if is_allowed {
            self.each.insert(peer.into(), one);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rate: &mut Rate, now: Time, peers: impl Iterator<Item = u32>) -> usize {
        peers.filter(|peer| rate.allows(now, &peer.to_string())).count()
    }

    #[test]
    fn one_peer_leaves_room_for_others() {
        let mut rate = Rate::new();
        assert_eq!(allowed(&mut rate, Time::ZERO, [1; 100].into_iter()), 8);
        assert_eq!(allowed(&mut rate, Time::ZERO, 2..3), 1);
        let later = Time::ZERO.after(PAUSE_OF_ONE);
        assert_eq!(allowed(&mut rate, later, [1; 100].into_iter()), 1);
    }

    #[test]
    fn many_peers_have_one_bound_and_are_forgotten() {
        let mut rate = Rate::new();
        let mut now = Time::ZERO;
        assert_eq!(allowed(&mut rate, now, 0..1000), 64);
        for i in 1..100 {
            now = now.after(PAUSE);
            assert_eq!(allowed(&mut rate, now, i * 1000..(i + 1) * 1000), 1);
        }
        assert!(rate.each.len() <= 64, "{}", rate.each.len());
    }
}
