//! How many credits are in transit between shards: given and not booked.

use storage::Error;
use storage::encoding::{self, Item};
use storage::journal::StoredRecord;

use domain::ledger::{Change, Resolution, ShardEvent};

/// What channels gave and booked. Which of them is in transit does not matter here.
#[derive(Debug, Default)]
pub(super) struct Transit {
    given: u64,
    booked: u64,
}

impl Transit {
    /// Takes a record of the ledger.
    pub(super) fn take(&mut self, stored: &StoredRecord) -> Result<(), Error> {
        for (_, item) in encoding::read(&stored.record.payload)? {
            let (given, booked) = match &item {
                Item::Event(event) => match &event.change {
                    Change::Debited { .. } => (1, 0),
                    Change::Credited { .. } => (0, 1),
                    _ => (0, 0),
                },
                Item::Shard(event) => match &**event {
                    ShardEvent::Diverted { returned, .. } => (u64::from(returned.is_some()), 1),
                    ShardEvent::SuspenseResolved { resolution, .. } => match resolution {
                        Resolution::Released { .. } | Resolution::Returned(_) => (1, 0),
                    },
                    _ => (0, 0),
                },
            };
            self.given = self.given.saturating_add(given);
            self.booked = self.booked.saturating_add(booked);
        }
        Ok(())
    }

    /// How many.
    pub(super) const fn credits(&self) -> u64 {
        self.given.saturating_sub(self.booked)
    }
}
