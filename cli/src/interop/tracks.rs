//! What both sides publish: tracks whose every byte is known.

use bytes::Bytes;

/// A track that both sides have.
pub(super) struct Known {
    /// Its name, and that of the step that checks it.
    pub(super) name: &'static str,
    /// How many groups it has before it ends; `None` if it goes on.
    pub(super) groups: Option<u64>,
    /// How many frames a group has.
    frames: fn(group: u64) -> u64,
    /// How many bytes a frame has.
    size: fn(group: u64, frame: u64) -> usize,
}

/// Those that end: all groups and frames are to arrive, and the end.
pub(super) const ENDING: [Known; 4] = [
    Known { name: "small", groups: Some(20), frames: |_| 3, size: |g, f| (10 + g + f) as usize },
    Known { name: "empty", groups: Some(9), frames: |group| group % 3, size: |_, _| 0 },
    Known { name: "big", groups: Some(3), frames: |_| 1, size: |_, _| 2 << 20 },
    Known { name: "many", groups: Some(300), frames: |_| 1, size: |_, _| 16 },
];

/// The one that goes on while somebody subscribes.
pub(super) const LIVE: Known =
    Known { name: "live", groups: None, frames: |_| 2, size: |_, _| 100 };

/// Subscribed to by who has checked everything. One group with one empty frame.
pub(super) const DONE: Known =
    Known { name: "done", groups: Some(1), frames: |_| 1, size: |_, _| 0 };

/// The name of a track that nobody has.
pub(super) const UNKNOWN: &str = "unknown";

impl Known {
    /// The frames of a group: its place in words, again and again, as long as there is room.
    pub(super) fn frames(&self, group: u64) -> impl Iterator<Item = Bytes> {
        (0..(self.frames)(group)).map(move |frame| {
            let place = format!("{}/{group}/{frame} ", self.name);
            place.bytes().cycle().take((self.size)(group, frame)).collect()
        })
    }

    /// Whether there is such a group.
    pub(super) fn has(&self, group: u64) -> bool {
        self.groups.is_none_or(|groups| group < groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other implementations compute the same.
    #[test]
    fn the_bytes_are_as_documented() {
        let [small, empty, big, many] = &ENDING;
        let frames: Vec<_> = small.frames(2).collect();
        assert_eq!(frames, ["small/2/0 sm", "small/2/1 sma", "small/2/2 smal"]);
        assert_eq!(empty.frames(2).collect::<Vec<_>>(), ["", ""]);
        assert_eq!(empty.frames(3).count(), 0);
        assert_eq!(big.frames(1).next().expect("a frame")[..12], b"big/1/0 big/"[..]);
        assert_eq!(many.frames(299).collect::<Vec<_>>(), ["many/299/0 many/"]);
        assert!(many.has(299) && !many.has(300) && LIVE.has(u64::MAX));
    }
}
