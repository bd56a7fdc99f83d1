//! The new number of each credit, found by the old one.
//!
//! Numbers are dense on every old channel, so a credit's row is found by counting: 8 bytes of a file each, however many
//! there are, and no search.

use std::collections::BTreeMap;
use std::path::Path;

use domain::ids::ShardId;
use domain::ledger::resharding::{NewNumber, OldNumber};
use storage::Error;

use super::rows::Rows;

/// How many bits of a row are the number; the shard has the rest.
const NUMBER_BITS: u32 = 48;

/// New numbers by old ones.
pub(super) struct Numbers {
    rows: Rows<1>,
    channels: BTreeMap<(ShardId, ShardId), Channel>,
}

/// Where an old channel's rows are.
struct Channel {
    first: u64,
    count: u64,
}

impl Numbers {
    /// Room for all numbers that were given, by old channel.
    pub(super) fn make(path: &Path, given: &[(ShardId, ShardId, u64)]) -> Result<Self, Error> {
        let mut channels = BTreeMap::new();
        let mut first = 0_u64;
        for (from, to, count) in given {
            channels.insert((*from, *to), Channel { first, count: *count });
            first = first.saturating_add(*count);
        }
        Ok(Self { rows: Rows::make(path, first)?, channels })
    }

    /// Puts a credit's new number.
    pub(super) fn put(&self, old: OldNumber, new: NewNumber) -> Result<(), Error> {
        if new.number >> NUMBER_BITS != 0 {
            return Err(Error::Unknown(format!("a channel of shard {} has too many numbers", new.from)));
        }
        let row = u64::from(new.from.0) << NUMBER_BITS | new.number;
        self.rows.put(self.row(old)?, [row])
    }

    /// A credit's new number.
    pub(super) fn get(&self, old: OldNumber) -> Result<NewNumber, Error> {
        let [row] = self.rows.get(self.row(old)?)?;
        let number = row & ((1 << NUMBER_BITS) - 1);
        match u16::try_from(row >> NUMBER_BITS) {
            Ok(from) if number > 0 => Ok(NewNumber { from: ShardId(from), number }),
            _ => Err(unknown(old)),
        }
    }

    fn row(&self, old: OldNumber) -> Result<u64, Error> {
        let channel = self.channels.get(&(old.from, old.to));
        let channel = channel.filter(|channel| (1..=channel.count).contains(&old.number));
        let channel = channel.ok_or_else(|| unknown(old))?;
        Ok(channel.first.saturating_add(old.number).saturating_sub(1))
    }
}

fn unknown(old: OldNumber) -> Error {
    let OldNumber { from, to, number } = old;
    Error::Unknown(format!("shard {from} never gave number {number} to shard {to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credit_has_a_row_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let given = [(ShardId(0), ShardId(0), 2), (ShardId(0), ShardId(9), 1), (ShardId(1_023), ShardId(0), 3)];
        let numbers = Numbers::make(&dir.path().join("numbers"), &given).unwrap();
        let each = || {
            given
                .into_iter()
                .flat_map(|(from, to, count)| (1..=count).map(move |number| OldNumber { from, to, number }))
        };
        let new = |at: usize| NewNumber { from: ShardId(1_023 - u16::try_from(at).unwrap()), number: (1 << 48) - 1 };
        for (at, old) in each().enumerate() {
            assert!(numbers.get(old).is_err(), "nobody gave it yet");
            numbers.put(old, new(at)).unwrap();
        }
        for (at, old) in each().enumerate() {
            assert_eq!(numbers.get(old).unwrap(), new(at));
        }
        let none = |number| OldNumber { from: ShardId(0), to: ShardId(9), number };
        assert!(numbers.get(none(0)).is_err() && numbers.get(none(2)).is_err());
        assert!(numbers.get(OldNumber { from: ShardId(9), to: ShardId(0), number: 1 }).is_err());
        assert!(numbers.put(none(1), NewNumber { from: ShardId(0), number: 1 << 48 }).is_err());
    }
}
