//! What a shard's actor and its accounts share: the queue, the tail, the index and the directory,
//! under one lock.
//!
//! Decisions do not travel by mail: mail of an actor that fails may arrive after the news of its
//! failure. An account pushes what it decided here before it takes its next message; when its life
//! ends the shard closes the activation under the same lock, and the next life starts from what is
//! queued. So nothing that was decided is ever unknown to who decides next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use domain::ids::{AccountId, ShardId};
use domain::ledger::{Account, Change, ChannelNumber, Event, Now, Party, Resolution, ShardEvent};
use foldhash::{HashMap, HashMapExt as _};
use parking_lot::Mutex;
use ractor::ActorRef;
use storage::encoding::Item;
use storage::journal::{JournalKey, Slot, Space};
use tokio::sync::watch;

use crate::account::AccountMessage;
use crate::call::{CommandError, Effect, Reply, Status};
use crate::clock::ShardClock;
use crate::node::Node;
use crate::shard::ShardMessage;
use crate::shard::channels::Channels;
use crate::shard::directory::{Activation, Delivery, Directory};
use crate::shard::index::Index;
use crate::shard::tail::{Tail, TailRecord};

/// When a caller that was told `busy` should come back.
const RETRY_SOON: Duration = Duration::from_millis(200);

/// One push: what one decision made, until it is durable.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Its place in the order of pushes.
    pub seq: u64,
    /// What happened. Empty where only an answer waits for all that came before.
    pub items: Vec<Item>,
    /// The account after it.
    pub account: Option<Arc<Account>>,
    /// Who waits for it, and for which event.
    pub waiter: Option<Waiter>,
}

/// A caller who is answered when a push is durable.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Where the answer goes.
    pub reply: Reply,
    /// What it is about.
    pub subject: Subject,
}

/// What a caller is told of.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The last event of the push.
    Last,
    /// Nothing happened; the account is as it was.
    Unchanged,
    /// An event of before.
    Replayed {
        /// The event.
        event: Arc<Event>,
        /// Its transfer went back.
        returned: bool,
    },
}

/// A credit's number between receipt and journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    /// An account has it and has not pushed.
    Handed { activation: u64 },
    /// It is queued.
    Queued,
}

/// What is under the lock.
struct Core {
    /// Whether this ownership of the shard takes pushes.
    open: bool,
    queue: VecDeque<Queued>,
    /// How many of the queue's first are in the append in flight.
    taken: usize,
    /// The last push.
    pushed: u64,
    /// A wake is in the shard's mailbox, or an append is in flight.
    awake: bool,
    /// The last number given on each channel, queued ones included.
    numbers: HashMap<ShardId, u64>,
    received: HashMap<ChannelNumber, Received>,
    tail: Tail,
    index: Index,
    /// Views have all up to this.
    projected: Slot,
    /// The slots as of which someone is reading views, and how many are. What came after the oldest of
    /// them stays in the tail and in the index: who reads slowly would start again for ever otherwise.
    readers: BTreeMap<Slot, u32>,
    directory: Directory,
}

/// One ownership of a shard, as its accounts, its projector and the router see it.
pub(crate) struct Shared {
    /// Which shard.
    pub id: ShardId,
    /// The node that it is on.
    pub(crate) node: Arc<Node>,
    /// The shard's own time.
    pub(crate) clock: ShardClock,
    /// The shard's actor.
    pub(crate) actor: ActorRef<ShardMessage>,
    /// The sending ends of the shard's channels.
    pub(crate) channels: Mutex<Channels>,
    /// How many credits rest in suspense.
    pub(crate) suspended: AtomicUsize,
    core: Mutex<Core>,
    /// All pushes up to this are durable.
    durable: AtomicU64,
    position: watch::Sender<Slot>,
}

/// A push was refused: the life that made it has ended, or the shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the activation is closed")]
pub(crate) struct Closed;

/// What an account, or the shard itself, decided.
pub(crate) struct Push {
    /// What happened.
    pub items: Vec<Item>,
    /// The account after it.
    pub account: Option<Arc<Account>>,
    /// Who waits for it.
    pub waiter: Option<Waiter>,
    /// The credit that it answers.
    pub credit: Option<ChannelNumber>,
}

