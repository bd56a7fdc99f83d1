//! The rows that a shard's records found in the views: a pure function of the records and of the rows
//! before them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::{AccountId, HoldId, TransferId};
use domain::ledger::{self, Account, Change, Event, Party, Purpose};
use domain::time::Timestamp;
use foldhash::HashMap;
use storage::Error;
use storage::encoding::{self, Item, Span};
use storage::journal::{Hash, JournalKey, Slot};
use storage::views::{Batch, Cell, Checkpoint, EventRow, Position, Table, Views};
use uuid::Uuid;

use crate::projector::cells::{self, HoldOutcome, HoldRow, Pointer, Refunded, hold_sort};
use crate::shard::core::Shared;
use crate::shard::tail::TailRecord;

/// A batch of rows in the making.
pub(crate) struct Rows<'a> {
    views: &'a dyn Views,
    /// The shard, where it is alive: it has the tail, and it waits for views that do not answer.
    live: Option<&'a Shared>,
    key: JournalKey,
    events: Vec<EventRow>,
    accounts: HashMap<AccountId, Arc<Account>>,
    cells: BTreeMap<(u8, Uuid, Vec<u8>), Cell>,
    last: Option<(Slot, Hash, Timestamp, u64)>,
}

impl<'a> Rows<'a> {
    /// No rows yet.
    pub(crate) fn new(views: &'a dyn Views, key: JournalKey) -> Self {
        let (accounts, cells) = (HashMap::default(), BTreeMap::new());
        Self { views, live: None, key, events: Vec::new(), accounts, cells, last: None }
    }

    /// No rows yet of a shard that is alive.
    pub(crate) fn live(shared: &'a Shared) -> Self {
        Self { live: Some(shared), ..Self::new(&*shared.node.stores.views, shared.key()) }
    }

    /// Adds the rows of the next record.
    pub(crate) async fn record(&mut self, record: &TailRecord) -> Result<(), Error> {
        let mut touched: BTreeMap<AccountId, Vec<(Span, &Arc<Event>)>> = BTreeMap::new();
        for (span, item) in &record.items {
            if let Item::Event(event) = item {
                touched.entry(event.account).or_default().push((*span, event));
                self.index(event).await?;
            }
        }
        for (account, events) in touched {
            let known = record.accounts.iter().find(|known| known.id == account).cloned();
            let state = match known {
                Some(state) => state,
                None => self.fold(account, &events).await?,
            };
            self.rows(record, &state, &events);
            self.accounts.insert(account, state);
        }
        self.last = Some((record.slot, record.hash, record.at, record.term));
        Ok(())
    }

    /// The account after the events, from the batch so far or from its checkpoint.
    async fn fold(&self, account: AccountId, events: &[(Span, &Arc<Event>)]) -> Result<Arc<Account>, Error> {
        let mut state = match self.accounts.get(&account) {
            Some(state) => (**state).clone(),
            None => match self.patiently(|| self.views.checkpoint(account.0)).await? {
                Some(checkpoint) => encoding::read_state(&checkpoint.state)?,
                None => Account::new(account),
            },
        };
        // An event at or below the checkpoint's head is in it already; the shard's own state took it all
        // the same.
        let head = state.head;
        for (_, event) in events.iter().filter(|(_, event)| event.offset > head) {
            state.apply(event).map_err(|broken| Error::Unknown(broken.to_string()))?;
        }
        Ok(Arc::new(state))
    }

    /// Reads from views. A shard that is alive waits for them: its tail is bounded, and to fail would
    /// only have it read them again.
    async fn patiently<T, F: Future<Output = Result<T, Error>>>(&self, read: impl Fn() -> F) -> Result<T, Error> {
        loop {
            match read().await {
                Err(Error::Unavailable(why)) if self.live.is_some() => {
                    tracing::error!(why, shard = %self.key.shard, "views cannot be read");
                    tokio::time::sleep(super::RETRY).await;
                }
                read => return read,
            }
        }
    }

    /// How many entries the account had after `offset`. Its state may be of a later event: a batch of
    /// the ownership before may have come to the views after this one had read its position.
    fn entries_after(&self, state: &Account, offset: u64) -> u64 {
        let later = self.live.filter(|_| state.head > offset).map(|shared| shared.tail_events(state.id, offset).0);
        let mut later = later.iter().flatten().take_while(|event| event.offset <= state.head);
        let next = later.find_map(|event| event.change.movement());
        next.map_or(state.entries, |movement| movement.entry.number.saturating_sub(1))
    }

