//! Generational ids and the arena that hands them out.

use alloc::vec::Vec;
use core::{cmp::Ordering, fmt, hash, marker::PhantomData};

/// A `Copy` handle to a `T` inside a [`Node`](crate::Node).
///
/// The generation makes a stale id an error, never an alias of whatever took its slot.
pub struct Id<T> {
    index: u32,
    generation: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The id as a number, for recordings and for callers that have no types, such as C.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id that [`to_bits`](Self::to_bits) made a number of. Any other number is an id of nothing, or of
    /// another thing of the same kind; one from an id of another kind too.
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32, kind: PhantomData }
    }

    pub(crate) fn index(self) -> usize {
        self.index as usize
    }

    /// An id of nothing, for tests that only compare.
    #[cfg(test)]
    pub(crate) fn numbered(index: u32) -> Self {
        Self { index, generation: 0, kind: PhantomData }
    }

    fn key(self) -> (u32, u32) {
        (self.index, self.generation)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> hash::Hash for Id<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The same with what it names, as in `Track#7v2`.
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = core::any::type_name::<T>();
        write!(f, "{}#{self}", kind.rsplit(':').next().unwrap_or(kind))
    }
}

/// Index and generation, as in `7v2`: short enough for a log line, unique over a node's life.
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index, self.generation)
    }
}

#[derive(Clone)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Slots reused last in, first out; insertion and removal are O(1) and allocate only to grow.
#[derive(Clone)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    live: usize,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), live: 0 }
    }

    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        self.live += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return Id { index, generation: slot.generation, kind: PhantomData };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Id { index, generation: 0, kind: PhantomData }
    }

    pub(crate) fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot =
            self.slots.get_mut(id.index()).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        self.live -= 1;
        // A slot whose generations are used up is retired: its ids could not be told apart.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.index);
        }
        Some(value)
    }

    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        let slot = self.slots.get(id.index())?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = Id { index: index as u32, generation: slot.generation, kind: PhantomData };
            slot.value.as_ref().map(|value| (id, value))
        })
    }

    pub(crate) fn ids(&self) -> Vec<Id<T>> {
        let mut ids = Vec::with_capacity(self.len());
        ids.extend(self.iter().map(|(id, _)| id));
        ids
    }
}

/// What is there, by id.
impl<T: fmt::Debug> fmt::Debug for Arena<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut arena = Arena::new();
        let first = arena.insert('a');
        assert_eq!(arena.remove(first), Some('a'));
        let second = arena.insert('b');
        assert_eq!(first.index(), second.index());
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&'b'));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn an_id_survives_as_a_number() {
        let id = Id::<()> { index: 7, generation: 2, kind: PhantomData };
        assert_eq!(Id::from_bits(id.to_bits()), id);
        assert_eq!(alloc::format!("{id}"), "7v2");
    }

    #[test]
    fn a_slot_without_generations_left_is_retired() {
        let mut arena = Arena::new();
        let id = arena.insert(0);
        arena.slots[0].generation = u32::MAX;
        let last = Id { index: id.index, generation: u32::MAX, kind: PhantomData };
        assert_eq!(arena.remove(last), Some(0));
        assert_eq!(arena.insert(1).index(), 1);
    }
}