impl Shared {
    /// A shard that has just been opened: nothing is queued.
    pub(crate) fn new(
        id: ShardId,
        node: Arc<Node>,
        clock: ShardClock,
        actor: ActorRef<ShardMessage>,
        tail: Tail,
        numbers: HashMap<ShardId, u64>,
    ) -> Self {
        let mut index = Index::default();
        for record in tail.records() {
            record.events().for_each(|event| index.add(event));
        }
        let position = watch::Sender::new(tail.through());
        node.tail_bytes.fetch_add(tail.bytes(), Ordering::AcqRel);
        let core = Core {
            open: true,
            queue: VecDeque::new(),
            taken: 0,
            pushed: 0,
            awake: false,
            numbers,
            received: HashMap::default(),
            projected: tail.through(),
            readers: BTreeMap::new(),
            tail,
            index,
            directory: Directory::default(),
        };
        Self {
            id,
            node,
            clock,
            actor,
            channels: Mutex::default(),
            suspended: AtomicUsize::new(0),
            core: Mutex::new(core),
            durable: AtomicU64::new(0),
            position,
        }
    }

    /// The shard's journal.
    pub(crate) fn key(&self) -> JournalKey {
        JournalKey { space: Space::Ledger, shard: self.id }
    }

    /// When to come back, if the channel to `peer` takes no new credits now.
    pub(crate) fn stalled(&self, peer: ShardId) -> Option<Duration> {
        let config = &self.node.config;
        self.channels.lock().stalled(peer, config.channel_credits_max, config.channel_stalled())
    }

    /// The time for a decision.
    pub(crate) fn now(&self) -> Now {
        self.node.zone.now(self.clock.tick(self.node.clock.now()))
    }

    // ---- commands and credits on their way in ----------------------------------------------------

    /// Gives a command to its account, with a permit.
    pub(crate) fn command(
        &self,
        account: AccountId,
        message: impl FnOnce(Reply) -> AccountMessage,
    ) -> Result<tokio::sync::oneshot::Receiver<crate::call::Answer>, CommandError> {
        self.admit()?;
        let busy = CommandError::Busy { retry_after: RETRY_SOON };
        let node = Arc::clone(&self.node.commands).try_acquire_owned().map_err(|_| busy)?;
        let places_max = self.node.config.commands_per_account_max;
        let mut receiver = None;
        let mut core = self.core.lock();
        if !core.open {
            return Err(busy);
        }
        if let Some(places) = core.directory.places(account)
            && places.load(Ordering::Acquire) >= places_max
        {
            return Err(busy);
        }
        let delivery = core.directory.deliver(account, |activation| {
            let permit = crate::call::Permit::take(node, &activation.places, places_max);
            let (reply, answer) = Reply::new(permit);
            receiver = Some(answer);
            message(reply)
        });
        drop(core);
        self.activate_if_needed(account, &delivery);
        receiver.ok_or(busy)
    }

    /// Gives mail to an account that needs no permit: reads of its state, timers, the platform's own.
    pub(crate) fn tell(&self, account: AccountId, message: AccountMessage) -> Result<(), CommandError> {
        let mut core = self.core.lock();
        if !core.open {
            return Err(CommandError::Busy { retry_after: RETRY_SOON });
        }
        let delivery = core.directory.deliver(account, |_| message);
        drop(core);
        self.activate_if_needed(account, &delivery);
        Ok(())
    }

    /// Hands a credit to its account, once: a number that is handed or queued is not handed again.
    pub(crate) fn hand(&self, channel: ChannelNumber, credit: Arc<domain::ledger::Credit>) {
        let mut core = self.core.lock();
        let handed = core.received.contains_key(&channel) && !crate::mutant::is(crate::mutant::Mutant::NoHandedState);
        if !core.open || handed {
            return;
        }
        let account = credit.payee.account;
        let delivery = core.directory.deliver(account, |activation| {
            activation.engage();
            AccountMessage::Credit { channel, credit }
        });
        let (Delivery::Delivered(activation) | Delivery::Activate(activation)) = &delivery;
        let number = activation.number;
        core.received.insert(channel, Received::Handed { activation: number });
        drop(core);
        self.activate_if_needed(account, &delivery);
    }

