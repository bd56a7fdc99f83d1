//! Retention: what is too old or too much goes, and nothing that is still needed.
//!
//! For the oldest segment of the log, in this order, each step durable before the next: the views have
//! all of it; the rooms that it founded are written into the journal again; its events and keys leave
//! the views; the log removes it. After a crash anywhere between, the same is done again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{RoomId, ShardId};
use domain::room::{MessageKey, RoomChange};
use storage::Error;
use storage::encoding::{self, RoomItem};
use storage::journal::{OldSegment, Retention, Slot};
use storage::views::{Gone, Table};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::room_projector::cells::{KeyCell, redaction_sort};
use crate::room_shard::RoomShardMessage;
use crate::room_shard::core::RoomShared;
use crate::room_shard::index::keyed;
use crate::rooms::hall::Hall;
use crate::rooms::metrics;

/// How long views may take to have a segment's last records.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many keys are looked up before other tasks get their turn.
const KEYS_A_TURN: usize = 256;

/// What a segment holds that must go, or must be written again.
#[derive(Default)]
struct Held {
    /// The last event of each room in it.
    heads: BTreeMap<RoomId, u64>,
    /// The rooms that it founds.
    founded: BTreeSet<RoomId>,
    /// The keys of its messages.
    keys: Vec<(RoomId, MessageKey, u64)>,
    /// Messages that were edited or deleted in it.
    redacted: Vec<(RoomId, u64)>,
}

/// Removes segments from the log's old end while they are too old or the log is too long. Answers how
/// many.
///
/// # Errors
/// A store does not answer, or a shard is not open: what is to be removed stays, and is tried again.
pub async fn sweep(hall: &Arc<Hall>, log: &Arc<dyn Retention>) -> Result<usize, Error> {
    let mut removed = 0;
    while let Some(segment) = due(hall, log).await? {
        remove(hall, log, segment).await?;
        metrics::retired();
        removed += 1;
    }
    Ok(removed)
}

/// The oldest segment, if its time is over.
async fn due(hall: &Hall, log: &Arc<dyn Retention>) -> Result<Option<OldSegment>, Error> {
    let log = Arc::clone(log);
    let oldest = blocking(move || log.oldest()).await?;
    let config = &hall.config.retention;
    let now = hall.clock.now();
    Ok(oldest.filter(|oldest| now.since(oldest.newest) > config.age_max() || oldest.log_bytes > config.log_bytes_max))
}

async fn remove(hall: &Arc<Hall>, log: &Arc<dyn Retention>, segment: OldSegment) -> Result<(), Error> {
    for (shard, through) in (0..).map(ShardId).zip(&segment.through) {
        let shared = open(hall, shard)?;
        projected(&shared, *through).await?;
    }
    let held = {
        let (log, segment) = (Arc::clone(log), segment.clone());
        blocking(move || hold(&*log, &segment)).await?
    };
    let mut founded: BTreeMap<ShardId, Vec<RoomId>> = BTreeMap::new();
    for room in &held.founded {
        founded.entry(hall.shard_of(*room)).or_default().push(*room);
    }
    for (shard, through) in (0..).map(ShardId).zip(&segment.through) {
        // What the shard itself knows may be founded in any of its records.
        if *through > Slot(0) {
            keep(hall, shard, founded.remove(&shard).unwrap_or_default()).await?;
        }
    }
    hall.stores.views.remove(gone(hall, held).await?).await?;
    let log = Arc::clone(log);
    blocking(move || log.remove(&segment)).await
}

/// Reads what a segment holds.
fn hold(log: &dyn Retention, segment: &OldSegment) -> Result<Held, Error> {
    let mut held = Held::default();
    for stored in log.records(segment)? {
        for (_, item) in encoding::read_items::<RoomItem>(&stored?.record.payload)? {
            match item {
                RoomItem::Shard(_) => {}
                RoomItem::Snapshot(room) => {
                    held.founded.insert(room.id);
                }
                RoomItem::Event(event) => {
                    held.heads.insert(event.room, event.offset);
                    if let Some((key, past)) = keyed(&event) {
                        held.keys.push((event.room, key, past.offset));
                    }
                    if let RoomChange::Edited { of, .. } | RoomChange::Deleted { of } = event.change {
                        held.redacted.push((event.room, of));
                    }
                    // What changed it later is in what is written when the segment of its founding goes.
                    if matches!(event.change, RoomChange::Opened { .. }) {
                        held.founded.insert(event.room);
                    }
                }
            }
        }
    }
    Ok(held)
}

/// The rows that go with a segment. A key's cell that names a later message was written since, after an
/// earlier try had removed it: it stays.
async fn gone(hall: &Hall, held: Held) -> Result<Gone, Error> {
    let mut gone = Gone { events: held.heads.iter().map(|(room, head)| (room.0, *head)).collect(), cells: Vec::new() };
    for (turn, (room, key, offset)) in held.keys.into_iter().enumerate() {
        let cell = hall.stores.views.cell(Table::RoomKeys, room.0, &key.0).await?;
        if let Some(cell) = cell
            && encoding::read_state::<KeyCell>(&cell)?.offset <= offset
        {
            gone.cells.push((Table::RoomKeys, room.0, key.0.to_vec()));
        }
        if turn.is_multiple_of(KEYS_A_TURN) {
            tokio::task::yield_now().await;
        }
    }
    let redaction = |(room, of): (RoomId, u64)| -> (Table, Uuid, Vec<u8>) {
        (Table::RoomRedactions, room.0, redaction_sort(of).to_vec())
    };
    // What was said in a segment that stays is still to be shown as it was changed.
    let heads = &held.heads;
    let over = |(room, of): &(RoomId, u64)| heads.get(room).is_some_and(|head| of <= head);
    gone.cells.extend(held.redacted.into_iter().filter(over).map(redaction));
    Ok(gone)
}

/// Waits until the views have a shard's records up to `through`.
async fn projected(shared: &RoomShared, through: Slot) -> Result<(), Error> {
    let mut position = shared.position_changes();
    if *position.borrow() >= through {
        return Ok(());
    }
    shared.actor.cast(RoomShardMessage::Project).ok();
    match tokio::time::timeout(PATIENCE, position.wait_for(|position| *position >= through)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => {
            Err(Error::Unavailable(format!("the views of shard {} of rooms are too far behind", shared.id)))
        }
    }
}

/// Has a shard write rooms again.
async fn keep(hall: &Hall, shard: ShardId, rooms: Vec<RoomId>) -> Result<(), Error> {
    let shared = open(hall, shard)?;
    let (reply, answer) = oneshot::channel();
    shared.actor.cast(RoomShardMessage::Keep { rooms, reply }).ok();
    answer.await.unwrap_or_else(|_| Err(Error::Unavailable(format!("shard {shard} of rooms has stopped"))))
}

fn open(hall: &Hall, shard: ShardId) -> Result<Arc<RoomShared>, Error> {
    hall.shard(shard).ok_or_else(|| Error::Unavailable(format!("shard {shard} of rooms is not open")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Unavailable(format!("a look at the old end of the log did not end: {error}")))?
}
