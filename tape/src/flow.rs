//! The messages of one stream, in words.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use smoq_core::{
    Path, StreamId, Version,
    wire::{
        Announce, AnnounceOk, AnnounceRequest, BidiType, DecodeError, Fetch, Goaway, GroupHeader,
        Message, Probe, Setup, Subscribe, SubscribeParams, SubscribeResponse, Track, TrackInfo,
        UniType, varint,
    },
};

/// Bytes that a message may have before it is taken for none.
const LIMIT: usize = 1 << 20;

/// What the subscriptions of a session are to, by who asks and the number that he chose.
pub(crate) type Names = BTreeMap<(bool, u64), String>;

/// A stream.
#[derive(Debug)]
pub(crate) struct Flow {
    ours: bool,
    uni: bool,
    topic: Topic,
    /// What has come of a message that is not whole yet: of the request, and of the answer.
    buffers: [Vec<u8>; 2],
    ended: [bool; 2],
}

#[derive(Debug)]
enum Topic {
    /// It has not said yet.
    New,
    Setup,
    Group(String),
    Announce {
        prefix: Path,
        /// Whether the first answer has been there.
        greeted: bool,
        /// By their number.
        paths: Vec<Path>,
    },
    Subscribe(String),
    Track(String),
    /// The group that is fetched.
    Fetch(String),
    Goaway,
    Probe,
    /// One of no interest, or one that cannot be understood.
    Other,
}

impl Flow {
    pub(crate) fn new(stream: StreamId, ours: bool) -> Self {
        let uni = stream.0 & 2 != 0;
        Self { ours, uni, topic: Topic::New, buffers: Default::default(), ended: [false, uni] }
    }

    pub(crate) fn is_group(&self) -> bool {
        matches!(self.topic, Topic::Group(_))
    }