    /// A handed credit is unseen again: its account could do nothing with it.
    pub(crate) fn unhand(&self, channel: ChannelNumber) {
        self.core.lock().received.remove(&channel);
    }

    /// Whether no more credits may rest in suspense.
    pub(crate) fn suspense_is_full(&self) -> bool {
        self.suspended.load(Ordering::Acquire) >= domain::ledger::shard::SUSPENSE_MAX
    }

    /// Whether a credit is handed or queued.
    pub(crate) fn is_received(&self, channel: ChannelNumber) -> bool {
        self.core.lock().received.contains_key(&channel)
    }

    fn activate_if_needed(&self, account: AccountId, delivery: &Delivery) {
        if let Delivery::Activate(_) = delivery {
            // A shard that has stopped takes its entities with it; callers hear that nobody answered.
            self.actor.cast(ShardMessage::Activate { account }).ok();
        }
    }

    /// Whether new commands are let in: the tail has room, the disk has room.
    fn admit(&self) -> Result<(), CommandError> {
        if !self.node.stores.journal.has_room() {
            return Err(CommandError::ReadOnly);
        }
        let config = &self.node.config;
        let core = self.core.lock();
        let full =
            core.tail.bytes() >= config.tail_bytes_max / 4 * 3 || core.tail.len() >= config.tail_records_max / 4 * 3;
        drop(core);
        let node_full = self.node.tail_bytes.load(Ordering::Acquire) >= config.tail_bytes_node_max / 4 * 3;
        if full || node_full { Err(CommandError::Busy { retry_after: RETRY_SOON }) } else { Ok(()) }
    }

    // ---- decisions on their way to the journal -----------------------------------------------------

    /// Queues what a life decided, and numbers the credits in it. Answers the push's place.
    pub(crate) fn push(&self, activation: &Activation, push: Push) -> Result<u64, Closed> {
        #[cfg(feature = "simulation")]
        if crate::mutant::is(crate::mutant::Mutant::DecisionsByMail) {
            return Ok(self.mail_push(activation, push));
        }
        let mut core = self.core.lock();
        if !activation.is_open() || !core.open {
            return Err(Closed);
        }
        let seq = core.queue(push);
        activation.pushed(seq);
        self.wake(core);
        Ok(seq)
    }

    /// A mutant: sends what a life decided by mail, and guesses its place.
    #[cfg(feature = "simulation")]
    fn mail_push(&self, activation: &Activation, push: Push) -> u64 {
        let seq = self.core.lock().pushed + 1;
        activation.pushed(seq);
        self.actor.cast(ShardMessage::Decided { push: crate::shard::MailedPush(push) }).ok();
        seq
    }

    /// Queues what the shard itself decided.
    pub(crate) fn push_own(&self, push: Push) -> Result<(), Closed> {
        let mut core = self.core.lock();
        if !core.open {
            return Err(Closed);
        }
        core.queue(push);
        self.wake(core);
        Ok(())
    }

    fn wake(&self, mut core: parking_lot::MutexGuard<'_, Core>) {
        let sleeping = !core.awake;
        core.awake = true;
        drop(core);
        if sleeping {
            self.actor.cast(ShardMessage::Append).ok();
        }
    }

    /// The next pushes to append, at most `most`. They stay queued until they are durable.
    pub(crate) fn take(&self, most: usize) -> Vec<(u64, Vec<Item>)> {
        let mut core = self.core.lock();
        debug_assert_eq!(core.taken, 0, "one append is in flight at a time");
        let batch: Vec<_> = core.queue.iter().take(most).map(|queued| (queued.seq, queued.items.clone())).collect();
        core.awake = !batch.is_empty();
        batch
    }

    /// Says how many of the taken pushes went into the record.
    pub(crate) fn took(&self, count: usize) {
        self.core.lock().taken = count;
    }

