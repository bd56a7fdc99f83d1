//! The way to the ledger: from an account's id to its shard, with what is read from views beside.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{AccountId, HoldId, OperationId, ShardId, TransferId};
use domain::ledger::{Account, Change, Command, Event, Origin, Suspended};
use storage::encoding;
use storage::journal::Slot;
use storage::views::Table;
use tokio::sync::oneshot;

use crate::account::AccountMessage;
use crate::account::facts::event_at;
use crate::call::{CommandError, Effect, Status};
use crate::node::Node;
use crate::projector::cells::{self, HoldRow, Pointer};
use crate::shard::core::Shared;
use crate::shard::{ShardMessage, SuspenseAction, SuspenseError};

#[cfg(feature = "simulation")]
mod faults;

/// When a caller whose shard is not open should come back.
const RETRY_LATER: Duration = Duration::from_secs(1);

/// The deadline of a command from the moment it is handed over. Longer than any patience; past it
/// nobody knows.
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// The way to the accounts of a node.
#[derive(Clone)]
pub struct Ledger {
    node: Arc<Node>,
}

/// Where a reader of an account's history stands.
#[derive(Clone, Debug)]
pub struct ReadPoint {
    /// The account as of its last durable event.
    pub account: Arc<Account>,
    /// Its transfers that are not known to be with their payees.
    pub pending: Vec<TransferId>,
    /// Its last durable events, in order, where views do not have them in time.
    pub unapplied: Vec<Arc<Event>>,
}

/// A transfer as its deciding side has it.
#[derive(Clone, Debug)]
pub struct TransferRead {
    /// The event of the paying side.
    pub event: Arc<Event>,
    /// How far it is.
    pub status: Status,
}

impl Ledger {
    /// The way to the accounts of `node`.
    pub const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// The node.
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Has an account decide a command, and answers when what it decided is durable: for a transfer on
    /// both sides, or after the configured patience as pending.
    ///
    /// Not undone by dropping the future: what was handed over is decided.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if the shard or the account failed meanwhile. All others: nothing
    /// happened.
    pub async fn submit(&self, account: AccountId, command: Command) -> Result<Effect, CommandError> {
        let shared = self.shared(account)?;
        let command = Box::new(command);
        let answer = shared.command(account, |reply| AccountMessage::Command { command, reply })?;
        match tokio::time::timeout(COMMAND_DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(CommandError::Unknown),
        }
    }

    /// The account as of its last durable event.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open or the store does not answer.
    pub async fn account(&self, account: AccountId) -> Result<Arc<Account>, CommandError> {
        let shared = self.shared(account)?;
        self.durable(&shared, account).await
    }

    async fn durable(&self, shared: &Arc<Shared>, account: AccountId) -> Result<Arc<Account>, CommandError> {
        crate::shard::durable(shared, account).await.map_err(|error| {
            tracing::error!(%error, %account, "an account cannot be read");
            CommandError::Busy { retry_after: RETRY_LATER }
        })
    }

    /// Waits until views have all durable events of the account, and says where it stands. When they
    /// take too long, the events they lack come along.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open or the store does not answer.
    pub async fn read_point(&self, account: AccountId) -> Result<ReadPoint, CommandError> {
        let shared = self.shared(account)?;
        let last = shared.last_slot(account);
        let state = self.durable(&shared, account).await?;
        let pending = shared.channels.lock().transfers_of(account);
        let mut unapplied = Vec::new();
        if let Some(last) = last
            && !self.projected(&shared, last).await
        {
            let events = shared.tail_events(account, 0).0;
            unapplied = events.into_iter().filter(|event| event.offset <= state.head).collect();
        }
        Ok(ReadPoint { account: state, pending, unapplied })
    }

    /// Waits until views have a record, but not for long.
    async fn projected(&self, shared: &Shared, slot: Slot) -> bool {
        let mut position = shared.position_changes();
        if *position.borrow() >= slot {
            return true;
        }
        shared.project_soon();
        let patience = Duration::from_millis(self.node.config.read_own_write_ms);
        let waited = tokio::time::timeout(patience, position.wait_for(|position| *position >= slot)).await;
        matches!(waited, Ok(Ok(_)))
    }