    /// Whether both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.ended == [true; 2]
    }

    /// What it is about.
    pub(crate) fn topic(&self) -> String {
        match &self.topic {
            Topic::New | Topic::Other => "a stream".to_string(),
            Topic::Setup => "setup".to_string(),
            Topic::Group(name) | Topic::Fetch(name) => name.clone(),
            Topic::Announce { prefix, .. } => format!("announcements below {:?}", prefix.as_str()),
            Topic::Subscribe(name) => format!("subscription to {name}"),
            Topic::Track(name) => format!("question about {name}"),
            Topic::Goaway => "request to go away".to_string(),
            Topic::Probe => "question how fast".to_string(),
        }
    }

    /// What bytes say, which we or the peer have sent.
    pub(crate) fn read(
        &mut self,
        by_us: bool,
        data: &[u8],
        version: Version,
        names: &mut Names,
    ) -> Vec<String> {
        let side = usize::from(by_us != self.ours);
        let mut texts = Vec::new();
        if self.skips() {
            return texts;
        }
        let mut buffer = core::mem::take(&mut self.buffers[side]);
        buffer.extend_from_slice(data);
        let mut at = 0;
        loop {
            match self.message(side == 0, &buffer[at..], version, names) {
                Ok(Some((text, used))) => {
                    at += used;
                    texts.extend(text);
                }
                Ok(None) => break,
                Err(error) => {
                    texts.push(format!("{}: {error}", self.topic()));
                    self.topic = Topic::Other;
                }
            }
            if self.skips() {
                return texts;
            }
        }
        buffer.drain(..at);
        self.buffers[side] = buffer;
        texts
    }

    /// Frames are payload.
    fn skips(&self) -> bool {
        matches!(self.topic, Topic::Group(_) | Topic::Fetch(_) | Topic::Other)
    }

    /// The next message in a buffer, in words if it is worth some.
    fn message(
        &mut self,
        request: bool,
        buffer: &[u8],
        version: Version,
        names: &mut Names,
    ) -> Result<Option<(Option<String>, usize)>, DecodeError> {
        if request && matches!(self.topic, Topic::New) {
            let Some((kind, used)) = varint::decode(buffer) else { return Ok(None) };
            let first = self.first(kind, &buffer[used..], version, names)?;
            return Ok(first.map(|(text, more)| (text, used + more)));
        }
        Ok(match (&mut self.topic, request) {
            (Topic::Setup, true) => Setup::take(buffer, LIMIT, version)?.map(|(setup, used)| {
                let path = setup.path.map(|path| format!(" for path {path:?}"));
                let hop = setup.hop.map(|hop| format!(" as hop {hop}"));
                (
                    Some(format!("sets up{}{}", path.unwrap_or_default(), hop.unwrap_or_default())),
                    used,
                )
            }),
            (Topic::Announce { greeted: greeted @ false, .. }, false)
                if version.has_announce_ok() =>
            {
                AnnounceOk::take(buffer, LIMIT, version)?.map(|(_, used)| {
                    *greeted = true;
                    (None, used)
                })
            }
            (Topic::Announce { prefix, paths, .. }, false) => {
                Announce::take(buffer, LIMIT, version)?
                    .map(|(announce, used)| (Some(announced(announce, prefix, paths)), used))
            }
            (Topic::Subscribe(name), true) => {
                SubscribeParams::take(buffer, LIMIT, version)?.map(|(params, used)| {
                    (Some(format!("now wants of {name} {}", wants(&params))), used)
                })
            }
            (Topic::Subscribe(name), false) => SubscribeResponse::take(buffer, LIMIT, version)?
                .map(|(response, used)| {
                    let text = match response {
                        SubscribeResponse::Ok(_) => format!("accepts the subscription to {name}"),
                        SubscribeResponse::Start { group } => {
                            format!("{name} starts with group {group}")
                        }
                        SubscribeResponse::End { group } => {
                            format!("{name} ends before group {group}")
                        }
                        SubscribeResponse::Drop { first, last, code } => {
                            format!("{name} lacks groups {first} to {last}, code {code}")
                        }
                    };
                    (Some(text), used)
                }),
            (Topic::Track(name), false) => {
                TrackInfo::take(buffer, LIMIT, version)?.map(|(info, used)| {
                    let TrackInfo { priority, timescale, .. } = info;
                    (Some(format!("{name} has priority {priority}, timescale {timescale}")), used)
                })
            }
            (Topic::Probe, request) => Probe::take(buffer, LIMIT, version)?.map(|(probe, used)| {
                let bitrate = probe.bitrate.map_or("?".to_string(), |rate| rate.to_string());
                let rtt = probe.rtt_ms.map(|rtt| format!(", a round trip is {rtt} ms"));
                let verb = if request { "would like" } else { "could send" };
                (Some(format!("{verb} {bitrate} bit/s{}", rtt.unwrap_or_default())), used)
            }),
            (Topic::New | Topic::Setup | Topic::Group(_) | Topic::Fetch(_) | Topic::Other, _)
            | (Topic::Announce { .. } | Topic::Track(_), true)
            | (Topic::Goaway, _) => None,
        })
    }

    /// The message that says what a stream is about.
    fn first(
        &mut self,
        kind: u64,
        rest: &[u8],
        version: Version,
        names: &mut Names,
    ) -> Result<Option<(Option<String>, usize)>, DecodeError> {
        let (topic, text, used) = if self.uni {
            match UniType::from_varint(kind, version) {
                Some(UniType::Setup) => (Topic::Setup, None, 0),
                Some(UniType::Group) => {
                    let Some((header, used)) = GroupHeader::take(rest, LIMIT, version)? else {
                        return Ok(None);
                    };
                    // Who sends groups is who was asked.
                    let name = names.get(&(!self.ours, header.subscribe));
                    let name = name.map_or("no subscription", |name| name);
                    let topic = format!("group {} of {name}", header.sequence);
                    let text = format!("begins {topic}");
                    (Topic::Group(topic), Some(text), used)
                }
                None => (Topic::Other, None, 0),
            }
        } else {
            match BidiType::from_varint(kind, version) {
                Some(BidiType::Announce) => {
                    let Some((request, used)) = AnnounceRequest::take(rest, LIMIT, version)? else {
                        return Ok(None);
                    };
                    let prefix = request.prefix;
                    let text = format!("asks what is below {:?}", prefix.as_str());
                    (
                        Topic::Announce { prefix, greeted: false, paths: Vec::new() },
                        Some(text),
                        used,
                    )
                }
                Some(BidiType::Subscribe) => {
                    let Some((request, used)) = Subscribe::take(rest, LIMIT, version)? else {
                        return Ok(None);
                    };
                    let name = full(&request.track, &request.broadcast);
                    let text = format!(
                        "subscribes to {name} as {}, {}",
                        request.id,
                        wants(&request.params)
                    );
                    names.insert((self.ours, request.id), name.clone());
                    (Topic::Subscribe(name), Some(text), used)
                }
                Some(BidiType::Track) => {
                    let Some((request, used)) = Track::take(rest, LIMIT, version)? else {
                        return Ok(None);
                    };
                    let name = full(&request.track, &request.broadcast);
                    let text = format!("asks about {name}");
                    (Topic::Track(name), Some(text), used)
                }
                Some(BidiType::Goaway) => {
                    let Some((Goaway { uri }, used)) = Goaway::take(rest, LIMIT, version)? else {
                        return Ok(None);
                    };
                    let place = if uri.is_empty() { "here".into() } else { format!("to {uri:?}") };
                    (Topic::Goaway, Some(format!("is about to go: connect {place} anew")), used)
                }
                Some(BidiType::Fetch) => {
                    let Some((request, used)) = Fetch::take(rest, LIMIT, version)? else {
                        return Ok(None);
                    };
                    let name = full(&request.track, &request.broadcast);
                    let topic = format!("group {} of {name}", request.group);
                    let text = format!("fetches {topic}");
                    (Topic::Fetch(topic), Some(text), used)
                }
                Some(BidiType::Probe) => (Topic::Probe, Some("asks how fast".to_string()), 0),
                None => (Topic::Other, Some(format!("opens a stream of type {kind}")), 0),
            }
        };
        self.topic = topic;
        Ok(Some((text, used)))
    }

    /// Nothing more comes from us or the peer. Says which end of the stream that is, 0 if the one that has
    /// opened it.
    pub(crate) fn end(&mut self, by_us: bool) -> usize {
        let side = usize::from(by_us != self.ours);
        self.ended[side] = true;
        side
    }

    /// What the end of a direction says.
    pub(crate) fn fin(&mut self, by_us: bool) -> Option<String> {
        let side = self.end(by_us);
        match (&self.topic, side) {
            (Topic::Subscribe(name), 0) => Some(format!("wants no more of {name}")),
            (Topic::Subscribe(name), _) => Some(format!("{name} is complete")),
            (Topic::Fetch(_), 0) => None,
            (Topic::Group(name) | Topic::Fetch(name), _) => Some(format!("{name} is complete")),
            (Topic::Announce { prefix, .. }, _) => {
                Some(format!("no more about what is below {:?}", prefix.as_str()))
            }
            (
                Topic::New
                | Topic::Setup
                | Topic::Track(_)
                | Topic::Goaway
                | Topic::Probe
                | Topic::Other,
                _,
            ) => None,
        }
    }
}