    /// For a mutant: who waits for the pushes that were taken, and what they are told too early.
    pub(crate) fn taken_waiters(&self) -> Vec<(Reply, Effect)> {
        let mut core = self.core.lock();
        let taken = core.taken;
        let early = core.queue.iter_mut().take(taken).filter_map(|queued| {
            let last = queued.items.iter().rev().find_map(|item| match item {
                Item::Event(event) => Some(Arc::clone(event)),
                Item::Shard(_) => None,
            });
            let waiter = queued.waiter.take()?;
            let replayed = matches!(waiter.subject, Subject::Replayed { .. });
            let event = match waiter.subject {
                Subject::Last => last,
                Subject::Unchanged => None,
                Subject::Replayed { event, .. } => Some(event),
            };
            let effect = Effect { event, account: queued.account.clone(), status: Status::Completed, replayed };
            Some((waiter.reply, effect))
        });
        early.collect()
    }

    /// The record with the taken pushes is durable. Answers the pushes, and whether more are queued.
    pub(crate) fn durable(&self, record: Option<TailRecord>) -> (Vec<Queued>, bool) {
        let mut core = self.core.lock();
        let count = std::mem::take(&mut core.taken);
        let pushes: Vec<_> = core.queue.drain(..count).collect();
        if let Some(mut record) = record {
            record.accounts = newest(&pushes);
            self.node.tail_bytes.fetch_add(record.payload.len(), Ordering::AcqRel);
            for channel in record.events().filter_map(|event| credited(event)) {
                core.received.remove(&channel);
            }
            for (_, item) in &record.items {
                if let Item::Shard(event) = item
                    && let ShardEvent::Diverted { channel, .. } = &**event
                {
                    core.received.remove(channel);
                }
            }
            core.tail.push(record);
        }
        if let Some(last) = pushes.last() {
            self.durable.fetch_max(last.seq, Ordering::AcqRel);
        }
        core.awake = !core.queue.is_empty();
        (pushes, core.awake)
    }

