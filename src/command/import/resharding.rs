//! An export made into a store of another number of shards.
//!
//! Of each account and room everything stays: events, offsets, entries, stamps. What changes is where it stands, and
//! what is between shards: `domain/src/ledger/resharding.rs` has the rules.
//!
//! The export is read four times. The [`Survey`] says whether it can be carried, before anything is written. [`Order`]
//! writes down where each record is, so that the shards can be merged by their stamps. Merged once, all credits are
//! numbered; merged again, all is written. What is known of records and credits is in files that are removed at the
//! end; in memory are the folds of the old shards and a record in the making of each new one, however long the journals
//! are.
//!
//! All of it follows from the export alone: cut short, it begins anew, and what the new journals have is compared.

mod drafts;
mod ledger;
mod numbers;
mod order;
mod rooms;
mod rows;
mod survey;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;
use storage::Error;
use storage::journal::{JournalKey, Record, Slot, Space};

use self::drafts::{Drafts, Source};
use self::ledger::LedgerCarry;
use self::order::{Merge, Order};
use self::rooms::RoomCarry;
pub(super) use self::survey::Survey;
use super::writing::Writing;
use crate::archive::files;
use crate::command::export::contents::Contents;
use crate::command::output::Output;
use crate::node::stores::Progress;

/// How often it says how far it is, in records.
const PROGRESS_RECORDS: u64 = 256;

/// Carries records of a space.
trait Carry {
    /// What its records are made of.
    type Item: Serialize;

    /// Carries the next record of any old shard.
    fn record(&mut self, record: &Record, source: Source, drafts: &mut Drafts<Self::Item>) -> Result<(), Error>;
}

/// An export on its way into another number of shards.
pub(super) struct Resharding<'a> {
    contents: &'a Contents,
    survey: &'a Survey,
    /// The export's folder.
    folder: &'a Path,
    /// Where files are that are of no use after it.
    scratch: PathBuf,
}

impl<'a> Resharding<'a> {
    /// Begins, with a folder of its own that it removes at its end.
    pub(super) fn begin(
        contents: &'a Contents,
        survey: &'a Survey,
        folder: &'a Path,
        scratch: PathBuf,
    ) -> Result<Self, Error> {
        let resharding = Self { contents, survey, folder, scratch };
        resharding.remove()?;
        files::make_folder(&resharding.scratch)?;
        Ok(resharding)
    }

    /// Writes the journals of a space. Answers up to which slot of each all messages were looked at.
    pub(super) async fn write(
        &self,
        space: Space,
        writing: &mut Writing<'_>,
        out: &Output,
    ) -> Result<Vec<(JournalKey, Slot)>, Error> {
        let log = self.contents.log(space);
        let path = self.scratch.join(format!("{}-order", space.name()));
        let order = tokio::task::block_in_place(|| Order::make(&path, self.folder, log, space, out))?;
        let (to, term) = (self.survey.to(), self.survey.term());
        match space {
            Space::Ledger => {
                let path = self.scratch.join("numbers");
                let carry = tokio::task::block_in_place(|| LedgerCarry::number(self.survey, &order, &path, out))?;
                let drafts = Drafts::new(space, to, term, LedgerCarry::began(term));
                self.carry(&order, carry, drafts, space, writing, out).await
            }
            Space::Rooms => {
                let drafts = Drafts::new(space, to, term, RoomCarry::began(term));
                self.carry(&order, RoomCarry::new(to), drafts, space, writing, out).await
            }
        }
    }

    /// Removes its folder.
    pub(super) fn remove(&self) -> Result<(), Error> {
        match std::fs::remove_dir_all(&self.scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", self.scratch.display()), error))
            }
            _ => Ok(()),
        }
    }

    async fn carry<C: Carry>(
        &self,
        order: &Order,
        carry: C,
        drafts: Drafts<C::Item>,
        space: Space,
        writing: &mut Writing<'_>,
        out: &Output,
    ) -> Result<Vec<(JournalKey, Slot)>, Error> {
        let mut carried = Carried { survey: self.survey, merge: order.merge()?, carry, drafts, is_over: false };
        let of = order.records();
        while let Some(record) = carried.next()? {
            writing.push(record).await?;
            let done = carried.merge.records();
            if done.is_multiple_of(PROGRESS_RECORDS) {
                out.progress(Progress { done, of, records: done });
                tokio::task::yield_now().await;
            }
        }
        writing.flush().await?;
        let noted = carried.drafts.noted().filter(|_| self.survey.has_noted(space));
        Ok(noted.collect())
    }
}

/// The records of the new shards, each shard's in its order.
struct Carried<'a, C: Carry> {
    survey: &'a Survey,
    merge: Merge<'a>,
    carry: C,
    drafts: Drafts<C::Item>,
    is_over: bool,
}

impl<C: Carry> Carried<'_, C> {
    /// The next record; nothing at the end.
    fn next(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if let Some(record) = self.drafts.pop() {
                return Ok(Some(record));
            }
            match self.merge.next()? {
                Some(record) => {
                    let source = Source { at: record.at, is_noted: self.survey.is_noted(&record) };
                    self.carry.record(&record, source, &mut self.drafts)?;
                }
                None if self.is_over => return Ok(None),
                None => {
                    self.is_over = true;
                    self.drafts.finish()?;
                }
            }
        }
    }
}