    /// Events of an account with `offset < before`, newest first, at most `limit`, as views have them.
    ///
    /// # Errors
    /// The store does not answer, or is damaged.
    pub async fn events_before(
        &self,
        account: AccountId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, storage::Error> {
        let rows = self.node.stores.views.events_before(account.0, before, limit).await?;
        rows.iter().map(|row| encoding::read_event(&row.bytes)).collect()
    }

    /// Events of an account with `offset > after`, in order, at most `limit`: from views, and from the
    /// tail what views do not have.
    ///
    /// # Errors
    /// The store does not answer, or is damaged.
    pub async fn events_after(
        &self,
        account: AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, storage::Error> {
        let unavailable = || storage::Error::Unavailable("the shard is not open".into());
        let shared = self.node.shard(self.node.shard_of(account)).ok_or_else(unavailable)?;
        // The tail first: what leaves it meanwhile is in the views that are read later.
        let (tail, _) = shared.tail_events(account, after);
        let rows = self.node.stores.views.events_after(account.0, after, limit).await?;
        let mut events = rows.iter().map(|row| encoding::read_event(&row.bytes)).collect::<Result<Vec<_>, _>>()?;
        // Rows come to views one by one where a batch is not one write: what the tail has is taken from
        // there, and of what came after it was read, no more than follows without a gap.
        if let Some(first) = tail.first() {
            events.retain(|event| event.offset < first.offset);
        }
        events.extend(tail);
        let dense =
            (after.saturating_add(1)..).zip(&events).take_while(|(offset, event)| event.offset == *offset).count();
        events.truncate(dense.min(limit));
        Ok(events)
    }

    /// The offset of an account's entry, as views have it.
    ///
    /// # Errors
    /// The store does not answer, or is damaged.
    pub async fn offset_of_entry(&self, account: AccountId, entry: u64) -> Result<Option<u64>, storage::Error> {
        self.node.stores.views.offset_of_entry(account.0, entry).await
    }

    /// What an id stands for: the event of a transfer's deciding side, and how far it is.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open or the store does not answer.
    pub async fn transfer(&self, transfer: TransferId) -> Result<Option<TransferRead>, CommandError> {
        let shared = self.shard(transfer.route().shard(self.node.shards))?;
        let read = async {
            loop {
                let as_of = shared.as_of();
                let past = match self.node.stores.views.cell(Table::Transfers, transfer.0, cells::EFFECT).await? {
                    Some(cell) => event_at(&shared, encoding::read_state::<Pointer>(&cell)?).await?,
                    None => None,
                };
                let returned =
                    self.node.stores.views.cell(Table::Transfers, transfer.0, cells::RETURNED).await?.is_some();
                let joined = shared.join(as_of.slot, |index| {
                    (index.effect(transfer.0).or_else(|| past.clone()), returned || index.is_returned(transfer))
                });
                if let Some(joined) = joined {
                    return Ok::<_, storage::Error>(joined);
                }
            }
        };
        let (event, returned) = read.await.map_err(|error| unavailable(&error))?;
        // The id of a hold stands for no transfer.
        let event = event.filter(|event| event.change.movement().is_some());
        Ok(event.map(|event| {
            let on_its_way = match &event.change {
                Change::Debited { channel, .. } => shared.channels.lock().is_on_its_way(*channel),
                _ => false,
            };
            let status = match (returned, on_its_way) {
                (true, _) => Status::Returned,
                (false, true) => Status::Pending,
                (false, false) => Status::Completed,
            };
            TransferRead { event, status }
        }))
    }

    /// The credit of a transfer to an account.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open or the store does not answer.
    pub async fn credit(&self, transfer: TransferId, account: AccountId) -> Result<Option<Arc<Event>>, CommandError> {
        let shared = self.shared(account)?;
        loop {
            let as_of = shared.as_of();
            let read = async {
                match self.node.stores.views.cell(Table::Transfers, transfer.0, cells::CREDIT).await? {
                    Some(cell) => event_at(&shared, encoding::read_state::<Pointer>(&cell)?).await,
                    None => Ok(None),
                }
            };
            let past = read.await.map_err(|error| unavailable(&error))?.filter(|event| event.account == account);
            if let Some(event) = shared.join(as_of.slot, |index| index.credit(transfer, account)) {
                return Ok(event.or(past));
            }
        }
    }

    /// How much of a credit to `account` was given back, as views have it.
    ///
    /// # Errors
    /// The store does not answer, or is damaged.
    pub async fn refunded(&self, transfer: TransferId) -> Result<domain::money::Minor, storage::Error> {
        let cell = self.node.stores.views.cell(Table::Transfers, transfer.0, cells::REFUNDED).await?;
        Ok(cell.map(|cell| encoding::read_state::<cells::Refunded>(&cell)).transpose()?.unwrap_or_default().sum)
    }

    /// The account that a hold is on.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open or the store does not answer.
    pub async fn account_of_hold(&self, hold: HoldId) -> Result<Option<AccountId>, CommandError> {
        let shared = self.shard(hold.route().shard(self.node.shards))?;
        loop {
            let as_of = shared.as_of();
            let row = self.hold_row(hold).await.map_err(|error| unavailable(&error))?;
            if let Some(event) = shared.join(as_of.slot, |index| index.effect(hold.0)) {
                return Ok(event.map(|event| event.account).or(row.map(|row| row.payer.account)));
            }
        }
    }

    /// A hold as it stands in the views, once they have all that its account did.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open or the store does not answer.
    pub async fn hold(&self, hold: HoldId) -> Result<Option<HoldRow>, CommandError> {
        let Some(account) = self.account_of_hold(hold).await? else { return Ok(None) };
        self.read_point(account).await?;
        self.hold_row(hold).await.map_err(|error| unavailable(&error))
    }

    async fn hold_row(&self, hold: HoldId) -> Result<Option<HoldRow>, storage::Error> {
        let cell = self.node.stores.views.cell(Table::Holds, hold.0, &[]).await?;
        cell.map(|cell| encoding::read_state(&cell)).transpose()
    }

    /// Holds of an account as payer or payee, newest first, after the sort key of the last one seen.
    ///
    /// # Errors
    /// The store does not answer, or is damaged.
    pub async fn holds_of(
        &self,
        account: AccountId,
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, HoldRow)>, storage::Error> {
        let mut holds = Vec::new();
        for (sort, cell) in self.node.stores.views.cells(Table::HoldsOfAccount, account.0, after, limit).await? {
            if let Some(row) = self.hold_row(encoding::read_state(&cell)?).await? {
                holds.push((sort, row));
            }
        }
        Ok(holds)
    }

    /// All that rests in suspense, on all shards of this node.
    ///
    /// # Errors
    /// A shard is not open.
    pub async fn suspense(&self) -> Result<Vec<Suspended>, SuspenseError> {
        let mut all = Vec::new();
        for shard in self.node.shards.shards() {
            all.extend(self.ask_suspense(shard, SuspenseAction::List).await?);
        }
        Ok(all)
    }

    /// Offers a credit in suspense to its payee again.
    ///
    /// # Errors
    /// See [`SuspenseError`].
    pub async fn release_suspense(&self, transfer: TransferId, origin: Origin) -> Result<Suspended, SuspenseError> {
        self.resolve_suspense(transfer, |transfer| SuspenseAction::Release { transfer, origin: origin.clone() }).await
    }

    /// Sends a credit in suspense back to its payer.
    ///
    /// # Errors
    /// See [`SuspenseError`].
    pub async fn return_suspense(&self, transfer: TransferId, origin: Origin) -> Result<Suspended, SuspenseError> {
        self.resolve_suspense(transfer, |transfer| SuspenseAction::Return { transfer, origin: origin.clone() }).await
    }

    /// A credit rests on its payee's shard, which its id does not tell: each is asked.
    async fn resolve_suspense(
        &self,
        transfer: TransferId,
        action: impl Fn(TransferId) -> SuspenseAction,
    ) -> Result<Suspended, SuspenseError> {
        for shard in self.node.shards.shards() {
            match self.ask_suspense(shard, action(transfer)).await {
                Err(SuspenseError::NotFound) => {}
                other => return other.and_then(|mut found| found.pop().ok_or(SuspenseError::NotFound)),
            }
        }
        Err(SuspenseError::NotFound)
    }

    async fn ask_suspense(&self, shard: ShardId, action: SuspenseAction) -> Result<Vec<Suspended>, SuspenseError> {
        let shared = self.shard(shard).map_err(|_| SuspenseError::Unavailable)?;
        let (reply, answer) = oneshot::channel();
        shared.actor.cast(ShardMessage::Suspense { action, reply }).ok();
        let answered = tokio::time::timeout(COMMAND_DEADLINE, answer).await;
        answered.ok().and_then(Result::ok).unwrap_or(Err(SuspenseError::Unavailable))
    }

    /// Ends an account's quarantine. Answers whether it was in one.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if its shard is not open.
    pub async fn end_quarantine(&self, account: AccountId, origin: Origin) -> Result<bool, CommandError> {
        let shared = self.shared(account)?;
        let (reply, answer) = oneshot::channel();
        shared.actor.cast(ShardMessage::EndQuarantine { account, origin, reply }).ok();
        let answered = tokio::time::timeout(COMMAND_DEADLINE, answer).await;
        answered.ok().and_then(Result::ok).ok_or(CommandError::Busy { retry_after: RETRY_LATER })
    }

    /// The durable state of a shard and the slot that it is of.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if it is not open.
    pub async fn inspect(&self, shard: ShardId) -> Result<(Slot, Box<domain::ledger::Shard>), CommandError> {
        let shared = self.shard(shard)?;
        let (reply, answer) = oneshot::channel();
        shared.actor.cast(ShardMessage::Inspect { reply }).ok();
        let answered = tokio::time::timeout(COMMAND_DEADLINE, answer).await;
        answered.ok().and_then(Result::ok).ok_or(CommandError::Busy { retry_after: RETRY_LATER })
    }

    fn shared(&self, account: AccountId) -> Result<Arc<Shared>, CommandError> {
        self.shard(self.node.shard_of(account))
    }

    fn shard(&self, shard: ShardId) -> Result<Arc<Shared>, CommandError> {
        self.node.shard(shard).ok_or(CommandError::Busy { retry_after: RETRY_LATER })
    }
}

/// What a reader is told when a store does not answer.
fn unavailable(error: &storage::Error) -> CommandError {
    tracing::error!(%error, "the views cannot be read");
    CommandError::Busy { retry_after: RETRY_LATER }
}

/// Where something comes from that the platform does by itself.
pub fn system_origin(operation: OperationId) -> Origin {
    Origin { operation, by: domain::ledger::By::SYSTEM, trace: None }
}