    /// All pushes up to this are durable.
    pub(crate) fn durable_through(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether anything is queued or in flight.
    pub(crate) fn has_queued(&self) -> bool {
        !self.core.lock().queue.is_empty()
    }

    // ---- lives of accounts ------------------------------------------------------------------------

    /// Runs `act` on the directory.
    pub(crate) fn directory<T>(&self, act: impl FnOnce(&mut Directory) -> T) -> T {
        act(&mut self.core.lock().directory)
    }

    /// An actor has ended: its life is closed, and its handed credits are unseen again.
    pub(crate) fn ended(&self, actor: ractor::ActorId) -> Option<crate::shard::directory::Ended> {
        let mut core = self.core.lock();
        let ended = core.directory.ended(actor)?;
        core.forget_handed(ended.activation.number);
        if let Some(next) = &ended.next {
            // What came while it was going is with its next life: it is not unseen.
            for channel in &next.credits {
                core.received.insert(*channel, Received::Handed { activation: next.activation });
            }
        }
        Some(ended)
    }

    /// An account could not be activated: its credits are unseen again, its mail is answered.
    pub(crate) fn abandon(&self, account: AccountId) -> Vec<AccountMessage> {
        let mut core = self.core.lock();
        let Some((activation, mail)) = core.directory.abandon(account) else { return Vec::new() };
        core.forget_handed(activation.number);
        mail
    }

    /// What an activation starts from, given the account as of a checkpoint read when views had all up
    /// to `as_of`. `None` if the tail has moved past that: it must be read again.
    pub(crate) fn start_of(
        &self,
        account: AccountId,
        checkpoint: Option<&Arc<Account>>,
        as_of: Slot,
    ) -> Option<Result<Start, domain::ledger::account::Broken>> {
        let mut core = self.core.lock();
        let durable = match core.tail.latest(account) {
            Some(latest) => latest,
            None if core.tail.through() > as_of => return None,
            None => match core.fold(account, checkpoint) {
                Ok(folded) => folded,
                Err(broken) => return Some(Err(broken)),
            },
        };
        let queued = |queued: &Queued| Some((queued.seq, queued.account.clone().filter(|state| state.id == account)?));
        let pending = if crate::mutant::is(crate::mutant::Mutant::ActivateFromDurable) {
            VecDeque::new()
        } else {
            core.queue.iter().filter_map(queued).collect()
        };
        Some(Ok(Start { durable, pending }))
    }

    /// The account as of its last durable event, without activating it, like [`Self::start_of`].
    pub(crate) fn tail_latest(&self, account: AccountId) -> Option<Arc<Account>> {
        self.core.lock().tail.latest(account)
    }

    // ---- the tail ---------------------------------------------------------------------------------

    /// What is read from views from now on has everything up to this. What came after it stays in the
    /// tail until the reading is over, if the tail has room.
    pub(crate) fn as_of(self: &Arc<Self>) -> AsOf {
        let mut core = self.core.lock();
        let slot = core.projected;
        *core.readers.entry(slot).or_default() += 1;
        AsOf { shared: Arc::clone(self), slot }
    }

    /// Wakes when the position moves.
    pub(crate) fn position_changes(&self) -> watch::Receiver<Slot> {
        self.position.subscribe()
    }

    /// Has the shard look at what waits, a projection among it.
    pub(crate) fn project_soon(&self) {
        self.actor.cast(ShardMessage::Project).ok();
    }

    /// Records up to `through` that views do not have.
    pub(crate) fn unprojected(&self, through: Slot) -> Vec<Arc<TailRecord>> {
        self.core.lock().tail.unprojected_through(through)
    }

    /// Records that views do not have: their bytes, how many, and the oldest.
    pub(crate) fn tail(&self) -> (usize, usize, Option<Arc<TailRecord>>) {
        let core = self.core.lock();
        let (bytes, records, first) = core.tail.unprojected();
        (bytes, records, first.cloned())
    }

    /// Views have all up to `through`.
    pub(crate) fn projected(&self, through: Slot) {
        let mut core = self.core.lock();
        core.projected = core.projected.max(through);
        core.tail.project(through);
        self.trim(core);
        self.node.stores.journal.projected(self.key(), through);
        self.position.send_replace(through);
    }

    /// Lets records go that views have and nobody needs. What a reader needs stays while it takes no more
    /// than half of the tail's room; then the reader starts again.
    fn trim(&self, mut core: parking_lot::MutexGuard<'_, Core>) {
        let config = &self.node.config;
        let crowded = core.tail.bytes() >= config.tail_bytes_max / 2 || core.tail.len() >= config.tail_records_max / 2;
        let oldest = core.readers.first_key_value().map(|(slot, _)| *slot).filter(|_| !crowded);
        let through = oldest.map_or(core.projected, |oldest| oldest.min(core.projected));
        let gone = core.tail.trim(through);
        for event in gone.iter().flat_map(|record| record.events()) {
            core.index.remove(event);
        }
        // A shard that has stopped has given back all its bytes.
        if core.open {
            let bytes: usize = gone.iter().map(|record| record.payload.len()).sum();
            self.node.tail_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// The account's events in the tail with an offset above `after`, and the position's slot.
    pub(crate) fn tail_events(&self, account: AccountId, after: u64) -> (Vec<Arc<Event>>, Slot) {
        let core = self.core.lock();
        (core.tail.events(account, after), core.tail.through())
    }

    /// The slot of the account's last durable event, if views do not have it.
    pub(crate) fn last_slot(&self, account: AccountId) -> Option<Slot> {
        self.core.lock().tail.last_slot(account)
    }

    /// Runs `join` on the index, unless the position has moved past `as_of`.
    pub(crate) fn join<T>(&self, as_of: Slot, join: impl FnOnce(&Index) -> T) -> Option<T> {
        let core = self.core.lock();
        (core.tail.through() <= as_of).then(|| join(&core.index))
    }

    /// Ends this ownership: nothing is pushed any more, and who waits is told that nobody knows.
    pub(crate) fn stop(&self) {
        let mut core = self.core.lock();
        if !core.open {
            return;
        }
        core.open = false;
        core.queue.clear();
        // The tail itself stays: who is reading an account still needs what views lack.
        self.node.tail_bytes.fetch_sub(core.tail.bytes(), Ordering::AcqRel);
        drop(core);
        self.channels.lock().stop();
    }
}

/// A reading of views under way, and the slot that they had when it began.
pub struct AsOf {
    shared: Arc<Shared>,
    /// The slot.
    pub(crate) slot: Slot,
}

impl std::fmt::Debug for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AsOf({})", self.slot.0)
    }
}

impl Drop for AsOf {
    fn drop(&mut self) {
        let mut core = self.shared.core.lock();
        if let Some(readers) = core.readers.get_mut(&self.slot) {
            *readers -= 1;
            if *readers == 0 {
                core.readers.remove(&self.slot);
                self.shared.trim(core);
            }
        }
    }
}

/// What an activation starts from.
pub(crate) struct Start {
    /// The account as of its last durable event.
    pub durable: Arc<Account>,
    /// And after each push that is not durable yet.
    pub pending: VecDeque<(u64, Arc<Account>)>,
}

impl Core {
    /// Adds a push to the queue: numbers its credits, indexes its events, notes the credit it answers.
    fn queue(&mut self, push: Push) -> u64 {
        self.pushed += 1;
        let mut items = push.items;
        for item in &mut items {
            self.number(item);
            if let Item::Event(event) = item {
                self.index.add(event);
            }
        }
        if let Some(channel) = push.credit {
            self.received.insert(channel, Received::Queued);
        }
        let seq = self.pushed;
        self.queue.push_back(Queued { seq, items, account: push.account, waiter: push.waiter });
        seq
    }

