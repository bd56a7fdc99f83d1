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

use crate::call::{Effect, Reply, Status};
use crate::clock::ShardClock;
use crate::node::Node;
use crate::shard::ShardMessage;
use crate::shard::channels::Channels;
use crate::shard::directory::{Activation, Directory};
use crate::shard::index::Index;
use crate::shard::tail::{Tail, TailRecord};
use crate::sweeping::Sweeping;

mod admission;
mod lives;
mod reading;

pub(crate) use lives::Start;
pub(crate) use reading::AsOf;

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
    /// When the shard is swept next.
    pub(crate) sweeping: Sweeping,
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
            sweeping: Sweeping::new(),
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
