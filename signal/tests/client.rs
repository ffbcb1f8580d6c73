//! Clients against a hub: what an application is told, and that they find back.

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{
    net::{Net, config},
    safe,
};
use proptest::prelude::*;
use smoq_signal::{
    ClientConfig, ClientEvent, Config, Limits, Unregistered,
    wire::{Candidate, Description, Dialect, Payload, Presence, SdpType},
};

const SECOND: Duration = Duration::from_secs(1);
const FORMS: [Dialect; 3] = [Dialect::Envelope, Dialect::Raw, Dialect::Legacy];

fn sdp(kind: SdpType, name: &str) -> Payload {
    let kind_name = match kind {
        SdpType::Offer => "offer",
        SdpType::Answer => "answer",
        SdpType::Pranswer => "pranswer",
        SdpType::Rollback => "rollback",
    };
    let json = format!(r#"{{"type":"{kind_name}","sdp":"{name}"}}"#);
    Payload::Sdp(Some(Description { kind: Some(kind), json }))
}

fn candidate(line: &str) -> Payload {
    Payload::Candidate(Some(Candidate { candidate: line.into(), ..Candidate::default() }))
}

fn pair(forms: [Dialect; 2]) -> Net {
    let mut net = Net::new(safe(), [config("ann", forms[0]), config("bob", forms[1])]);
    net.settle();
    net.ends.iter_mut().for_each(|end| end.events.clear());
    net
}

impl Net {
    fn send(&mut self, i: usize, to: &str, payload: Payload) {
        assert_eq!(self.ends[i].client.send(self.now, to, payload), Ok(()));
    }

    /// What a client was told since it was asked last, in short.
    fn told(&mut self, i: usize) -> Vec<String> {
        let short = |event| match event {
            ClientEvent::Registered { id } => format!("registered {id}"),
            ClientEvent::NotRegistered { refused, again } => {
                format!("not {} {again}", refused.code)
            }
            ClientEvent::Disconnected => "disconnected".into(),
            ClientEvent::Replaced => "replaced".into(),
            ClientEvent::Description { from, description } => {
                format!("{from} {}", description.json)
            }
            ClientEvent::Rollback { peer } => format!("rollback {peer}"),
            ClientEvent::Candidate { from, candidate } => format!("{from} {}", candidate.candidate),
            ClientEvent::Data { from, label, bytes } => format!("{from} {label} {bytes:?}"),
            ClientEvent::Joined { room, peers } => format!("joined {room} {peers:?}"),
            ClientEvent::Presence { room, peer, state: Presence::Joined } => {
                format!("{room} +{peer}")
            }
            ClientEvent::Presence { room, peer, state: Presence::Left } => {
                format!("{room} -{peer}")
            }
            ClientEvent::Refused(refused) => format!("refused {}", refused.code),
        };
        std::mem::take(&mut self.ends[i].events).into_iter().map(short).collect()
    }
}

#[test]
fn clients_of_all_forms_call_each_other() {
    for forms in FORMS.into_iter().flat_map(|a| FORMS.map(|b| [a, b])) {
        let mut net = pair(forms);
        net.send(0, "bob", sdp(SdpType::Offer, "o"));
        net.send(0, "bob", candidate("candidate:1"));
        net.settle();
        net.send(1, "ann", sdp(SdpType::Answer, "a"));
        net.send(1, "ann", candidate("candidate:2"));
        net.settle();
        let bytes = Some(vec![0, 255]);
        net.send(0, "bob", Payload::Data { label: "chat".into(), bytes });
        net.send(0, "eve", candidate("candidate:3"));
        net.settle();
        let answer = r#"bob {"type":"answer","sdp":"a"}"#;
        assert_eq!(net.told(0), [answer, "bob candidate:2", "refused unknown_target"], "{forms:?}");
        let offer = r#"ann {"type":"offer","sdp":"o"}"#;
        assert_eq!(net.told(1), [offer, "ann candidate:1", "ann chat [0, 255]"], "{forms:?}");
    }
}

#[test]
fn a_candidate_keeps_what_belongs_to_it_in_all_forms() {
    let full = Candidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 5000 typ host".into(),
        sdp_mid: Some("audio".into()),
        sdp_m_line_index: Some(7),
        username_fragment: Some("u\"f".into()),
    };
    for forms in FORMS.into_iter().flat_map(|a| FORMS.map(|b| [a, b])) {
        let mut net = pair(forms);
        net.send(0, "bob", sdp(SdpType::Offer, "o"));
        net.send(0, "bob", Payload::Candidate(Some(full.clone())));
        net.settle();
        let Some(ClientEvent::Candidate { candidate, .. }) = net.ends[1].events.last() else {
            panic!("a candidate, {forms:?}")
        };
        assert!(*candidate == full, "{forms:?}");
    }
}

