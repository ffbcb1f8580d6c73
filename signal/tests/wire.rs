//! What is written can be read again, in every form and by way of every other.

use proptest::prelude::*;
use smoq_signal::wire::{
    Candidate, Description, Dialect, Forward, Frame, Kind, Payload, Reply, Request, SdpType,
    Spelling, Stamp, Timestamp,
};

const FORMS: [Dialect; 3] = [Dialect::Envelope, Dialect::Raw, Dialect::Legacy];

/// A payload that can be printed, which payloads themselves cannot: they may hold secrets.
#[derive(Clone, Debug)]
enum Said {
    Sdp(&'static str),
    Candidate(String, Option<String>, Option<u16>, Option<String>),
    Data(String, Option<Vec<u8>>),
    NoSdp,
    NoCandidate,
}

impl Said {
    fn payload(self) -> Payload {
        match self {
            Self::Sdp(name) => {
                let kind = match name {
                    "offer" => SdpType::Offer,
                    "answer" => SdpType::Answer,
                    "pranswer" => SdpType::Pranswer,
                    _ => SdpType::Rollback,
                };
                let json =
                    [r#"{"type":""#, name, r#"","sdp":"v=0\r\n\"\u003c","x":[1e3]}"#].concat();
                Payload::Sdp(Some(Description { kind: Some(kind), json }))
            }
            Self::Candidate(candidate, sdp_mid, sdp_m_line_index, username_fragment) => {
                Payload::Candidate(Some(Candidate {
                    candidate,
                    sdp_mid,
                    sdp_m_line_index,
                    username_fragment,
                }))
            }
            Self::Data(label, bytes) => Payload::Data { label, bytes },
            Self::NoSdp => Payload::Sdp(None),
            Self::NoCandidate => Payload::Candidate(None),
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    let text = any::<String>;
    let optional = || prop::option::of(any::<String>());
    let types = prop::sample::select(vec!["offer", "answer", "pranswer", "rollback"]);
    // A line that begins like an object would be taken for one.
    let line = text().prop_filter("no JSON", |line| !line.trim_start().starts_with('{'));
    prop_oneof![
        types.prop_map(Said::Sdp),
        (line, optional(), any::<Option<u16>>(), optional())
            .prop_map(|(line, mid, index, user)| Said::Candidate(line, mid, index, user)),
        (text(), any::<Option<Vec<u8>>>()).prop_map(|(label, bytes)| Said::Data(label, bytes)),
        Just(Said::NoSdp),
        Just(Said::NoCandidate),
    ]
}

fn stamp() -> Stamp {
    Stamp { id: "i<d".into(), timestamp: Timestamp::from_unix_micros(1) }
}

fn frame(text: &str, dialect: Dialect) -> Frame<'_> {
    Frame::read(text, dialect.spelling(Spelling::Exact)).expect("a frame")
}

/// What the hub reads of what a client writes, and the other way round.
fn up(forward: Forward, dialect: Dialect) -> Forward {
    let text = Request::Forward(forward).write(dialect, &stamp());
    match Request::read(&frame(&text, dialect), dialect, dialect.spelling(Spelling::Exact)) {
        Ok(Request::Forward(forward)) => forward,
        _ => panic!("{text}"),
    }
}

fn down(forward: Forward, dialect: Dialect) -> Forward {
    let text = Reply::Forward(forward).write(dialect, &stamp());
    match Reply::read(&frame(&text, dialect), dialect, dialect.spelling(Spelling::Exact)) {
        Ok(Reply::Forward(forward)) => forward,
        _ => panic!("{text}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_forward_arrives_as_it_was_sent(
        from in any::<String>(),
        to in any::<String>(),
        said in said(),
    ) {
        let payload = said.payload();
        for (above, below) in FORMS.into_iter().flat_map(|a| FORMS.map(|b| (a, b))) {
            let sent = Forward::new(from.clone(), to.clone(), payload.clone());
            let got = down(up(sent, above), below);
            prop_assert!((&got.from, &got.to) == (&from, &to), "{:?} {:?}", above, below);
            prop_assert!(got.payload == payload, "{:?} {:?}", above, below);
        }
    }

    #[test]
    fn what_the_hub_says_can_be_read(
        room in any::<String>(),
        peers in prop::collection::vec(any::<String>(), 0..4),
    ) {
        for dialect in FORMS {
            let reply = Reply::Joined { room: room.clone(), peers: peers.clone() };
            let text = reply.write(dialect, &stamp());
            let read = Reply::read(&frame(&text, dialect), dialect, Spelling::Exact);
            prop_assert!(read == Ok(reply), "{}", text);
        }
    }
}

#[test]
fn every_kind_has_the_type_that_is_on_the_wire() {
    assert_eq!(Kind::ALL.map(Kind::name), ["sdp", "candidate", "data_channel"]);
}
