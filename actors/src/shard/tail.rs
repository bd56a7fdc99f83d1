//! The durable records of a shard that views do not have yet.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::AccountId;
use domain::ledger::{Account, Event};
use domain::time::Timestamp;
use foldhash::HashMap;
use storage::encoding::{Item, Span};
use storage::journal::{Hash, Place, Slot};

/// One durable record.
#[derive(Clone, Debug)]
pub(crate) struct TailRecord {
    /// Its slot.
    pub slot: Slot,
    /// Its stamp.
    pub at: Timestamp,
    /// Its hash.
    pub hash: Hash,
    /// Its term.
    pub term: u64,
    /// Where the journal keeps it.
    pub place: Place,
    /// Its encoded items.
    pub payload: Bytes,
    /// Its items and where each stands in the payload.
    pub items: Vec<(Span, Item)>,
    /// Accounts as they are after it, those that are known without reading.
    pub accounts: Vec<Arc<Account>>,
}

impl TailRecord {
    /// Its events of accounts.
    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.items.iter().filter_map(|(_, item)| match item {
            Item::Event(event) => Some(event),
            Item::Shard(_) => None,
        })
    }
}

/// How an account stands in the tail.
#[derive(Default)]
struct Touched {
    /// How many records have events of it.
    records: u32,
    /// The account after the last of them, if it is known without reading.
    latest: Option<Arc<Account>>,
}

/// Durable records after the position, with what is known of the accounts in them.
#[derive(Default)]
pub(crate) struct Tail {
    records: VecDeque<Arc<TailRecord>>,
    bytes: usize,
    touched: HashMap<AccountId, Touched>,
    through: Slot,
    /// How many of the first records views have already, and their bytes: they stay for who is reading.
    projected: usize,
    projected_bytes: usize,
}

impl Tail {
    /// An empty tail after the position `through`.
    pub(crate) fn after(through: Slot) -> Self {
        Self { through, ..Self::default() }
    }

    /// The slot of the position: facts read from views are true there, or later.
    pub(crate) const fn through(&self) -> Slot {
        self.through
    }

    /// Bytes of payload.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds the next durable record.
    pub(crate) fn push(&mut self, record: TailRecord) {
        for account in accounts_of(&record) {
            let touched = self.touched.entry(account).or_default();
            touched.records += 1;
            touched.latest = None;
        }
        for account in &record.accounts {
            if let Some(touched) = self.touched.get_mut(&account.id) {
                touched.latest = Some(Arc::clone(account));
            }
        }
        self.bytes += record.payload.len();
        self.records.push_back(Arc::new(record));
    }

    /// Views have all up to `through`.
    pub(crate) fn project(&mut self, through: Slot) {
        while let Some(record) = self.records.get(self.projected).filter(|record| record.slot <= through) {
            self.projected_bytes += record.payload.len();
            self.projected += 1;
        }
    }

    /// Records that views do not have: their bytes, how many, and the oldest.
    pub(crate) fn unprojected(&self) -> (usize, usize, Option<&Arc<TailRecord>>) {
        let (bytes, len) = (self.bytes - self.projected_bytes, self.records.len() - self.projected);
        (bytes, len, self.records.get(self.projected))
    }

    /// Records up to `through`, which views have, go and are answered.
    pub(crate) fn trim(&mut self, through: Slot) -> Vec<Arc<TailRecord>> {
        let mut gone = Vec::new();
        while let Some(record) = self.records.pop_front_if(|record| record.slot <= through) {
            self.bytes -= record.payload.len();
            if self.projected > 0 {
                self.projected -= 1;
                self.projected_bytes -= record.payload.len();
            }
            for account in accounts_of(&record) {
                if let Some(touched) = self.touched.get_mut(&account) {
                    touched.records -= 1;
                    if touched.records == 0 {
                        self.touched.remove(&account);
                    }
                }
            }
            gone.push(record);
        }
        self.through = self.through.max(through);
        gone
    }

    /// The account after its last event in the tail, if that is known without reading.
    pub(crate) fn latest(&self, account: AccountId) -> Option<Arc<Account>> {
        self.touched.get(&account)?.latest.clone()
    }

    /// Remembers an account as of its last event in the tail.
    pub(crate) fn remember(&mut self, account: &Arc<Account>) {
        if let Some(touched) = self.touched.get_mut(&account.id) {
            touched.latest = Some(Arc::clone(account));
        }
    }

    /// The slot of the last record with an event of the account.
    pub(crate) fn last_slot(&self, account: AccountId) -> Option<Slot> {
        self.touched.get(&account)?;
        let has = |record: &&Arc<TailRecord>| record.events().any(|event| event.account == account);
        self.records.iter().rev().find(has).map(|record| record.slot)
    }

    /// The account's events with an offset above `head`, in order.
    pub(crate) fn events(&self, account: AccountId, head: u64) -> Vec<Arc<Event>> {
        if !self.touched.contains_key(&account) {
            return Vec::new();
        }
        (self.records.iter())
            .flat_map(|record| record.events())
            .filter(|event| event.account == account && event.offset > head)
            .cloned()
            .collect()
    }

    /// All records.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<TailRecord>> {
        self.records.iter()
    }

    /// Records that views do not have, from the oldest to the one at `through`.
    pub(crate) fn unprojected_through(&self, through: Slot) -> Vec<Arc<TailRecord>> {
        let wanted = self.records.iter().skip(self.projected).take_while(|record| record.slot <= through);
        wanted.cloned().collect()
    }
}

/// Each account with an event in the record, once.
fn accounts_of(record: &TailRecord) -> Vec<AccountId> {
    let mut accounts: Vec<_> = record.events().map(|event| event.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}
