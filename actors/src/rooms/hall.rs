//! What all actors of a node's rooms share: their stores, limits and time, and the way to each shard.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;
use domain::ids::{RoomId, ShardCount, ShardId};
use domain::room::RoomEvent;
use storage::journal::{Journal, Slot};
use storage::views::Views;
use tokio::sync::{Semaphore, watch};

use crate::clock::WallClock;
use crate::dead_letters::DeadLetterBox;
use crate::node::Opening;
use crate::room_shard::core::RoomShared;
use crate::rooms::config::RoomsConfig;

/// The stores that rooms need. Their views are their own: those of the ledger know nothing of rooms.
#[derive(Clone)]
pub struct RoomStores {
    /// The truth, in the space of rooms.
    pub journal: Arc<dyn Journal>,
    /// What is read.
    pub views: Arc<dyn Views>,
}

/// Who hears of durable events of rooms.
pub trait RoomPublisher: Send + Sync + 'static {
    /// The events became durable, in this order; those of one room in the order of their offsets, the last of them in
    /// `slot` of the shard's journal. A shard that opens again may say some again, and leaves none out. Must not block.
    fn publish(&self, shard: ShardId, slot: Slot, events: &[Arc<RoomEvent>]);
}

/// What all actors of a node's rooms share.
pub struct Hall {
    /// How many shards the store has.
    pub shards: ShardCount,
    /// Limits and times.
    pub config: RoomsConfig,
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// The stores.
    pub stores: RoomStores,
    /// Who hears of durable events.
    pub publisher: Arc<dyn RoomPublisher>,
    /// Where a room that is quarantined is reported.
    pub dead_letters: DeadLetterBox,
    /// Places of commands in flight.
    pub commands: Arc<Semaphore>,
    /// Bytes of durable records that views do not have yet.
    pub tail_bytes: AtomicUsize,
    /// How far opening is.
    pub opening: watch::Sender<Opening>,
    /// The open ownership of each shard.
    routes: Vec<ArcSwapOption<RoomShared>>,
}

impl Hall {
    /// A hall with none of its shards open.
    pub fn new(
        shards: ShardCount,
        config: RoomsConfig,
        clock: Arc<dyn WallClock>,
        stores: RoomStores,
        publisher: Arc<dyn RoomPublisher>,
        dead_letters: DeadLetterBox,
    ) -> Self {
        let commands = Arc::new(Semaphore::new(config.commands_max));
        let routes = shards.shards().map(|_| ArcSwapOption::empty()).collect();
        let (tail_bytes, opening) = (AtomicUsize::new(0), watch::Sender::default());
        Self { shards, config, clock, stores, publisher, dead_letters, commands, tail_bytes, opening, routes }
    }

    /// The shard of a room.
    pub fn shard_of(&self, room: RoomId) -> ShardId {
        room.route().shard(self.shards)
    }

    /// The slot up to which views have a shard's records; the first before any, or if it is not open here.
    pub(crate) fn projected(&self, shard: ShardId) -> Slot {
        self.shard(shard).map_or(Slot(0), |shared| *shared.position_changes().borrow())
    }

    /// The open ownership of a shard, if it is open here.
    pub(crate) fn shard(&self, shard: ShardId) -> Option<Arc<RoomShared>> {
        self.routes.get(usize::from(shard.0))?.load_full()
    }

    /// The shard is open, or (`None`) is not any more.
    pub(crate) fn route(&self, shard: ShardId, to: Option<Arc<RoomShared>>) {
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
}
