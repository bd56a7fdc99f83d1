//! The order in which records of the old shards are carried: by their stamps, and each shard's as they follow.
//!
//! The files of an export have it only where they were written from one log of all shards. So the place of each record
//! is written down first, in a row that is found by its shard and slot; then the shards are merged, with one
//! record of each in sight.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;

use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::Error;
use storage::journal::{Record, Slot, Space};

use super::rows::Rows;
use crate::command::export::contents::Log;
use crate::command::export::parts::{ItemPlace, Part, PartReader, RecordItem};
use crate::command::output::Output;
use crate::node::stores::Progress;

/// The records of a space, each found by its shard and slot.
pub(super) struct Order {
    space: Space,
    rows: Rows<3>,
    shards: BTreeMap<ShardId, Reach>,
    parts: Vec<Part>,
}

/// An old shard's rows.
#[derive(Clone, Copy)]
struct Reach {
    row: u64,
    first: Slot,
    count: u64,
}

impl Order {
    /// Writes down where the records are.
    pub(super) fn make(path: &Path, folder: &Path, log: &Log, space: Space, out: &Output) -> Result<Self, Error> {
        let mut shards = BTreeMap::new();
        let mut row = 0_u64;
        for end in &log.ends {
            let count = end.last.next().0.saturating_sub(end.first.0);
            shards.insert(end.shard, Reach { row, first: end.first, count });
            row = row.saturating_add(count);
        }
        let rows = Rows::make(path, row)?;
        let parts = log.parts.iter().map(|part| Part::open(folder, part)).collect::<Result<_, _>>()?;
        let order = Self { space, rows, shards, parts };
        let of = log.parts.iter().map(|part| part.bytes).sum();
        let mut progress = Progress { done: 0, of, records: 0 };
        for (part, file) in (0_u32..).zip(&log.parts) {
            let mut reader = PartReader::open(folder, file)?;
            while let Some((place, item)) = reader.next_with_place::<RecordItem>()? {
                order.put(part, place, &item.into_record(space))?;
                progress.records = progress.records.saturating_add(1);
            }
            progress.done = progress.done.saturating_add(file.bytes);
            out.progress(progress);
        }
        Ok(order)
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.shards.values().map(|reach| reach.count).sum()
    }

    /// All records in their order.
    pub(super) fn merge(&self) -> Result<Merge<'_>, Error> {
        let mut heads = BinaryHeap::new();
        for (shard, reach) in self.shards.iter().filter(|(_, reach)| reach.count > 0) {
            heads.push(Reverse((self.row(reach.row)?.0, *shard)));
        }
        Ok(Merge { order: self, heads, taken: BTreeMap::new(), records: 0 })
    }

    fn put(&self, part: u32, place: ItemPlace, record: &Record) -> Result<(), Error> {
        let reach = self.shards.get(&record.key.shard).ok_or_else(|| misplaced(record))?;
        let at = record.slot.0.checked_sub(reach.first.0).filter(|at| *at < reach.count);
        let row = reach.row.saturating_add(at.ok_or_else(|| misplaced(record))?);
        self.rows.put(row, [record.at.0, place.at, u64::from(part) << 32 | u64::from(place.len)])
    }

    /// The stamp of the record of a row, and where it is.
    fn row(&self, row: u64) -> Result<(Timestamp, u32, ItemPlace), Error> {
        let [at, place, rest] = self.rows.get(row)?;
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Ok((Timestamp(at), half(rest >> 32), ItemPlace { at: place, len: half(rest) }))
    }
}

/// The records of all shards, one after another.
pub(super) struct Merge<'a> {
    order: &'a Order,
    /// The next record of each shard that has one.
    heads: BinaryHeap<Reverse<(Timestamp, ShardId)>>,
    /// How many records of a shard were taken.
    taken: BTreeMap<ShardId, u64>,
    /// How many of all.
    records: u64,
}

impl Merge<'_> {
    /// The next record; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, Error> {
        let Some(Reverse((_, shard))) = self.heads.pop() else { return Ok(None) };
        let Some(reach) = self.order.shards.get(&shard).copied() else { return Ok(None) };
        let taken = self.taken.entry(shard).or_default();
        let (_, part, place) = self.order.row(reach.row.saturating_add(*taken))?;
        let part = usize::try_from(part).ok().and_then(|part| self.order.parts.get(part));
        let part = part.ok_or_else(|| Error::Unknown(format!("a record of shard {shard} is nowhere")))?;
        let record = part.item::<RecordItem>(place)?.into_record(self.order.space);
        if record.key.shard != shard || record.slot.0 != reach.first.0.saturating_add(*taken) {
            return Err(misplaced(&record));
        }
        *taken = taken.saturating_add(1);
        self.records = self.records.saturating_add(1);
        if *taken < reach.count {
            let (at, ..) = self.order.row(reach.row.saturating_add(*taken))?;
            self.heads.push(Reverse((at, shard)));
        }
        Ok(Some(record))
    }

    /// How many records were taken.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }
}

fn misplaced(record: &Record) -> Error {
    Error::Unknown(format!(
        "the export's slot {} of shard {} is not where it should be",
        record.slot.0, record.key.shard
    ))
}
