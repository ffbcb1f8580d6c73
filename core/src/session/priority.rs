//! How urgent a stream is, decided once when it opens.

use core::cmp::Reverse;

use crate::wire::GroupOrder;

/// Orders the streams of one session: control first, then by the subscriber's priority, then older
/// subscriptions, then newer groups (older ones where the subscriber asked for that order).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Priority {
    control: bool,
    subscriber: u8,
    age: Reverse<u32>,
    group: u64,
}

/// Bits of the transport's priority that tell groups of one subscription apart, and those that tell
/// subscriptions of one priority apart.
const GROUP_BITS: u32 = 15;
const AGE_BITS: u32 = 8;

impl Priority {
    /// Requests, answers and SETUP: never behind media, or a busy session could not be steered.
    pub(crate) const CONTROL: Self =
        Self { control: true, subscriber: 0, age: Reverse(0), group: 0 };

    /// A group of the `age`-th subscription of a session.
    pub(crate) const fn group(subscriber: u8, age: u32, order: GroupOrder, sequence: u64) -> Self {
        let group = match order {
            GroupOrder::NewestFirst => sequence,
            GroupOrder::OldestFirst => !sequence,
        };
        Self { control: false, subscriber, age: Reverse(age), group }
    }

    /// The same for the transport, which has 32 bits: it only orders what the window lets through, so
    /// groups are told apart modulo 32,768 and subscriptions up to the 256th.
    pub(crate) fn to_transport(self) -> i32 {
        if self.control {
            return i32::MAX;
        }
        let oldest = (1 << AGE_BITS) - 1;
        let age = oldest - self.age.0.min(oldest);
        let group = (self.group & ((1 << GROUP_BITS) - 1)) as u32;
        let packed = (u32::from(self.subscriber) << AGE_BITS | age) << GROUP_BITS | group;
        // 31 bits, the largest of which would be the priority of control.
        packed.min(i32::MAX as u32 - 1) as i32
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
            Priority::group(255, 0, NewestFirst, 32_767),
            Priority::group(200, 9, NewestFirst, 1),
            Priority::group(7, 0, NewestFirst, 9),
            Priority::group(7, 0, NewestFirst, 8),
            Priority::group(7, 1, OldestFirst, 8),
            Priority::group(7, 1, OldestFirst, 9),
            Priority::group(0, 0, NewestFirst, 10),
        ];
        assert!(falling.is_sorted_by(|a, b| a > b));
        assert!(falling.is_sorted_by(|a, b| a.to_transport() > b.to_transport()));
    }
}