    /// One row an event, with the number of entries up to it: counted back from the state after them.
    fn rows(&mut self, record: &TailRecord, state: &Account, events: &[(Span, &Arc<Event>)]) {
        let mut entries = self.entries_after(state, events.last().map_or(0, |(_, event)| event.offset));
        for (span, event) in events.iter().rev() {
            let start = usize::try_from(span.at).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(span.len).unwrap_or(usize::MAX));
            self.events.push(EventRow {
                stream: event.account.0,
                offset: event.offset,
                entries: event.change.movement().map_or(entries, |movement| movement.entry.number),
                place: record.place,
                at: span.at,
                bytes: record.payload.slice(start.min(record.payload.len())..end.min(record.payload.len())),
            });
            if let Some(movement) = event.change.movement() {
                entries = movement.entry.number.saturating_sub(1);
            }
        }
    }

    /// The cells by which an event is found again.
    async fn index(&mut self, event: &Arc<Event>) -> Result<(), Error> {
        let here = Pointer { account: event.account, offset: event.offset };
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } => {
                self.put(Table::Transfers, movement.transfer.0, cells::EFFECT, &here)?;
            }
            Change::Debited { movement, purpose, .. } => {
                self.put(Table::Transfers, movement.transfer.0, cells::EFFECT, &here)?;
                match purpose {
                    Purpose::Refund { of } => self.refund(*of, event.offset, movement.entry.amount).await?,
                    Purpose::Capture { hold, .. } => {
                        let outcome =
                            HoldOutcome::Captured { transfer: movement.transfer, amount: movement.entry.amount };
                        self.resolve(*hold, outcome).await?;
                    }
                    Purpose::Transfer | Purpose::Return { .. } => {}
                }
            }
            Change::Credited { movement, purpose, .. } => {
                self.put(Table::Transfers, movement.transfer.0, cells::CREDIT, &here)?;
                if let Purpose::Return { of, refund_of } = purpose {
                    self.put(Table::Transfers, of.0, cells::RETURNED, &here)?;
                    // A refund that came back was none.
                    if let (Some(of), Some(back)) = (refund_of, movement.entry.amount.negated()) {
                        self.refund(*of, event.offset, back).await?;
                    }
                }
            }
            Change::Held { hold, amount, owner, payee, expires_at, note, currency, .. } => {
                let row = HoldRow {
                    hold: *hold,
                    payer: Party { user: *owner, account: event.account },
                    payee: *payee,
                    amount: *amount,
                    currency: *currency,
                    offset: event.offset,
                    created_at: event.meta.at,
                    expires_at: *expires_at,
                    outcome: HoldOutcome::Held,
                    note: note.clone(),
                };
                let sort = hold_sort(row.created_at, *hold);
                self.put(Table::Transfers, hold.0, cells::EFFECT, &here)?;
                self.put(Table::HoldsOfAccount, event.account.0, &sort, hold)?;
                self.put(Table::HoldsOfAccount, payee.account.0, &sort, hold)?;
                self.put(Table::Holds, hold.0, &[], &row)?;
            }
            Change::Released { hold, cause, .. } => self.resolve(*hold, HoldOutcome::Released(*cause)).await?,
            _ => {}
        }
        Ok(())
    }

    async fn refund(&mut self, of: TransferId, offset: u64, amount: domain::money::Minor) -> Result<(), Error> {
        let mut refunded: Refunded = self.get(Table::Transfers, of.0, cells::REFUNDED).await?.unwrap_or_default();
        if offset > refunded.through {
            refunded.sum = refunded.sum.plus(amount).ok_or_else(|| Error::Unknown("refunds overflow".into()))?;
            refunded.through = offset;
        }
        self.put(Table::Transfers, of.0, cells::REFUNDED, &refunded)
    }

    async fn resolve(&mut self, hold: HoldId, outcome: HoldOutcome) -> Result<(), Error> {
        let row: Option<HoldRow> = self.get(Table::Holds, hold.0, &[]).await?;
        let row = row.ok_or_else(|| Error::Unknown(format!("hold {hold} is resolved and was never made")))?;
        self.put(Table::Holds, hold.0, &[], &HoldRow { outcome, ..row })
    }

    /// A cell as it is after the batch so far.
    async fn get<T: for<'de> serde::Deserialize<'de>>(
        &self,
        table: Table,
        partition: Uuid,
        sort: &[u8],
    ) -> Result<Option<T>, Error> {
        let value = match self.cells.get(&(table.number(), partition, sort.to_vec())) {
            Some(cell) => Some(cell.value.clone()),
            None => self.patiently(|| self.views.cell(table, partition, sort)).await?,
        };
        value.map(|value| encoding::read_state(&value)).transpose()
    }

    fn put<T: serde::Serialize>(&mut self, table: Table, partition: Uuid, sort: &[u8], value: &T) -> Result<(), Error> {
        let cell = Cell { table, partition, sort: sort.to_vec(), value: encoding::state(value)? };
        self.cells.insert((table.number(), partition, sort.to_vec()), cell);
        Ok(())
    }

    /// The batch, with the position after it: the shard's fold as of the last record.
    pub(crate) fn finish(self, ledger: &ledger::Shard) -> Result<Batch, Error> {
        let (through, hash, at, term) = self.last.ok_or_else(|| Error::Unknown("a projection of nothing".into()))?;
        let mut checkpoints = Vec::with_capacity(self.accounts.len());
        for account in self.accounts.values() {
            checkpoints.push(Checkpoint {
                entity: account.id.0,
                head: account.head,
                at,
                state: encoding::state(&**account)?,
            });
        }
        checkpoints.sort_unstable_by_key(|checkpoint| checkpoint.entity);
        let state: Bytes = encoding::state(ledger)?;
        Ok(Batch {
            key: self.key,
            events: self.events,
            checkpoints,
            cells: self.cells.into_values().collect(),
            position: Position { through, hash, at, term, state },
        })
    }
}
