//! What a client knows of its calls: which offers are out, and which candidates came too early.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use super::ClientEvent;
use crate::wire::{Candidate, Description, SdpType};

/// Peers that are remembered. For a new one the one is forgotten that was silent longest, and rather one
/// that the application has never described itself to: anybody can be a new one.
const MOST_PEERS: usize = 64;
/// Candidates of one peer that wait for its description. What is beyond it is dropped.
const MOST_CANDIDATES: usize = 64;
/// Bytes of such a candidate: several times the longest that programs make. A longer one is dropped.
const MOST_CANDIDATE_BYTES: usize = 2048;

/// An offer that was sent and has no answer yet.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Offer {
    #[default]
    None,
    /// One of the peer's that comes now has crossed it.
    Firm,
    /// It may be lost, or the peer has forgotten it: one of the peer's goes before it.
    Weak,
}

/// Where the exchange with one peer is.
#[derive(Clone, Default)]
struct Call {
    offer: Offer,
    /// The peer's description was handed over, so candidates can be used.
    described: bool,
    early: Vec<Candidate>,
    /// The application has sent the peer a description.
    wanted: bool,
    /// Grows with each use of any call.
    used: u64,
}

#[derive(Clone, Default)]
pub(super) struct Calls {
    calls: BTreeMap<String, Call>,
    uses: u64,
}

impl Call {
    fn doubt(&mut self) {
        if self.offer == Offer::Firm {
            self.offer = Offer::Weak;
        }
    }
}

impl Calls {
    /// A description was sent to a peer.
    pub(super) fn sent(&mut self, peer: &str, kind: Option<SdpType>) {
        let call = self.call(peer);
        call.wanted = true;
        match kind {
            Some(SdpType::Offer) => (call.offer, call.described) = (Offer::Firm, false),
            Some(SdpType::Answer | SdpType::Rollback) => call.offer = Offer::None,
            Some(SdpType::Pranswer) | None => {}
        }
    }

    /// A description came. Gives what the application is told, in order.
    pub(super) fn description(
        &mut self,
        own: &str,
        from: &str,
        description: Description,
    ) -> Vec<ClientEvent> {
        let call = self.call(from);
        let mut events = Vec::new();
        match description.kind {
            Some(SdpType::Offer) if call.offer == Offer::Firm && own > from => {
                // Both have made an offer, and the greater id insists on its own; but only one can have
                // crossed it.
                call.offer = Offer::Weak;
                call.early.clear();
                return events;
            }
            Some(SdpType::Offer) => {
                if call.offer != Offer::None {
                    events.push(ClientEvent::Rollback { peer: from.to_string() });
                }
                (call.offer, call.described) = (Offer::None, true);
            }
            Some(SdpType::Answer | SdpType::Pranswer) if call.offer == Offer::None => {
                return events;
            }
            Some(SdpType::Answer) => (call.offer, call.described) = (Offer::None, true),
            Some(SdpType::Pranswer) | None => call.described = true,
            Some(SdpType::Rollback) => call.described = false,
        }
        let early = match call.described {
            true => core::mem::take(&mut call.early),
            false => Vec::new(),
        };
        let from = from.to_string();
        events.push(ClientEvent::Description { from: from.clone(), description });
        let candidate = |candidate| ClientEvent::Candidate { from: from.clone(), candidate };
        events.extend(early.into_iter().map(candidate));
        events
    }

    /// A candidate came. Gives what the application is told.
    pub(super) fn candidate(&mut self, from: &str, candidate: Candidate) -> Option<ClientEvent> {
        let call = self.call(from);
        if call.described {
            return Some(ClientEvent::Candidate { from: from.to_string(), candidate });
        }
        if call.early.len() < MOST_CANDIDATES && size(&candidate) <= MOST_CANDIDATE_BYTES {
            call.early.push(candidate);
        }
        None
    }

    /// What was sent to a peer may not have arrived. It may be there all the same, and answer.
    pub(super) fn doubt(&mut self, peer: &str) {
        self.calls.get_mut(peer).into_iter().for_each(Call::doubt);
    }

    /// The same for all peers.
    pub(super) fn doubt_all(&mut self) {
        self.calls.values_mut().for_each(Call::doubt);
    }

    fn call(&mut self, peer: &str) -> &mut Call {
        if self.calls.len() >= MOST_PEERS && !self.calls.contains_key(peer) {
            let oldest = self.calls.iter().min_by_key(|(_, call)| (call.wanted, call.used));
            if let Some(oldest) = oldest.map(|(peer, _)| peer.clone()) {
                self.calls.remove(&oldest);
            }
        }
        self.uses += 1;
        let call = self.calls.entry(peer.to_string()).or_default();
        call.used = self.uses;
        call
    }
}

fn size(candidate: &Candidate) -> usize {
    let Candidate { candidate, sdp_mid, sdp_m_line_index: _, username_fragment } = candidate;
    let others = [sdp_mid, username_fragment].into_iter().flatten();
    candidate.len() + others.map(String::len).sum::<usize>()
}
