//! Between shards and streams: notes what is published, and passes it on.

use std::sync::Arc;

use domain::ids::ShardId;
use domain::ledger::Event;
use domain::room::RoomEvent;
use storage::journal::{JournalKey, Slot, Space};

use crate::deadlines::owed::Owed;
use crate::node::Publisher;
use crate::rooms::hall::RoomPublisher;

/// A publisher whose events are noted.
pub struct Noting<P: ?Sized> {
    owed: Arc<Owed>,
    next: Arc<P>,
}

impl<P: ?Sized> Noting<P> {
    /// Notes what `next` publishes.
    pub const fn new(owed: Arc<Owed>, next: Arc<P>) -> Self {
        Self { owed, next }
    }
}

impl Publisher for Noting<dyn Publisher> {
    fn publish(&self, shard: ShardId, slot: Slot, events: &[Arc<Event>]) {
        let key = JournalKey { space: Space::Ledger, shard };
        self.owed.note(key, slot, events.iter().map(|event| (event.account.0, event.offset, event.meta.at)));
        self.next.publish(shard, slot, events);
    }
}

impl RoomPublisher for Noting<dyn RoomPublisher> {
    fn publish(&self, shard: ShardId, slot: Slot, events: &[Arc<RoomEvent>]) {
        let key = JournalKey { space: Space::Rooms, shard };
        self.owed.note(key, slot, events.iter().map(|event| (event.room.0, event.offset, event.meta.at)));
        self.next.publish(shard, slot, events);
    }
}
