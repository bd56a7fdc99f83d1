//! Writing rooms into the journal again, before the records that founded them go.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::RoomId;
use domain::room::RoomShardEvent;
use storage::Error;
use storage::encoding::RoomItem;
use tokio::sync::oneshot;

use crate::room_shard::core::{Push, RoomShared, Subject, Waiter};
use crate::rooms::call::RoomReply;

/// How many rooms are written before it is waited until they are durable: bounds what snapshots of full
/// rooms add to the queue, some 2 MB.
const ROOMS_A_WAIT: usize = 64;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes rooms, and what the shard itself knows, into the journal again. Durable when answered.
pub(crate) async fn keep(
    shared: &Arc<RoomShared>,
    fold: domain::room::RoomShard,
    rooms: &[RoomId],
) -> Result<(), Error> {
    let kept = RoomShardEvent::Kept { quarantined: fold.quarantined, at: shared.now() };
    push(shared, vec![RoomItem::Shard(Arc::new(kept))], None)?;
    for rooms in rooms.chunks(ROOMS_A_WAIT) {
        for room in rooms {
            snapshot(shared, *room).await?;
        }
        durable(shared).await?;
    }
    durable(shared).await
}

/// Queues one room as it is.
async fn snapshot(shared: &Arc<RoomShared>, room: RoomId) -> Result<(), Error> {
    loop {
        let as_of = shared.as_of();
        let loaded = super::loading::Loaded::read(&*shared.hall.stores.views, room).await?;
        if let Some(queued) = shared.snapshot(&loaded, room, as_of.slot) {
            return queued.map_err(|broken| Error::Unknown(broken.to_string()));
        }
    }
}

/// Waits until all that is queued is durable.
async fn durable(shared: &Arc<RoomShared>) -> Result<(), Error> {
    let gone = || Error::Unavailable("the shard of rooms has stopped".to_owned());
    let (reply, answer): (_, oneshot::Receiver<_>) = RoomReply::new(None);
    // An answer alone: it comes after all that was queued before it.
    push(shared, Vec::new(), Some(Waiter { reply, subject: Subject::Unchanged }))?;
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| gone())?.map(drop).map_err(|_| gone())
}

fn push(shared: &RoomShared, items: Vec<RoomItem>, waiter: Option<Waiter>) -> Result<(), Error> {
    let stopped = |_| Error::Unavailable("the shard of rooms has stopped".to_owned());
    shared.push_own(Push { items, room: None, waiter }).map_err(stopped)
}
