//! Where a shard's newest records are: in memory for what views do not hold yet, and a small rest.

use std::collections::VecDeque;

use crate::journal::{Place, Slot};

/// Records kept although views hold them: a reader that is a little behind needs no search.
const REST: u64 = 16;

/// The most records kept a shard: 1 MiB of memory. Older ones are found by a search; a shard's tail
/// is bounded far below.
const RECORDS_MAX: usize = 1 << 16;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: Place,
    /// The bytes of its frame.
    pub(super) bytes: u32,
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Here(Spot),
    /// It is in the log, before what is kept here.
    Older,
    /// There is no such record yet.
    After,
}

/// The spots of one shard's newest records.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The last durable record.
    last: u64,
    /// Of the slots up to and with `last`.
    spots: VecDeque<Spot>,
}

impl Index {
    /// An index that knows nothing but that `last` is the last record.
    pub(super) fn after(last: Slot) -> Self {
        Self { last: last.0, spots: VecDeque::new() }
    }

    /// Takes the next durable record.
    pub(super) fn push(&mut self, spot: Spot) {
        self.last += 1;
        self.spots.push_back(spot);
        if self.spots.len() > RECORDS_MAX {
            self.spots.pop_front();
        }
    }

    /// Lets go of what is at or before `through`, but for a small rest.
    pub(super) fn forget(&mut self, through: Slot) {
        let keep = self.last.saturating_sub(through.0).saturating_add(REST);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let surplus = self.spots.len().saturating_sub(keep);
        self.spots.drain(..surplus);
        if self.spots.capacity() > 4 * self.spots.len().max(64) {
            self.spots.shrink_to(2 * self.spots.len());
        }
    }

    /// Where the record in `slot` is.
    pub(super) fn find(&self, slot: Slot) -> Found {
        let Some(back) = self.last.checked_sub(slot.0) else { return Found::After };
        let back = usize::try_from(back).unwrap_or(usize::MAX);
        match self.spots.len().checked_sub(back.saturating_add(1)).and_then(|at| self.spots.get(at)) {
            Some(spot) => Found::Here(*spot),
            None => Found::Older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(place: u64) -> Spot {
        Spot { place: Place(place), bytes: 96 }
    }

    #[test]
    fn finds_what_is_kept_and_says_what_is_not() {
        let mut index = Index::after(Slot(100));
        assert_eq!((index.find(Slot(100)), index.find(Slot(101))), (Found::Older, Found::After));
        for place in 101..=200 {
            index.push(spot(place));
        }
        assert_eq!((index.find(Slot(101)), index.find(Slot(200))), (Found::Here(spot(101)), Found::Here(spot(200))));
        assert_eq!((index.find(Slot(100)), index.find(Slot(201))), (Found::Older, Found::After));
        index.forget(Slot(150));
        assert_eq!((index.find(Slot(134)), index.find(Slot(135))), (Found::Older, Found::Here(spot(135))));
        index.forget(Slot(900));
        assert_eq!((index.find(Slot(184)), index.find(Slot(185))), (Found::Older, Found::Here(spot(185))));
    }

    #[test]
    fn is_bounded() {
        let mut index = Index::default();
        for place in 1..=RECORDS_MAX as u64 + 3 {
            index.push(spot(place));
        }
        assert_eq!((index.find(Slot(3)), index.find(Slot(4))), (Found::Older, Found::Here(spot(4))));
    }
}
