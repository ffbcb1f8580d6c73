//! What flows.

use std::time::Duration;

/// How frames come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 30 frames of 4,096 bytes a second, 60 in a group
    Video,
    /// 200 frames of 1,200 bytes a second, 200 in a group
    Small,
    /// 30 messages of 200 bytes a second, a group each
    Chat,
    /// 60 frames of 16 KiB a second, 120 in a group
    Hd,
    /// Sessions without subscriptions
    Idle,
}

/// A track with a steady flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    /// Frames a second.
    pub(crate) rate: u32,
    /// Bytes of a frame.
    pub(crate) size: usize,
    /// Frames of a group.
    pub(crate) group: u32,
}

impl Shape {
    /// Its track, if it has one.
    pub(crate) fn flow(self) -> Option<Flow> {
        let (rate, size, group) = match self {
            Self::Video => (30, 4096, 60),
            Self::Small => (200, 1200, 200),
            Self::Chat => (30, 200, 1),
            Self::Hd => (60, 16 << 10, 120),
            Self::Idle => return None,
        };
        Some(Flow { rate, size, group })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Small => "small",
            Self::Chat => "chat",
            Self::Hd => "hd",
            Self::Idle => "idle",
        }
    }
}

impl Flow {
    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    /// For a subscriber who reads a tenth: how many bytes at a time, and in which intervals. A second,
    /// unless the bytes would be too few for what else a connection carries.
    pub(crate) fn tenth(self) -> (u32, Duration) {
        const LEAST: u32 = 4096;
        let second = self.rate * self.size as u32;
        let window = (second / 10).max(LEAST);
        (window, Duration::from_secs_f64(10.0 * f64::from(window) / f64::from(second)))
    }
}
