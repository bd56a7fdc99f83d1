//! Money, carried: the rules of `domain`, with the numbers of credits in a file.

use std::path::Path;
use std::sync::Arc;

use domain::ledger::ShardEvent;
use domain::ledger::resharding::{Numbering, Renumbering};
use domain::ledger::shard::Broken;
use storage::Error;
use storage::encoding::{self, Item};
use storage::journal::Record;

use super::Carry;
use super::drafts::{Drafts, Source};
use super::numbers::Numbers;
use super::order::Order;
use super::survey::{Survey, misfit};
use crate::command::output::Output;
use crate::node::stores::Progress;

/// How often numbering says how far it is, in records.
const PROGRESS_RECORDS: u64 = 256;

/// Carries records of the ledger.
pub(super) struct LedgerCarry {
    renumbering: Renumbering,
    numbers: Numbers,
}

/// Why an event could not be carried.
enum Failed {
    Broken(Broken),
    Numbers(Error),
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Failed {
    fn at(self, record: &Record) -> Error {
        match self {
            Self::Broken(broken) => misfit(record, &broken.to_string()),
            Self::Numbers(Error::Unknown(what)) => misfit(record, &what),
            Self::Numbers(error) => error,
        }
    }
}

impl LedgerCarry {
    /// Reads all records in their order, and numbers what they give.
    pub(super) fn number(survey: &Survey, order: &Order, path: &Path, out: &Output) -> Result<Self, Error> {
        let numbers = Numbers::make(path, survey.given())?;
        let mut numbering = Numbering::new(survey.to());
        let mut merge = order.merge()?;
        while let Some(record) = merge.next()? {
            let home = record.key.shard;
            for (_, item) in encoding::read(&record.payload)? {
                let number = match &item {
                    Item::Event(event) => numbering.event(home, event),
                    Item::Shard(event) => numbering.own(home, event),
                };
                if let Some((old, new)) = number.map_err(|broken| misfit(&record, &broken.to_string()))? {
                    numbers.put(old, new)?;
                }
            }
            if merge.records().is_multiple_of(PROGRESS_RECORDS) {
                out.progress(Progress { done: merge.records(), of: order.records(), records: merge.records() });
            }
        }
        Ok(Self { renumbering: Renumbering::new(survey.to()), numbers })
    }

    /// What each new journal begins with.
    pub(super) fn began(term: u64) -> Item {
        Item::Shard(Arc::new(ShardEvent::TermBegan { term }))
    }
}

impl Carry for LedgerCarry {
    type Item = Item;

    fn record(&mut self, record: &Record, source: Source, drafts: &mut Drafts<Item>) -> Result<(), Error> {
        let home = record.key.shard;
        let numbers = |old| self.numbers.get(old).map_err(Failed::Numbers);
        for (_, item) in encoding::read(&record.payload)? {
            match item {
                Item::Event(event) => {
                    let carried = self.renumbering.event(home, &event, numbers);
                    let (shard, event) = carried.map_err(|failed| failed.at(record))?;
                    drafts.push(shard, &Item::Event(event), source)?;
                }
                Item::Shard(event) => {
                    let carried = self.renumbering.own(home, &event, numbers);
                    for (shard, event) in carried.map_err(|failed| failed.at(record))? {
                        drafts.push(shard, &Item::Shard(Arc::new(event)), source)?;
                    }
                }
            }
        }
        Ok(())
    }
}