    /// Gives each credit in the item its number on its channel.
    fn number(&mut self, item: &mut Item) {
        match item {
            Item::Event(event) => {
                if let Change::Debited { channel, .. } = &mut Arc::make_mut(event).change {
                    self.next(channel);
                }
            }
            Item::Shard(event) => match Arc::make_mut(event) {
                ShardEvent::Diverted { returned: Some(back), .. }
                | ShardEvent::SuspenseResolved { resolution: Resolution::Returned(back), .. } => {
                    self.next(&mut back.channel);
                }
                ShardEvent::SuspenseResolved { resolution: Resolution::Released { channel }, .. } => self.next(channel),
                _ => {}
            },
        }
    }

    fn next(&mut self, channel: &mut ChannelNumber) {
        let last = self.numbers.entry(channel.peer).or_default();
        *last += 1;
        channel.number = *last;
    }

    fn forget_handed(&mut self, activation: u64) {
        self.received.retain(|_, received| *received != Received::Handed { activation });
    }

    /// Folds the account's events of the tail onto its checkpoint, and remembers the outcome.
    fn fold(
        &mut self,
        account: AccountId,
        checkpoint: Option<&Arc<Account>>,
    ) -> Result<Arc<Account>, domain::ledger::account::Broken> {
        let mut state = checkpoint.map_or_else(|| Account::new(account), |checkpoint| (**checkpoint).clone());
        let head = if crate::mutant::is(crate::mutant::Mutant::CheckpointWithoutHead) { 0 } else { state.head };
        for event in self.tail.events(account, head) {
            state.apply(&event)?;
        }
        let state = Arc::new(state);
        self.tail.remember(&state);
        Ok(state)
    }
}

/// Each account as it is after the last of the pushes.
fn newest(pushes: &[Queued]) -> Vec<Arc<Account>> {
    let mut newest: HashMap<AccountId, Arc<Account>> = HashMap::with_capacity(pushes.len());
    for account in pushes.iter().filter_map(|queued| queued.account.as_ref()) {
        newest.insert(account.id, Arc::clone(account));
    }
    let mut accounts: Vec<_> = newest.into_values().collect();
    accounts.sort_unstable_by_key(|account| account.id);
    accounts
}

/// The channel number of a credit that an account took.
fn credited(event: &Event) -> Option<ChannelNumber> {
    match &event.change {
        Change::Credited { channel, .. } => Some(*channel),
        _ => None,
    }
}

/// The shard of a party's account.
pub(crate) fn shard_of(node: &Node, party: Party) -> ShardId {
    party.account.route().shard(node.shards)
}
