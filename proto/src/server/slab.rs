//! Numbered slots with a limit: numbers are reused, memory grows to the limit and never beyond.

enum Slot<T> {
    Free { next: Option<u32> },
    Live(T),
}

pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    live: u32,
    limit: u32,
}

impl<T> Slab<T> {
    /// Bytes of a slot.
    pub(super) const SLOT: usize = size_of::<Slot<T>>();

    /// Makes an empty slab. Room for `limit` is reserved at once, so that growing never moves what is there; the
    /// operating system gives memory only to what is used.
    pub(super) fn new(limit: u32) -> Self {
        Self { slots: Vec::with_capacity(limit as usize), free: None, live: 0, limit }
    }

    pub(super) const fn len(&self) -> u32 {
        self.live
    }

    pub(super) const fn is_full(&self) -> bool {
        self.live >= self.limit
    }

    /// Stores `value` and returns its number, or `None` if the slab is full.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let number = if let Some(number) = self.free {
            let slot = &mut self.slots[number as usize];
            let Slot::Free { next } = *slot else { return None };
            self.free = next;
            *slot = Slot::Live(value);
            number
        } else {
            self.slots.push(Slot::Live(value));
            // The limit is a u32.
            (self.slots.len() - 1) as u32
        };
        self.live += 1;
        Some(number)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let slot = self.slots.get_mut(number as usize)?;
        if matches!(slot, Slot::Free { .. }) {
            return None;
        }
        let Slot::Live(value) = std::mem::replace(slot, Slot::Free { next: self.free }) else { return None };
        self.free = Some(number);
        self.live -= 1;
        Some(value)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        match self.slots.get(number as usize)? {
            Slot::Live(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// Asks for the memory of a slot and does not wait for it: the processor goes on to the next while it comes.
    pub(super) fn foresee(&self, number: u32) {
        std::hint::black_box(self.get(number).is_some());
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.slots.get_mut(number as usize)? {
            Slot::Live(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// Goes through what is live, in the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| match slot {
            Slot::Live(value) => Some((number as u32, value)),
            Slot::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_slab_takes_nothing_until_something_goes() {
        let mut slab = Slab::new(2);
        assert_eq!((slab.insert('a'), slab.insert('b'), slab.insert('c')), (Some(0), Some(1), None));
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!(slab.remove(0), None);
        assert_eq!(slab.insert('d'), Some(0));
        assert_eq!((slab.get(0), slab.get(1), slab.get(2)), (Some(&'d'), Some(&'b'), None));
        assert_eq!(slab.len(), 2);
    }

    #[test]
    fn memory_does_not_move_while_it_fills() {
        let mut slab = Slab::new(1000);
        let before = slab.slots.as_ptr();
        for number in 0..1000 {
            assert_eq!(slab.insert(number), Some(number));
        }
        assert_eq!(slab.slots.as_ptr(), before);
    }
}