#[test]
fn who_comes_and_goes_is_told() {
    for form in FORMS {
        let mut net = Net::new(safe(), [config("ann", form), config("bob", form)]);
        net.settle();
        net.ends[1].client.close(net.now);
        net.settle();
        assert_eq!(net.told(0), ["registered ann", "joined hall []", "hall +bob", "hall -bob"]);
        assert_eq!(net.told(1), ["registered bob", r#"joined hall ["ann"]"#]);
    }
}

#[test]
fn candidates_wait_for_the_description_they_belong_to() {
    let mut net = pair([Dialect::Envelope; 2]);
    net.send(0, "bob", candidate("early"));
    net.send(0, "bob", sdp(SdpType::Offer, "o"));
    net.send(0, "bob", candidate("late"));
    net.settle();
    assert_eq!(net.told(1), [r#"ann {"type":"offer","sdp":"o"}"#, "ann early", "ann late"]);
    net.send(1, "ann", candidate("early"));
    net.settle();
    assert!(net.told(0).is_empty());
    net.send(1, "ann", sdp(SdpType::Answer, "a"));
    net.settle();
    assert_eq!(net.told(0), [r#"bob {"type":"answer","sdp":"a"}"#, "bob early"]);
}

#[test]
fn candidates_that_wait_are_bounded() {
    let mut net = pair([Dialect::Envelope; 2]);
    for i in 0..100 {
        net.send(0, "bob", candidate(&i.to_string()));
    }
    net.send(0, "bob", sdp(SdpType::Offer, "o"));
    net.settle();
    assert_eq!(net.told(1).len(), 65);
}

#[test]
fn candidates_that_nobody_makes_are_not_kept() {
    let mut net = pair([Dialect::Envelope; 2]);
    net.send(0, "bob", candidate(&"x".repeat(2048)));
    net.send(0, "bob", candidate(&"x".repeat(2049)));
    net.send(0, "bob", sdp(SdpType::Offer, "o"));
    net.settle();
    assert_eq!(net.told(1).len(), 2);
}

#[test]
fn strangers_do_not_push_out_a_call() {
    let strangers = (0..70).map(|i| format!("s{i}"));
    let names = ["ann".into(), "bob".into()].into_iter().chain(strangers.clone());
    let mut net = Net::new(safe(), names.map(|name| config(&name, Dialect::Envelope)));
    net.settle();
    net.send(0, "bob", sdp(SdpType::Offer, "o"));
    net.settle();
    for i in 0..70 {
        net.send(i + 2, "ann", sdp(SdpType::Offer, "o"));
    }
    net.settle();
    net.told(0);
    net.send(1, "ann", sdp(SdpType::Answer, "a"));
    net.settle();
    assert_eq!(net.told(0), [r#"bob {"type":"answer","sdp":"a"}"#]);
}

#[test]
fn of_two_offers_the_one_of_the_greater_id_stands() {
    let mut net = pair([Dialect::Envelope, Dialect::Raw]);
    net.send(0, "bob", sdp(SdpType::Offer, "by ann"));
    net.send(0, "bob", candidate("of an offer that falls"));
    net.send(1, "ann", sdp(SdpType::Offer, "by bob"));
    net.settle();
    assert_eq!(net.told(0), ["rollback bob", r#"bob {"type":"offer","sdp":"by bob"}"#]);
    assert!(net.told(1).is_empty());
    net.send(0, "bob", sdp(SdpType::Answer, "by ann"));
    net.settle();
    assert_eq!(net.told(1)[0], r#"ann {"type":"answer","sdp":"by ann"}"#);
}

#[test]
fn an_offer_that_never_arrived_does_not_shut_out_that_of_the_peer() {
    let expected = ["rollback ann", r#"ann {"type":"offer","sdp":"by ann"}"#];
    for form in FORMS {
        // The hub has nobody to give it to.
        let mut net = pair([Dialect::Envelope, form]);
        net.cut(0, true);
        net.send(1, "ann", sdp(SdpType::Offer, "by bob"));
        net.settle();
        net.pass(SECOND);
        net.settle();
        assert_eq!(net.told(1), ["hall -ann", "refused unknown_target", "hall +ann"]);
        net.send(0, "bob", sdp(SdpType::Offer, "by ann"));
        net.settle();
        assert_eq!(net.told(1), expected, "{form:?}");
        // It is lost with the connection.
        let mut net = pair([Dialect::Envelope, form]);
        net.send(1, "ann", sdp(SdpType::Offer, "by bob"));
        net.cut(1, true);
        net.pass(SECOND);
        net.settle();
        net.told(1);
        net.send(0, "bob", sdp(SdpType::Offer, "by ann"));
        net.settle();
        assert_eq!(net.told(1), expected, "{form:?}");
        // The peer has got it, and is not what it was.
        let mut net = pair([Dialect::Envelope, form]);
        net.send(1, "ann", sdp(SdpType::Offer, "by bob"));
        net.settle();
        net.cut(0, true);
        net.pass(SECOND);
        net.settle();
        net.told(1);
        net.send(0, "bob", sdp(SdpType::Offer, "by ann"));
        net.settle();
        assert_eq!(net.told(1), expected, "{form:?}");
    }
}

#[test]
fn a_peer_that_insists_is_heard() {
    let mut net = pair([Dialect::Envelope; 2]);
    net.send(1, "ann", sdp(SdpType::Offer, "by bob"));
    for _ in 0..2 {
        net.send(0, "bob", sdp(SdpType::Offer, "by ann"));
    }
    net.settle();
    let expected = ["rollback ann", r#"ann {"type":"offer","sdp":"by ann"}"#];
    assert_eq!(net.told(1), expected);
}

#[test]
fn an_answer_that_nobody_asked_for_is_passed_over() {
    let mut net = pair([Dialect::Envelope; 2]);
    net.send(0, "bob", sdp(SdpType::Answer, "a"));
    net.settle();
    assert!(net.told(1).is_empty());
}

#[test]
fn a_client_that_is_cut_off_comes_back_even_where_the_hub_has_not_noticed() {
    for form in FORMS {
        let mut net = pair([form, Dialect::Envelope]);
        net.send(1, "ann", sdp(SdpType::Offer, "o"));
        net.settle();
        assert_eq!(net.told(0), [r#"bob {"type":"offer","sdp":"o"}"#]);
        net.cut(0, false);
        assert_eq!(net.ends[0].client.send(net.now, "bob", candidate("1")), Err(Unregistered));
        net.pass(SECOND);
        net.settle();
        assert_eq!(net.told(0), ["disconnected", "registered ann", r#"joined hall ["bob"]"#]);
        assert_eq!(net.told(1), ["hall -ann", "hall +ann"]);
        assert_eq!(net.hub.stats().connections, 2);
        // The call that was in between goes on.
        net.send(0, "bob", sdp(SdpType::Answer, "a"));
        net.send(0, "bob", candidate("candidate:1"));
        net.send(1, "ann", candidate("candidate:2"));
        net.settle();
        assert_eq!(net.told(0), ["bob candidate:2"]);
        assert_eq!(net.told(1), [r#"ann {"type":"answer","sdp":"a"}"#, "ann candidate:1"]);
    }
}

#[test]
fn a_client_without_a_name_keeps_the_one_it_got() {
    for form in FORMS {
        let nameless = ClientConfig { id: None, ..config("x", form) };
        let mut net = Net::new(safe(), [nameless]);
        net.settle();
        let id = net.ends[0].client.id().unwrap().to_owned();
        assert_eq!(id.len(), 20);
        net.cut(0, true);
        net.pass(SECOND);
        net.settle();
        assert_eq!(net.ends[0].client.id(), Some(&*id));
        assert_eq!(net.hub.stats().peers, 1);
    }
}

#[test]
fn a_name_that_is_taken_is_the_end() {
    for form in FORMS {
        let other = ClientConfig { entropy: [9; 28], ..config("ann", form) };
        let mut net = Net::new(safe(), [config("ann", form), other]);
        net.settle();
        assert_eq!(net.told(1), ["not id_taken false"]);
        net.pass(100 * SECOND);
        net.settle();
        assert!(net.told(1).is_empty());
        assert_eq!(net.hub.stats().connections, 1);
    }
}

#[test]
fn a_hub_that_falls_silent_is_left_and_pauses_grow() {
    let mut net = pair([Dialect::Envelope; 2]);
    net.now = net.now.after(91 * SECOND);
    let end = &mut net.ends[0];
    end.client.handle_timeout(net.now);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let at = end.client.poll_timeout().unwrap();
        pauses.push(at.since(net.now));
        net.now = at;
        end.client.handle_timeout(at);
        end.client.handle_disconnected(at, None);
    }
    assert!(pauses[0] <= SECOND / 2 && pauses[8] >= 15 * SECOND && pauses[8] <= 30 * SECOND);
    assert!(pauses.windows(2).take(6).all(|two| two[1] > two[0] / 2), "{pauses:?}");
}

#[test]
fn a_hub_that_does_not_answer_the_registration_is_left() {
    let mut net = Net::new(safe(), [config("ann", Dialect::Envelope)]);
    net.pass(11 * SECOND);
    assert_eq!(net.told(0)[0], "disconnected");
}

/// The clients stand in a circle.
#[derive(Clone, Copy, Debug)]
enum Way {
    Next,
    Back,
}

/// What may happen between clients and a hub.
#[derive(Clone, Debug)]
enum Act {
    Say(usize, Way, SdpType),
    Candidate(usize),
    Data(usize),
    Up(usize, usize),
    Down(usize, usize),
    Cut(usize, bool),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let (who, count) = (0..3_usize, 1..6_usize);
    let way = prop::sample::select(vec![Way::Next, Way::Next, Way::Back]);
    let kind = prop::sample::select(vec![SdpType::Offer, SdpType::Answer, SdpType::Rollback]);
    prop_oneof![
        3 => (who.clone(), way, kind).prop_map(|(who, way, kind)| Act::Say(who, way, kind)),
        4 => who.clone().prop_map(Act::Candidate),
        4 => who.clone().prop_map(Act::Data),
        6 => (who.clone(), count.clone()).prop_map(|(who, count)| Act::Up(who, count)),
        6 => (who.clone(), count).prop_map(|(who, count)| Act::Down(who, count)),
        1 => (who, any::<bool>()).prop_map(|(who, tell)| Act::Cut(who, tell)),
        2 => (0..50_000_u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However messages are delayed and connections cut, all find back when it is over, nobody is told
    /// of a candidate before a description, and what one sends to another arrives in its order.
    #[test]
    fn clients_find_back(acts in prop::collection::vec(act(), 1..120)) {
        const NAMES: [&str; 3] = ["ann", "bob", "cem"];
        let config = |i: usize| config(NAMES[i], FORMS[i]);
        let hub = Config {
            limits: Limits { connections_per_address: 2, ..Limits::default() },
            ..safe()
        };
        let mut net = Net::new(hub, (0..3).map(config));
        let mut sent = 0_u32;
        for act in acts {
            let next = |who: usize| NAMES[(who + 1) % 3];
            let (who, to, payload) = match act {
                Act::Say(who, Way::Next, kind) => (who, next(who), sdp(kind, "v=0")),
                Act::Say(who, Way::Back, kind) => (who, NAMES[(who + 2) % 3], sdp(kind, "v=0")),
                Act::Candidate(who) => (who, next(who), candidate("candidate:1")),
                Act::Data(who) => {
                    sent += 1;
                    let bytes = Some(sent.to_be_bytes().to_vec());
                    (who, next(who), Payload::Data { label: String::new(), bytes })
                }
                Act::Up(who, count) => { net.up(who, count); continue }
                Act::Down(who, count) => { net.down(who, count); continue }
                Act::Cut(who, tell) => { net.cut(who, tell); continue }
                Act::Pass(millis) => { net.pass(Duration::from_millis(millis)); continue }
            };
            // Who is not registered cannot send, and is told so.
            let _ = net.ends[who].client.send(net.now, to, payload);
            net.drain();
        }
        for _ in 0..20 {
            net.settle();
            net.pass(10 * SECOND);
        }
        net.settle();
        prop_assert_eq!((net.hub.stats().connections, net.hub.stats().peers), (3, 3));
        for end in &mut net.ends {
            check(&std::mem::take(&mut end.events))?;
        }
        for (caller, callee) in [(0, 1), (1, 2), (2, 0)] {
            // What was left open may cost the first offer.
            for _ in 0..2 {
                net.send(caller, NAMES[callee], sdp(SdpType::Offer, "o"));
                net.settle();
            }
            let offer = format!(r#"{} {{"type":"offer","sdp":"o"}}"#, NAMES[caller]);
            prop_assert!(net.told(callee).contains(&offer));
            net.send(callee, NAMES[caller], sdp(SdpType::Answer, "a"));
            net.settle();
            let answer = format!(r#"{} {{"type":"answer","sdp":"a"}}"#, NAMES[callee]);
            prop_assert_eq!(net.told(caller), [answer]);
        }
    }
}

/// Each client is sent data by one peer only, so one order is enough.
fn check(events: &[ClientEvent]) -> Result<(), TestCaseError> {
    let (mut described, mut last) = (BTreeSet::new(), 0);
    for event in events {
        match event {
            ClientEvent::Description { from, .. } => {
                described.insert(from);
            }
            ClientEvent::Candidate { from, .. } => {
                prop_assert!(described.contains(from), "a candidate too early");
            }
            ClientEvent::Data { bytes, .. } => {
                let number = u32::from_be_bytes(bytes[..].try_into().unwrap());
                prop_assert!(last < number, "{} after {}", number, last);
                last = number;
            }
            _ => {}
        }
    }
    Ok(())
}
