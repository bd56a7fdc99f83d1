//! Finding a journal's end: from a hint, back while a partition is empty and forward while it is full.
//!
//! The reading of an end is serial, so that an append whose outcome nobody knows is settled before: either it is the
//! end, or it will never be. A hint may be far behind, so where to go on from is searched for first, by readings that
//! settle nothing: slots are dense, so a partition is begun only if all before it are full.

use storage::Error;
use storage::journal::{JournalKey, Slot};

use super::{End, Store, bounds_key, first_of, hash, last_of, partition, segment};
use crate::number::{from_cql, to_cql};
use crate::statements::Named;

/// Where a journal begins and about where it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// A slot that was once the end, or none.
    pub(super) hint: Slot,
    /// Records before this slot are retired.
    pub(super) floor: Slot,
    /// The bytes of all payloads that are retired.
    pub(super) floor_total: u64,
}

impl Store {
    pub(super) async fn bounds(&self, key: JournalKey) -> Result<Bounds, Error> {
        let row =
            self.cql.row::<(Option<i64>, Option<i64>, Option<i64>)>(Named::JournalBounds, bounds_key(key)).await?;
        let (hint, floor, floor_total) = row.unwrap_or_default();
        let number = |column: Option<i64>| column.map_or(Ok(0), from_cql);
        Ok(Bounds { hint: Slot(number(hint)?), floor: Slot(number(floor)?), floor_total: number(floor_total)? })
    }

    /// The last record of a journal; nothing of one if it is empty.
    pub(super) async fn find_end(&self, key: JournalKey) -> Result<End, Error> {
        let Bounds { hint, floor, .. } = self.bounds(key).await?;
        let mut number = segment(hint);
        let mut end = self.end_of(key, number).await?;
        // Full, it may be one of many; empty, it says nothing.
        let known = match &end {
            Some(end) => (end.slot == last_of(number)).then_some(number),
            None => (number > 0).then_some(segment(floor).min(number)),
        };
        if let Some(known) = known {
            let mut search = Search::after(known);
            while let Some(next) = search.next() {
                search.hear(next, self.is_begun(key, next).await?);
            }
            if search.begun != number {
                number = search.begun;
                end = self.end_of(key, number).await?;
            }
        }
        while end.is_none() && number > 0 {
            number -= 1;
            end = self.end_of(key, number).await?;
        }
        let Some(mut end) = end else { return Ok(End::default()) };
        while end.slot == last_of(number) {
            number = number.saturating_add(1);
            match self.end_of(key, number).await? {
                Some(later) => end = later,
                None => break,
            }
        }
        if segment(end.slot) != segment(hint) {
            self.hint(key, end.slot).await?;
        }
        Ok(end)
    }

    /// Whether the first slot of a partition is taken, as a quorum knows; an append under way may be missed.
    async fn is_begun(&self, key: JournalKey, number: u64) -> Result<bool, Error> {
        Ok(self.stamp(key, first_of(number)).await?.is_some())
    }

    /// The last record of one partition.
    async fn end_of(&self, key: JournalKey, number: u64) -> Result<Option<End>, Error> {
        type Row = (i64, i64, i64, Vec<u8>, i64);
        let row = self.cql.row::<Row>(Named::JournalEnd, partition(key, number)?).await?;
        let Some((slot, term, at, hashed, total)) = row else { return Ok(None) };
        Ok(Some(End {
            slot: Slot(from_cql(slot)?),
            hash: hash(&hashed)?,
            term: from_cql(term)?,
            at: domain::time::Timestamp(from_cql(at)?),
            total: from_cql(total)?,
        }))
    }

    /// Notes about where a journal ends. The slot is the stamp: a late hint changes nothing.
    pub(super) async fn hint(&self, key: JournalKey, slot: Slot) -> Result<(), Error> {
        let (space, shard) = bounds_key(key);
        let slot = to_cql(slot.0)?;
        self.cql.write(Named::JournalHint, (slot, slot, space, shard)).await
    }
}

/// The search for the last partition that is begun: by doubling steps, then by halving. It takes at most twice as many
/// questions as the number of partitions after the one that is known has bits, and two.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// The last that is known to be begun, or that it starts from.
    begun: u64,
    /// The first that is known to be empty.
    empty: Option<u64>,
    step: u64,
}

impl Search {
    const fn after(known: u64) -> Self {
        Self { begun: known, empty: None, step: 1 }
    }

    /// The partition to look at next; none if the last one is found.
    fn next(&self) -> Option<u64> {
        match self.empty {
            None => Some(self.begun.saturating_add(self.step)),
            Some(empty) => (empty.saturating_sub(self.begun) > 1).then(|| self.begun.midpoint(empty)),
        }
    }

    /// What was found there.
    const fn hear(&mut self, number: u64, is_begun: bool) {
        if is_begun {
            self.begun = number;
            self.step = self.step.saturating_mul(2);
        } else {
            self.empty = Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_partition_is_found_in_few_questions() {
        for last in (0_u64..70).chain([3_906, 39_062, 1 << 40]) {
            for known in [0, 1, last / 2, last.saturating_sub(1), last, last + 1, last + 1_000] {
                let (mut search, mut asked) = (Search::after(known), 0);
                while let Some(next) = search.next() {
                    asked += 1;
                    search.hear(next, next <= last);
                }
                assert_eq!(search.begun, last.max(known), "from {known}");
                let after = last.saturating_sub(known);
                let most = 2 * (u64::BITS - after.leading_zeros()) + 2;
                assert!(asked <= most, "{last} from {known}: {asked} questions");
            }
        }
    }
}
