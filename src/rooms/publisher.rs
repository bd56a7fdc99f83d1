//! Who hears of durable events of rooms: nobody until the live part of the node is there.

use std::sync::{Arc, OnceLock};

use actors::rooms::hall::RoomPublisher;
use domain::ids::ShardId;
use domain::room::RoomEvent;

/// A publisher that publishes to nobody until there is one to publish to: shards open before.
#[derive(Clone, Default)]
pub struct LateRoomPublisher(Arc<OnceLock<Arc<dyn RoomPublisher>>>);

impl LateRoomPublisher {
    /// From now on this one hears. Only the first is taken: a node starts its live part once.
    pub fn open(&self, publisher: Arc<dyn RoomPublisher>) {
        self.0.set(publisher).ok();
    }
}

impl RoomPublisher for LateRoomPublisher {
    fn publish(&self, shard: ShardId, events: &[Arc<RoomEvent>]) {
        if let Some(publisher) = self.0.get() {
            publisher.publish(shard, events);
        }
    }
}
