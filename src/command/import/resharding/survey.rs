//! Reads all of an export before anything is written: whether it can be carried, and what must be known to carry it.

use std::collections::BTreeMap;
use std::path::Path;

use domain::ids::{ShardCount, ShardId};
use domain::ledger::resharding::OldShards;
use storage::Error;
use storage::encoding::{self, Item, RoomItem};
use storage::journal::{JournalKey, Place, Record, Slot, Space, StoredRecord};

use crate::command::export::contents::{Contents, End, Log};
use crate::command::export::parts::{PartReader, PeopleItem, RecordItem};
use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::node::stores::Progress;

/// How often it says how far it is, in records.
const PROGRESS_RECORDS: u64 = 256;

/// An export that can be carried into another number of shards.
pub(in crate::command::import) struct Survey {
    to: ShardCount,
    /// How many numbers were given, by old channel.
    given: Vec<(ShardId, ShardId, u64)>,
    /// The last ownership of any shard.
    term: u64,
    /// Up to which slot of each old journal all messages were looked at.
    noted: BTreeMap<JournalKey, Slot>,
}

impl Survey {
    /// Reads an export whose files are as they were written.
    ///
    /// # Errors
    /// What is in them is not sound, or cannot be carried.
    pub(in crate::command::import) fn of(
        contents: &Contents,
        folder: &Path,
        to: ShardCount,
        out: &Output,
    ) -> Result<Self, Failure> {
        let mut survey = Self { to, given: Vec::new(), term: 0, noted: BTreeMap::new() };
        let mut shards = OldShards::default();
        for space in Space::ALL {
            survey.read(contents.log(space), folder, space, out, |record| match space {
                Space::Ledger => fold(&mut shards, record),
                Space::Rooms => encoding::read_items::<RoomItem>(&record.payload).map(drop),
            })?;
        }
        shards.check(to).map_err(|why| Failure::failed(why.to_string()))?;
        survey.given = shards.given().collect();
        for part in &contents.people.parts {
            let mut reader = PartReader::open(folder, part)?;
            while let Some(item) = reader.next::<PeopleItem>()? {
                if let PeopleItem::Noted { key, slot } = item {
                    survey.noted.insert(key, slot);
                }
            }
        }
        Ok(survey)
    }

    /// How many shards there will be.
    pub(in crate::command::import) const fn to(&self) -> ShardCount {
        self.to
    }

    /// How many numbers were given, by old channel.
    pub(super) fn given(&self) -> &[(ShardId, ShardId, u64)] {
        &self.given
    }

    /// The ownership under which the new journals are written: none had it before.
    pub(super) const fn term(&self) -> u64 {
        self.term.saturating_add(1)
    }

    /// Whether messages of this space were ever looked at.
    pub(super) fn has_noted(&self, space: Space) -> bool {
        self.noted.keys().any(|key| key.space == space)
    }

    /// Whether the messages of a record were looked at. What nobody ever looked at is owed to nobody.
    pub(super) fn is_noted(&self, record: &Record) -> bool {
        self.noted.get(&record.key).is_none_or(|slot| record.slot <= *slot)
    }

    /// Reads the journals of a space, and compares them with what the manifest says of them.
    fn read(
        &mut self,
        log: &Log,
        folder: &Path,
        space: Space,
        out: &Output,
        mut each: impl FnMut(&Record) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut read = Log { parts: log.parts.clone(), ..Log::default() };
        let of = log.parts.iter().map(|part| part.bytes).sum();
        let mut done = 0_u64;
        for part in &log.parts {
            let mut reader = PartReader::open(folder, part)?;
            while let Some((place, item)) = reader.next_with_place::<RecordItem>()? {
                let record = item.into_record(space);
                let stored = StoredRecord { hash: record.hash(), record, place: Place(0) };
                read.take(&stored)?;
                self.term = self.term.max(stored.record.term);
                each(&stored.record)?;
                done = done.saturating_add(u64::from(place.len));
                if read.records.is_multiple_of(PROGRESS_RECORDS) {
                    out.progress(Progress { done, of, records: read.records });
                }
            }
        }
        let begins = |end: &End| end.first == Slot(1) || !space.is_kept_for_ever();
        if read != *log || !read.ends.iter().all(begins) {
            return Err(Error::Unknown(format!("the export does not have all records of {}", space.name())));
        }
        Ok(())
    }
}

/// Takes a record of the ledger into the folds of the old shards.
fn fold(shards: &mut OldShards, record: &Record) -> Result<(), Error> {
    for (_, item) in encoding::read(&record.payload)? {
        let folded = match &item {
            Item::Event(event) => shards.event(record.key.shard, event),
            Item::Shard(event) => shards.own(record.key.shard, event),
        };
        folded.map_err(|broken| misfit(record, &broken.to_string()))?;
    }
    Ok(())
}

/// What is wrong with a record of the export.
pub(super) fn misfit(record: &Record, what: &str) -> Error {
    Error::Unknown(format!("the export's slot {} of shard {}: {what}", record.slot.0, record.key.shard))
}
