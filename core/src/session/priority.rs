//! How urgent a stream is, decided once when it opens.

use core::cmp::Reverse;

use crate::{node::Sub, wire::GroupOrder};

/// Orders the streams of one session: control first, then by the subscriber's priority, then by the
/// publisher's (draft, "Priority"), then older subscriptions, then newer groups (older ones where the
/// subscriber asked for that order).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Priority {
    control: bool,
    subscriber: u8,
    publisher: u8,
    age: Reverse<u32>,
    group: u64,
}

/// Bits of the transport's priority that tell groups of one subscription apart, those that tell
/// subscriptions of one priority apart, and those of the publisher's priority.
const GROUP_BITS: u32 = 13;
const AGE_BITS: u32 = 5;
const PUBLISHER_BITS: u32 = 6;

impl Priority {
    /// Requests, answers and SETUP: never behind media, or a busy session could not be steered.
    pub(crate) const CONTROL: Self =
        Self { control: true, subscriber: 0, publisher: 0, age: Reverse(0), group: 0 };

    /// A group of a track that a session subscribes to.
    pub(crate) fn group(sub: &Sub, sequence: u64) -> Self {
        Self::new(sub.priority(), sub.age, sub.options.order, sequence)
    }

    const fn new(
        [subscriber, publisher]: [u8; 2],
        age: u32,
        order: GroupOrder,
        sequence: u64,
    ) -> Self {
        let group = match order {
            GroupOrder::NewestFirst => sequence,
            GroupOrder::OldestFirst => !sequence,
        };
        Self { control: false, subscriber, publisher, age: Reverse(age), group }
    }

    /// The same for the transport, which has 32 bits: it only orders what the window lets through, so
    /// groups are told apart modulo 8192, subscriptions up to the 32nd, and the publisher's priorities in
    /// steps of four.
    pub(crate) fn to_transport(self) -> i32 {
        if self.control {
            return i32::MAX;
        }
        let oldest = (1 << AGE_BITS) - 1;
        let age = oldest - self.age.0.min(oldest);
        let publisher = u32::from(self.publisher) >> (8 - PUBLISHER_BITS);
        let group = (self.group & ((1 << GROUP_BITS) - 1)) as u32;
        let packed = u32::from(self.subscriber) << PUBLISHER_BITS | publisher;
        let packed = (packed << AGE_BITS | age) << GROUP_BITS | group;
        // All 32 bits, the largest of which would be the priority of control.
        packed.wrapping_add(i32::MIN as u32).cast_signed().min(i32::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GroupOrder::{NewestFirst, OldestFirst};

    #[test]
    fn both_orders_agree() {
        let falling = [
            Priority::CONTROL,
            Priority::new([255, 255], 0, NewestFirst, 8191),
            Priority::new([200, 255], 9, NewestFirst, 1),
            Priority::new([7, 255], 9, NewestFirst, 1),
            Priority::new([7, 127], 0, NewestFirst, 9),
            Priority::new([7, 127], 0, NewestFirst, 8),
            Priority::new([7, 127], 1, OldestFirst, 8),
            Priority::new([7, 127], 1, OldestFirst, 9),
            Priority::new([7, 123], 0, NewestFirst, 9),
            Priority::new([0, 0], 0, NewestFirst, 10),
        ];
        assert!(falling.is_sorted_by(|a, b| a > b));
        assert!(falling.is_sorted_by(|a, b| a.to_transport() > b.to_transport()));
    }
}
