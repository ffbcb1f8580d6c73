//! Puts groups, which arrive side by side and in any order, one after the other.
//!
//! No IO and no clock in here: what arrived and the time go in, [`Step`]s come out.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use smoq_core::FrameChunk;

/// Groups that a lossless reader asks for ahead of the one it writes.
const WINDOW: u64 = 8;

/// Bytes in hand beyond which a lossless reader asks for no further groups, and no reader takes more
/// while it has something to write.
const BUDGET: usize = 32 << 20;

/// Groups in hand beyond which a live reader gives up the oldest, however long it would wait.
const CROWD: usize = 1024;

/// How long nothing may arrive before a lossless reader takes a missing group for lost.
const GRACE: Duration = Duration::from_secs(2);

/// How long nothing may be in hand before a lossless reader stops limiting how far ahead it asks: the
/// numbers may have gone on beyond its window.
const IDLE: Duration = Duration::from_millis(500);

/// How long a lossless reader that was not told the first group waits for one before those it has.
const SETTLE: Duration = Duration::from_millis(250);

/// What to do about groups that are late or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Give them up when a later one has waited this long.
    Live(Duration),
    /// Wait for them.
    Lossless,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write this piece of a frame.
    Write { group: u64, chunk: FrameChunk },
    /// This group was written to its end.
    Finish(u64),
    /// These groups (inclusive) are not written, or not to their end. Nobody needs to read them.
    Skip { first: u64, last: u64 },
    /// Wait for an arrival, or until then.
    Wait(Option<Instant>),
    /// All was written.
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    Cut,
}

struct Group {
    chunks: VecDeque<FrameChunk>,
    state: State,
    arrived: Instant,
}

pub(crate) struct Reorder {
    policy: Policy,
    /// The group being written, or to be written next; `None` until the first one is known.
    head: Option<u64>,
    /// What has arrived and is not written, all at or after `head`.
    groups: BTreeMap<u64, Group>,
    /// Payload bytes in `groups`.
    bytes: usize,
    /// When something arrived last, or was written last.
    active: Instant,
    /// The last group asked for.
    window: Option<u64>,
    ended: bool,
}

