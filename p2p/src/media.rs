//! Sound and pictures that a call sends: frames of an encoder, which are made elsewhere.

use std::{sync::Arc, time::Duration};

use str0m::{
    format::{Codec, PayloadParams},
    media::{Direction, MediaKind, MediaTime, Mid, Pt},
};

/// What a frame is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Opus, packets of 48 kHz.
    Audio,
    /// VP8, whole pictures.
    Video,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Audio, Self::Video];

    pub(crate) fn of(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }

    fn media(self) -> MediaKind {
        match self {
            Self::Audio => MediaKind::Audio,
            Self::Video => MediaKind::Video,
        }
    }

    fn codec(self) -> Codec {
        match self {
            Self::Audio => Codec::Opus,
            Self::Video => Codec::Vp8,
        }
    }
}

/// What an encoder made: a packet of Opus, or a picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What it is of.
    pub kind: Kind,
    /// When it is to be played, since the first one of its kind. Never less than before.
    pub at: Duration,
    /// What the encoder made.
    pub bytes: Arc<[u8]>,
}

impl Frame {
    pub(crate) fn time(&self) -> MediaTime {
        MediaTime::from_micros(u64::try_from(self.at.as_micros()).unwrap_or(u64::MAX))
    }

    /// As what it goes, of what the other side takes.
    pub(crate) fn payload<'a>(
        &self,
        mut taken: impl Iterator<Item = &'a PayloadParams>,
    ) -> Option<Pt> {
        taken.find(|it| it.spec().codec == self.kind.codec()).map(PayloadParams::pt)
    }
}

/// The media of one call.
pub(crate) struct Media {
    /// What this end has.
    kinds: Vec<Kind>,
    /// What it has offered, without an answer yet.
    pub(crate) offered: Vec<(Kind, Mid)>,
    /// What the other side takes: one of each kind.
    taken: Vec<(Kind, Mid)>,
}

impl Media {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), offered: Vec::new(), taken: Vec::new() }
    }

    /// Offers all that there is. Both ends may have something, so each takes what the other has.
    pub(crate) fn offer(&mut self, mut add: impl FnMut(MediaKind, Direction) -> Mid) {
        let one = |&kind: &Kind| (kind, add(kind.media(), Direction::SendRecv));
        self.offered = self.kinds.iter().map(one).collect();
    }

    /// The other side takes a kind. Whether that is new, and of use.
    pub(crate) fn take(&mut self, kind: Kind, mid: Mid) -> bool {
        let new = self.kinds.contains(&kind) && self.mid(kind).is_none();
        if new {
            self.taken.push((kind, mid));
        }
        new
    }

    pub(crate) fn mid(&self, kind: Kind) -> Option<Mid> {
        self.taken.iter().find(|(it, _)| *it == kind).map(|(_, mid)| *mid)
    }
}