fn full(track: &str, broadcast: &Path) -> String {
    format!("{track:?} of {:?}", broadcast.as_str())
}

fn wants(params: &SubscribeParams) -> String {
    let SubscribeParams { priority, max_age_ms, start, end, .. } = params;
    let start = start.map_or("the latest".to_string(), |group| format!("group {group}"));
    let end = end.map(|group| format!(" up to {group}")).unwrap_or_default();
    format!("from {start}{end}, priority {priority}, at most {max_age_ms} ms old")
}

fn announced(announce: Announce, prefix: &Path, paths: &mut Vec<Path>) -> String {
    let whole = |suffix: &Path| match prefix.join(suffix) {
        Ok(path) => format!("{:?}", path.as_str()),
        Err(_) => format!("{:?} below {:?}", suffix.as_str(), prefix.as_str()),
    };
    let known = |id: u64| {
        let path = usize::try_from(id).ok().and_then(|id| paths.get(id));
        path.map_or(format!("number {id}"), whole)
    };
    match announce {
        Announce::Start { suffix, hops, .. } => {
            let text = format!("announces {}, {} hops", whole(&suffix), hops.len());
            paths.push(suffix);
            text
        }
        Announce::End { suffix } => format!("announces the end of {}", whole(&suffix)),
        Announce::EndId { id } => format!("announces the end of {}", known(id)),
        Announce::Update { id, hops, .. } => {
            format!("announces {} anew, {} hops", known(id), hops.len())
        }
        Announce::Other { kind } => format!("announces something of type {kind}"),
    }
}
