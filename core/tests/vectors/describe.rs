//! The meaning of an item, as the vectors write it.

use std::fmt::Write;

use smoq_core::wire::*;

use super::item::Item;

/// The meaning in words that fit any implementation: `-` is absent.
pub(crate) fn describe(item: &Item) -> String {
    match item {
        Item::Bidi(kind) => format!("{kind:?}").to_lowercase(),
        Item::Uni(kind) => format!("{kind:?}").to_lowercase(),
        Item::Setup(Setup { probe, path, role, cost, hop }) => format!(
            "probe={} path={} role={} cost={} hop={}",
            format!("{probe:?}").to_lowercase(),
            path.as_deref().unwrap_or("-"),
            format!("{role:?}").to_lowercase(),
            option(*cost),
            option(hop.map(Hop::get)),
        ),
        Item::AnnounceRequest(AnnounceRequest { prefix, exclude_hop }) => {
            format!("prefix={prefix} exclude={exclude_hop}")
        }
        Item::AnnounceOk(AnnounceOk { hop, active }) => format!("hop={hop} active={active}"),
        Item::Announce(announce) => match announce {
            Announce::Start { suffix, hops, cost } => {
                format!("start suffix={suffix} {}", route(hops, cost))
            }
            Announce::End { suffix } => format!("end suffix={suffix}"),
            Announce::EndId { id } => format!("end id={id}"),
            Announce::Update { id, hops, cost } => {
                format!("update id={id} {}", route(hops, cost))
            }
            Announce::Other { kind } => format!("other kind={kind}"),
        },
        Item::Subscribe(Subscribe { id, broadcast, track, params }) => {
            format!("id={id} broadcast={broadcast} track={track} {}", describe_params(params))
        }
        Item::Update(params) => describe_params(params),
        Item::Response(response) => match response {
            SubscribeResponse::Ok(SubscribeOk { priority, order, max_age_ms, start, end }) => {
                format!(
                    "ok priority={priority} order={} age={max_age_ms} groups={}..{}",
                    describe_order(*order),
                    option(*start),
                    option(*end),
                )
            }
            SubscribeResponse::Start { group } => format!("start group={group}"),
            SubscribeResponse::End { group } => format!("end group={group}"),
            SubscribeResponse::Drop { first, last, code } => {
                format!("drop groups={first}..{last} code={code}")
            }
        },
        Item::Track(Track { broadcast, track }) => {
            format!("broadcast={broadcast} track={track}")
        }
        Item::TrackInfo(TrackInfo { priority, order, max_age_ms, timescale }) => format!(
            "priority={priority} order={} age={max_age_ms} timescale={timescale}",
            describe_order(*order),
        ),
        Item::Group(GroupHeader { subscribe, sequence, first_frame }) => {
            format!("subscribe={subscribe} sequence={sequence} frame={first_frame}")
        }
        Item::FrameHeader(FrameHeader { delta, size }) => format!("delta={delta} size={size}"),
        Item::Frame(FrameHeader { delta, .. }, payload) => {
            format!("delta={delta} payload={}", String::from_utf8_lossy(payload))
        }
        Item::Fetch(Fetch { broadcast, track, priority, group, frame_start, frame_end }) => {
            format!(
                "broadcast={broadcast} track={track} priority={priority} group={group} \
                 frames={frame_start}..{}",
                option(*frame_end),
            )
        }
        Item::Probe(Probe { bitrate, rtt_ms }) => {
            format!("bitrate={} rtt={}", option(*bitrate), option(*rtt_ms))
        }
        Item::Goaway(Goaway { uri }) => format!("uri={uri}"),
        Item::Datagram(DatagramHeader { subscribe, sequence, timestamp }, payload) => format!(
            "subscribe={subscribe} sequence={sequence} timestamp={timestamp} payload={}",
            String::from_utf8_lossy(payload),
        ),
    }
}

fn option(value: Option<u64>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

fn describe_order(order: GroupOrder) -> &'static str {
    match order {
        GroupOrder::NewestFirst => "newest",
        GroupOrder::OldestFirst => "oldest",
    }
}

fn describe_params(params: &SubscribeParams) -> String {
    let SubscribeParams { priority, order, max_age_ms, start, end, frame_start, frame_end } =
        params;
    format!(
        "priority={priority} order={} age={max_age_ms} groups={}..{} frames={frame_start}..{}",
        describe_order(*order),
        option(*start),
        option(*end),
        option(*frame_end),
    )
}

fn route(hops: &Hops, cost: &Cost) -> String {
    let mut text = String::from("hops=");
    for (index, hop) in hops.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}{hop}").unwrap();
    }
    let cold = if cost.cold == varint::MAX { "max".into() } else { cost.cold.to_string() };
    write!(text, " warm={} cold={cold}", cost.warm).unwrap();
    text
}
