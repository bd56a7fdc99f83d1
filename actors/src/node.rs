//! What all actors of a node share: its stores, its limits, its time and the way to each shard.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;
use domain::ids::{AccountId, ShardCount, ShardId};
use domain::ledger::{Credit, Event};
use storage::journal::{Journal, Slot};
use storage::views::Views;
use tokio::sync::{Semaphore, watch};

use crate::clock::{BusinessZone, WallClock};
use crate::config::LedgerConfig;
use crate::dead_letters::DeadLetterBox;
use crate::shard::ShardMessage;
use crate::shard::channels::Ack;
use crate::shard::core::Shared;

/// The stores that the ledger's actors need.
#[derive(Clone)]
pub struct Stores {
    /// The truth.
    pub journal: Arc<dyn Journal>,
    /// What is read.
    pub views: Arc<dyn Views>,
}

/// The way of credits and acknowledgements between shards.
pub trait Link: Send + Sync + 'static {
    /// Sends credits. May lose, repeat or delay them: they are sent again until acknowledged.
    fn credits(&self, node: &Node, to: ShardId, from: ShardId, credits: Vec<(u64, Arc<Credit>)>);

    /// Sends acknowledgements. May lose, repeat or delay them.
    fn acks(&self, node: &Node, to: ShardId, from: ShardId, acks: Vec<Ack>);
}

/// Who hears of durable events.
pub trait Publisher: Send + Sync + 'static {
    /// The events became durable, in this order, the last of them in `slot` of the shard's journal. A shard that opens
    /// again may say some again, and leaves none out. Must not block.
    fn publish(&self, shard: ShardId, slot: Slot, events: &[Arc<Event>]);
}

/// What all actors of a node share.
pub struct Node {
    /// How many shards the store has.
    pub shards: ShardCount,
    /// Limits and times.
    pub config: LedgerConfig,
    /// Business days.
    pub zone: BusinessZone,
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// The stores.
    pub stores: Stores,
    /// The way between shards.
    pub link: Arc<dyn Link>,
    /// Who hears of durable events.
    pub publisher: Arc<dyn Publisher>,
    /// Where what failed for good is reported.
    pub dead_letters: DeadLetterBox,
    /// Places of commands in flight.
    pub commands: Arc<Semaphore>,
    /// Bytes of durable records that views do not have yet.
    pub tail_bytes: AtomicUsize,
    /// How far opening is.
    pub opening: watch::Sender<Opening>,
    /// The open ownership of each shard.
    routes: Vec<ArcSwapOption<Shared>>,
}

/// How far a node is with opening its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// How many are open.
    pub open: usize,
    /// Why the last that could not be opened could not.
    pub error: Option<Unopened>,
}

/// Why a shard could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// Which.
    pub shard: ShardId,
    /// What went wrong, and where in the store if it is damaged.
    pub error: String,
    /// The store is damaged: trying again does not help.
    pub damaged: bool,
}

impl Node {
    /// A node with none of its shards open.
    #[allow(clippy::too_many_arguments, reason = "called once, by who wires the node")]
    pub fn new(
        shards: ShardCount,
        config: LedgerConfig,
        zone: BusinessZone,
        clock: Arc<dyn WallClock>,
        stores: Stores,
        link: Arc<dyn Link>,
        publisher: Arc<dyn Publisher>,
        dead_letters: DeadLetterBox,
    ) -> Self {
        let commands = Arc::new(Semaphore::new(config.commands_max));
        let routes = shards.shards().map(|_| ArcSwapOption::empty()).collect();
        let tail_bytes = AtomicUsize::new(0);
        let opening = watch::Sender::default();
        Self {
            shards,
            config,
            zone,
            clock,
            stores,
            link,
            publisher,
            dead_letters,
            commands,
            tail_bytes,
            opening,
            routes,
        }
    }

    /// The shard of an account.
    pub fn shard_of(&self, account: AccountId) -> ShardId {
        account.route().shard(self.shards)
    }

    /// The slot up to which views have a shard's records; the first before any, or if it is not open here.
    pub(crate) fn projected(&self, shard: ShardId) -> Slot {
        self.shard(shard).map_or(Slot(0), |shared| *shared.position_changes().borrow())
    }

    /// The open ownership of a shard, if it is open here.
    pub(crate) fn shard(&self, shard: ShardId) -> Option<Arc<Shared>> {
        self.routes.get(usize::from(shard.0))?.load_full()
    }

    /// The shard is open, or (`None`) is not any more.
    pub(crate) fn route(&self, shard: ShardId, to: Option<Arc<Shared>>) {
        if let Some(route) = self.routes.get(usize::from(shard.0)) {
            let opens = to.is_some();
            let was_open = route.swap(to).is_some();
            self.opening.send_modify(|opening| match (was_open, opens) {
                (false, true) => opening.open += 1,
                (true, false) => opening.open -= 1,
                _ => {}
            });
        }
    }

    /// Mails a shard that is open here. Mail to others is lost; who must be heard says it again.
    pub(crate) fn mail(&self, shard: ShardId, message: ShardMessage) {
        if let Some(shared) = self.shard(shard) {
            shared.actor.cast(message).ok();
        }
    }
}

/// The way between shards of one node: mail.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalLink;

impl Link for LocalLink {
    fn credits(&self, node: &Node, to: ShardId, from: ShardId, credits: Vec<(u64, Arc<Credit>)>) {
        node.mail(to, ShardMessage::Credits { from, credits });
    }

    fn acks(&self, node: &Node, to: ShardId, from: ShardId, acks: Vec<Ack>) {
        node.mail(to, ShardMessage::Acks { from, acks });
    }
}
