//! When messages of streams were made: read from the ledger and the rooms, and from their journals after a restart.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::delivery::Class;
use domain::ids::{AccountId, RoomId};
use domain::time::Timestamp;
use storage::Error;
use storage::encoding::{self, Item, RoomItem};
use storage::journal::{JournalKey, Record, Slot, Space};
use uuid::Uuid;

use crate::deadlines::owed::Young;
use crate::ledger::Ledger;
use crate::rooms::chat::Chat;

/// What deadlines must know of streams.
#[async_trait]
pub trait Calendar: Send + Sync + 'static {
    /// The last durable offset of a stream.
    async fn head(&self, class: Class, stream: Uuid) -> Result<u64, Error>;

    /// Messages after an offset and when each was made, in order, at most `limit`. The first may lie further on where
    /// retention has taken what was before.
    async fn times(&self, class: Class, stream: Uuid, after: u64, limit: usize)
    -> Result<Vec<(u64, Timestamp)>, Error>;

    /// Durable records of a journal from a slot on, until about `bytes_max` of payload; empty at the end.
    async fn records(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<Record>, Error>;

    /// A slot of a journal up to which nothing is to be looked at in a store that was never looked at.
    fn start(&self, key: JournalKey) -> Slot;
}

/// A node's own.
pub struct NodeCalendar {
    /// The accounts.
    pub ledger: Ledger,
    /// The rooms.
    pub chat: Chat,
}

#[async_trait]
impl Calendar for NodeCalendar {
    async fn head(&self, class: Class, stream: Uuid) -> Result<u64, Error> {
        match class {
            Class::Money => {
                let account = self.ledger.account(AccountId(stream)).await;
                account.map(|account| account.head).map_err(|error| Error::Unavailable(error.to_string()))
            }
            Class::Notice | Class::Chat => self.chat.head(RoomId(stream)).await,
        }
    }

    async fn times(
        &self,
        class: Class,
        stream: Uuid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Timestamp)>, Error> {
        Ok(match class {
            Class::Money => {
                let events = self.ledger.events_after(AccountId(stream), after, limit).await?;
                events.iter().map(|event| (event.offset, event.meta.at)).collect()
            }
            Class::Notice | Class::Chat => {
                let events = self.chat.events_after(RoomId(stream), after, limit).await?;
                events.iter().map(|event| (event.offset, event.meta.at)).collect()
            }
        })
    }

    async fn records(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<Record>, Error> {
        let journal = match key.space {
            Space::Ledger => &self.ledger.node().stores.journal,
            Space::Rooms => &self.chat.hall().stores.journal,
        };
        let stored = journal.read(key, from, bytes_max).await?;
        Ok(stored.into_iter().map(|stored| stored.record).collect())
    }

    fn start(&self, key: JournalKey) -> Slot {
        match key.space {
            Space::Ledger => self.ledger.node().projected(key.shard),
            Space::Rooms => self.chat.hall().projected(key.shard),
        }
    }
}

/// The messages in records of one journal, a stream each.
pub(super) fn messages(records: &[Record]) -> Result<HashMap<Uuid, Young>, Error> {
    let mut found: HashMap<Uuid, Young> = HashMap::new();
    let mut add = |stream, offset, at| {
        let new = Young { first: offset, at, last: offset };
        found.entry(stream).and_modify(|young| young.join(new)).or_insert(new);
    };
    for record in records {
        match record.key.space {
            Space::Ledger => {
                for (_, item) in encoding::read(&record.payload)? {
                    if let Item::Event(event) = item {
                        add(event.account.0, event.offset, event.meta.at);
                    }
                }
            }
            Space::Rooms => {
                for (_, item) in encoding::read_items::<RoomItem>(&record.payload)? {
                    if let RoomItem::Event(event) = item {
                        add(event.room.0, event.offset, event.meta.at);
                    }
                }
            }
        }
    }
    Ok(found)
}