impl Reorder {
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        let window = match policy {
            Policy::Live(_) => None,
            Policy::Lossless => Some(WINDOW - 1),
        };
        let groups = BTreeMap::new();
        Self { policy, head: None, groups, bytes: 0, active: now, window, ended: false }
    }

    /// Whether nothing may be left out.
    pub(crate) fn is_lossless(&self) -> bool {
        self.policy == Policy::Lossless
    }

    /// A group has begun to arrive. False if it comes too late to be written.
    pub(crate) fn open(&mut self, sequence: u64, now: Instant) -> bool {
        if self.head.is_some_and(|head| sequence < head) {
            return false;
        }
        // None comes before the first one, and a live reader does not ask for it.
        if sequence == 0 || !self.is_lossless() {
            self.head.get_or_insert(sequence);
        }
        self.active = now;
        let group = Group { chunks: VecDeque::new(), state: State::Open, arrived: now };
        self.groups.insert(sequence, group);
        true
    }

    /// A piece of a group.
    pub(crate) fn data(&mut self, sequence: u64, chunk: FrameChunk, now: Instant) {
        if let Some(group) = self.groups.get_mut(&sequence) {
            self.active = now;
            self.bytes += chunk.data.len();
            group.chunks.push_back(chunk);
        }
    }

    /// A group has arrived, or was cut off.
    pub(crate) fn close(&mut self, sequence: u64, complete: bool, now: Instant) {
        if let Some(group) = self.groups.get_mut(&sequence) {
            self.active = now;
            group.state = if complete { State::Complete } else { State::Cut };
        }
    }

    /// No further group begins.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The last group to ask for (inclusive), `None` for no limit. Changes as groups are written.
    pub(crate) fn window(&mut self, now: Instant) -> Option<u64> {
        match self.window {
            _ if !self.is_lossless() => {}
            None if self.groups.len() as u64 > WINDOW => {
                self.window = self.groups.keys().next_back().copied();
            }
            Some(_) if self.groups.is_empty() && now >= self.active + IDLE => self.window = None,
            Some(last) if self.bytes < BUDGET => {
                let wanted = self.head.unwrap_or(0) + WINDOW - 1;
                // Half a window at a time: an update for each group would be chatter.
                if wanted >= last + WINDOW / 2 {
                    self.window = Some(wanted);
                }
            }
            _ => {}
        }
        self.window
    }

    /// Whether so much is in hand that no more is to be taken as long as some of it can be written.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BUDGET
    }

    /// What to give up while a write is pending: a live reader that stalls does not keep what is late.
    pub(crate) fn stalled(&mut self, now: Instant) -> Step {
        match self.head {
            Some(head) if !self.is_lossless() && !self.groups.is_empty() => self.expire(head, now),
            _ => Step::Wait(None),
        }
    }

    /// Gives up the group at the head if it is late, or waits until it is.
    fn expire(&mut self, head: u64, now: Instant) -> Step {
        let crowded = !self.is_lossless() && self.groups.len() > CROWD;
        match self.late(head) {
            Some(late) if late <= now => self.give_up(head),
            _ if crowded => self.give_up(head),
            late => Step::Wait(late),
        }
    }

    /// Waits for the group at the head, unless what a live reader has of later ones leaves no room.
    fn wait(&mut self, head: u64, late: Option<Instant>) -> Step {
        if self.is_full() && !self.is_lossless() { self.give_up(head) } else { Step::Wait(late) }
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Instant) -> Step {
        loop {
            let Some((&first, group)) = self.groups.first_key_value() else {
                return self.nothing_in_hand(now);
            };
            let Some(head) = self.head else {
                let settled = group.arrived + SETTLE;
                if !self.ended && now < settled {
                    return Step::Wait(Some(settled));
                }
                self.head = Some(first);
                continue;
            };
            let late = match self.expire(head, now) {
                Step::Wait(late) => late,
                step => return step,
            };
            let Some(group) = self.groups.get_mut(&head) else {
                return self.wait(head, late);
            };
            match (group.chunks.pop_front(), group.state) {
                (Some(chunk), _) => {
                    self.active = now;
                    self.bytes -= chunk.data.len();
                    return Step::Write { group: head, chunk };
                }
                (None, State::Open) => return self.wait(head, late),
                (None, State::Complete) => {
                    self.groups.remove(&head);
                    self.head = Some(head + 1);
                    return Step::Finish(head);
                }
                (None, State::Cut) => return self.give_up(head),
            }
        }
    }

    fn nothing_in_hand(&self, now: Instant) -> Step {
        let idle = self.active + IDLE;
        if self.ended {
            Step::Done
        } else if self.window.is_some() && now < idle {
            Step::Wait(Some(idle))
        } else {
            Step::Wait(None)
        }
    }

    /// When the group at the head has to be given up, if it makes no progress.
    fn late(&self, head: u64) -> Option<Instant> {
        let missing = !self.groups.contains_key(&head);
        let arriving = self.groups.values().any(|group| group.state == State::Open);
        if missing && self.ended && !arriving {
            return Some(self.active);
        }
        match self.policy {
            Policy::Live(max_latency) => {
                let later = self.groups.range(head + 1..).map(|(_, group)| group.arrived).min();
                later.and_then(|arrived| arrived.checked_add(max_latency))
            }
            Policy::Lossless => (missing && !arriving).then_some(self.active + GRACE),
        }
    }

    /// Goes on with the next group in hand.
    fn give_up(&mut self, head: u64) -> Step {
        if let Some(group) = self.groups.remove(&head) {
            self.bytes -= group.chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
        }
        let next = self.groups.keys().next().copied().unwrap_or(head + 1);
        self.head = Some(next);
        Step::Skip { first: head, last: next - 1 }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn chunk(data: &[u8]) -> FrameChunk {
        let (size, data) = (data.len() as u64, Bytes::copy_from_slice(data));
        FrameChunk { frame: 0, timestamp: 0, size, offset: 0, data }
    }

    struct Test {
        reorder: Reorder,
        now: Instant,
        written: Vec<u8>,
        finished: Vec<u64>,
        skipped: Vec<(u64, u64)>,
    }

    impl Test {
        fn new(policy: Policy) -> Self {
            let now = Instant::now();
            let reorder = Reorder::new(policy, now);
            Self { reorder, now, written: Vec::new(), finished: Vec::new(), skipped: Vec::new() }
        }

        /// A group of one byte, its sequence number.
        fn arrive(&mut self, sequence: u64) {
            self.begin(sequence);
            self.reorder.close(sequence, true, self.now);
        }

        fn begin(&mut self, sequence: u64) {
            if self.reorder.open(sequence, self.now) {
                self.reorder.data(sequence, chunk(&[sequence as u8]), self.now);
            }
        }

        /// Takes steps until it has to wait; true when all is done.
        fn drain(&mut self) -> bool {
            loop {
                match self.reorder.next(self.now) {
                    Step::Write { chunk, .. } => self.written.extend_from_slice(&chunk.data),
                    Step::Finish(group) => self.finished.push(group),
                    Step::Skip { first, last } => self.skipped.push((first, last)),
                    Step::Wait(Some(at)) => {
                        assert!(at > self.now, "waits for the past");
                        return false;
                    }
                    Step::Wait(None) => return false,
                    Step::Done => return true,
                }
            }
        }
    }

    #[test]
    fn groups_are_written_in_order() {
        for policy in [Policy::Lossless, Policy::Live(SECOND)] {
            let mut test = Test::new(policy);
            for sequence in [0, 2, 1, 4, 3] {
                test.arrive(sequence);
                test.drain();
            }
            test.reorder.end();
            assert!(test.drain());
            assert_eq!((test.written, test.skipped), (vec![0, 1, 2, 3, 4], vec![]));
            assert_eq!(test.finished, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn a_group_is_written_while_it_arrives() {
        let mut test = Test::new(Policy::Lossless);
        test.begin(0);
        test.drain();
        assert_eq!(test.written, [0]);
        test.reorder.data(0, chunk(&[9]), test.now);
        test.drain();
        assert_eq!(test.written, [0, 9]);
    }

    #[test]
    fn lossless_waits_for_a_missing_group_as_long_as_something_arrives() {
        let mut test = Test::new(Policy::Lossless);
        test.arrive(0);
        test.begin(2);
        test.drain();
        test.now += 10 * GRACE;
        assert!(!test.drain(), "group 2 is arriving");
        test.reorder.close(2, true, test.now);
        test.arrive(1);
        test.drain();
        assert_eq!((test.written, test.skipped), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn lossless_tells_of_a_group_that_never_comes() {
        let mut test = Test::new(Policy::Lossless);
        test.arrive(0);
        test.arrive(3);
        test.drain();
        assert_eq!(test.skipped, []);
        test.now += GRACE;
        test.drain();
        assert_eq!((test.written, test.skipped), (vec![0, 3], vec![(1, 2)]));
    }

    #[test]
    fn lossless_tells_of_a_missing_group_at_once_when_the_track_has_ended() {
        let mut test = Test::new(Policy::Lossless);
        test.arrive(0);
        test.arrive(2);
        test.reorder.end();
        assert!(test.drain());
        assert_eq!((test.written, test.skipped), (vec![0, 2], vec![(1, 1)]));
    }

    #[test]
    fn lossless_tells_of_a_group_that_was_cut_off() {
        let mut test = Test::new(Policy::Lossless);
        test.begin(0);
        test.reorder.close(0, false, test.now);
        test.arrive(1);
        test.drain();
        assert_eq!((test.written, test.skipped), (vec![0, 1], vec![(0, 0)]));
        assert_eq!(test.finished, [1]);
    }

    #[test]
    fn lossless_begins_with_the_lowest_group_that_comes_first() {
        let mut test = Test::new(Policy::Lossless);
        test.arrive(101);
        test.drain();
        test.arrive(100);
        test.drain();
        assert!(test.written.is_empty());
        test.now += SETTLE;
        test.drain();
        assert_eq!((test.written, test.skipped), (vec![100, 101], vec![]));
    }

    #[test]
    fn lossless_asks_for_a_window_that_slides_with_what_is_written() {
        let mut test = Test::new(Policy::Lossless);
        assert_eq!(test.reorder.window(test.now), Some(WINDOW - 1));
        for sequence in 0..WINDOW {
            test.arrive(sequence);
        }
        assert_eq!(test.reorder.window(test.now), Some(WINDOW - 1), "nothing is written yet");
        test.drain();
        assert_eq!(test.reorder.window(test.now), Some(2 * WINDOW - 1));
    }

    #[test]
    fn lossless_asks_for_no_more_than_its_budget() {
        let mut test = Test::new(Policy::Lossless);
        test.arrive(0);
        test.drain();
        for sequence in 1..WINDOW {
            test.begin(sequence);
            test.reorder.data(sequence, chunk(&vec![0; BUDGET]), test.now);
            test.reorder.close(sequence, true, test.now);
        }
        while let Step::Write { .. } | Step::Finish(_) = test.reorder.next(test.now) {
            if test.reorder.bytes >= BUDGET {
                assert_eq!(test.reorder.window(test.now), Some(WINDOW - 1));
            }
        }
        assert!(test.reorder.window(test.now) > Some(WINDOW - 1));
    }

    #[test]
    fn lossless_asks_for_anything_when_nothing_comes() {
        let mut test = Test::new(Policy::Lossless);
        test.now += IDLE;
        assert_eq!(test.reorder.window(test.now), None);
        for sequence in 100..=100 + WINDOW {
            test.begin(sequence);
        }
        assert_eq!(test.reorder.window(test.now), Some(100 + WINDOW));
    }

    #[test]
    fn live_skips_a_group_when_a_later_one_has_waited() {
        let mut test = Test::new(Policy::Live(SECOND));
        test.begin(5);
        test.drain();
        test.arrive(7);
        test.now += SECOND / 2;
        test.drain();
        assert_eq!(test.written, [5]);
        test.now += SECOND / 2;
        test.drain();
        assert_eq!((test.written, test.skipped), (vec![5, 7], vec![(5, 6)]));
        assert!(!test.reorder.open(6, test.now), "too late");
    }

    #[test]
    fn live_gives_up_what_is_late_while_a_write_is_pending() {
        let mut test = Test::new(Policy::Live(SECOND));
        test.begin(5);
        assert!(matches!(test.reorder.next(test.now), Step::Write { .. }));
        for sequence in 6..20 {
            test.arrive(sequence);
            test.now += SECOND / 2;
            while let Step::Skip { first, last } = test.reorder.stalled(test.now) {
                test.skipped.push((first, last));
            }
        }
        assert!(test.reorder.groups.len() < 4, "{}", test.reorder.groups.len());
        test.drain();
        assert_eq!(test.written, [18, 19]);
        test.reorder.end();
        assert_eq!(test.reorder.stalled(test.now), Step::Wait(None), "nothing is left to give up");
    }

    #[test]
    fn live_that_waits_for_ever_has_a_bound_nevertheless() {
        let mut test = Test::new(Policy::Live(Duration::MAX));
        test.begin(0);
        for sequence in 1..=2 * CROWD as u64 {
            test.arrive(sequence);
            while let Step::Skip { .. } = test.reorder.stalled(test.now) {}
        }
        assert_eq!(test.reorder.groups.len(), CROWD);
        assert_eq!(test.reorder.stalled(test.now), Step::Wait(None), "no time to wait for");
    }

    #[test]
    fn live_gives_up_a_group_when_later_ones_leave_no_room() {
        let mut test = Test::new(Policy::Live(Duration::MAX));
        test.begin(0);
        test.drain();
        test.begin(1);
        test.drain();
        assert!(!test.reorder.is_full());
        test.reorder.data(1, chunk(&vec![0; BUDGET]), test.now);
        assert!(test.reorder.is_full());
        test.drain();
        assert_eq!(test.skipped, [(0, 0)]);
        assert!(!test.reorder.is_full());
    }

    #[test]
    fn live_begins_with_what_comes_first() {
        let mut test = Test::new(Policy::Live(SECOND));
        test.arrive(5);
        test.arrive(4);
        test.drain();
        assert_eq!(test.written, [5]);
    }
}
