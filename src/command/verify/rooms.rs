//! Rooms: their journal folded again from what is kept of it, and compared with the views.
//!
//! Retention lets go of the log's begin, and with it of what founded some rooms: those are folded from the snapshot
//! that was written before; until it comes only their offsets are checked.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ids::{RoomId, ShardId};
use domain::room::{Profile, Room, RoomChange, RoomEvent};
use domain::time::Timestamp;
use storage::encoding::{self, RoomItem};
use storage::journal::{Hash, JournalKey, Slot, StoredRecord};
use storage::views::{Position, Views};

use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::command::verify::{Finding, PROGRESS_RECORDS};
use crate::node::stores::{Progress, Records};

/// Everything that the records so far make.
#[derive(Default)]
struct Replay {
    shards: HashMap<ShardId, Last>,
    rooms: HashMap<RoomId, Known>,
    records: u64,
    messages: u64,
}

/// The last record of a shard.
#[derive(Clone, Copy)]
struct Last {
    slot: Slot,
    hash: Hash,
    at: Timestamp,
}

/// A room, and where it last changed.
struct Known {
    room: Room,
    /// What founded it is gone and was not written again yet: only its offset is known.
    unfounded: bool,
    /// The record with its last event.
    last: Slot,
    /// The record with the last event that changed what it is.
    changed: Slot,
    shard: ShardId,
}

/// Views to compare with, and how far they are.
pub(super) struct Compared<'a> {
    pub(super) views: &'a dyn Views,
    pub(super) positions: Vec<(JournalKey, Position)>,
    /// They move on meanwhile: what they have may be newer than what was read.
    pub(super) moving: bool,
}

/// Replays what `records` reads, and compares. Answers what to print.
pub(super) async fn verify(mut records: Records, with: Option<Compared<'_>>, out: &Output) -> Result<String, Failure> {
    let mut replay = Replay::default();
    let of = records.end();
    while let Some(stored) = records.next().await {
        replay.record(&stored?)?;
        if replay.records.is_multiple_of(PROGRESS_RECORDS) {
            out.progress(Progress { done: records.position(), of, records: replay.records });
            tokio::task::yield_now().await;
        }
    }
    let mut compared = 0;
    if let Some(Compared { views, positions, moving }) = &with {
        for (key, position) in positions {
            let Some(last) = replay.shards.get(&key.shard) else { continue };
            if last.slot == position.through && last.hash != position.hash {
                return Err(broken(key.shard, "the views' position is of another history").into());
            }
        }
        for known in replay.rooms.values().filter(|known| !known.unfounded) {
            let through = positions.iter().find(|(key, _)| key.shard == known.shard);
            let through = through.map_or(Slot(0), |(_, position)| position.through);
            known.compare(*views, through, *moving).await?;
            compared += 1;
        }
    }
    let Replay { records, messages, rooms, .. } = replay;
    Ok(format!("rooms {}, messages {messages}, records {records}, compared with views {compared}", rooms.len()))
}

impl Replay {
    fn record(&mut self, stored: &StoredRecord) -> Result<(), Finding> {
        let (record, shard) = (&stored.record, stored.record.key.shard);
        if let Some(last) = self.shards.get(&shard) {
            if record.slot != last.slot.next() || record.previous != last.hash {
                return Err(broken(shard, format!("slot {} does not follow from the one before", record.slot.0)));
            }
            if record.at <= last.at {
                return Err(broken(shard, format!("slot {} is stamped before the one before", record.slot.0)));
            }
        }
        self.shards.insert(shard, Last { slot: record.slot, hash: stored.hash, at: record.at });
        self.records += 1;
        let items = encoding::read_items::<RoomItem>(&record.payload).map_err(Finding::from)?;
        for (_, item) in items {
            match item {
                RoomItem::Shard(_) => {}
                RoomItem::Snapshot(room) => self.snapshot(&room, shard, record.slot)?,
                RoomItem::Event(event) => self.event(&event, shard, record.slot)?,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &RoomEvent, shard: ShardId, slot: Slot) -> Result<(), Finding> {
        self.messages += u64::from(event.change.is_message());
        let known = self.rooms.entry(event.room).or_insert_with(|| {
            let unfounded = !matches!(event.change, RoomChange::Opened { .. });
            let mut room = Room::new(event.room);
            if unfounded {
                room.pass(event.offset.saturating_sub(1), event.messages_before());
            }
            Known { room, unfounded, last: slot, changed: slot, shard }
        });
        known.last = slot;
        if known.unfounded {
            if event.offset != known.room.head.saturating_add(1) {
                return Err(broken(shard, format!("room {}: offset {} is not the next", event.room, event.offset)));
            }
            known.room.pass(event.offset, event.messages);
            return Ok(());
        }
        if !event.change.is_talk() {
            known.changed = slot;
        }
        known.room.apply(event).map_err(|error| broken(shard, error.to_string()))
    }

    fn snapshot(&mut self, room: &Arc<Room>, shard: ShardId, slot: Slot) -> Result<(), Finding> {
        if let Some(known) = self.rooms.get(&room.id) {
            let same = known.room.head == room.head && known.room.messages == room.messages;
            if !same || (!known.unfounded && known.room.profile != room.profile) {
                return Err(broken(shard, format!("room {} was written again as it was not", room.id)));
            }
        }
        let known = Known { room: (**room).clone(), unfounded: false, last: slot, changed: slot, shard };
        self.rooms.insert(room.id, known);
        Ok(())
    }
}

impl Known {
    /// Compares with the rows of views that have all up to `through`.
    async fn compare(&self, views: &dyn Views, through: Slot, moving: bool) -> Result<(), Finding> {
        let id = self.room.id;
        if self.changed <= through && !moving {
            let row = views.checkpoint(id.0).await.map_err(Finding::Store)?;
            let stored: Option<Room> = match row {
                Some(row) => Some(encoding::read_state(&row.state).map_err(Finding::from)?),
                None => None,
            };
            let profile: Option<Arc<Profile>> = stored.and_then(|room| room.profile);
            if profile != self.room.profile {
                return Err(broken(self.shard, format!("the views' row of room {id} is another")));
            }
        }
        if self.last <= through && self.room.head > 0 {
            let after = self.room.head.saturating_sub(1);
            let rows = views.events_after(id.0, after, 2).await.map_err(Finding::Store)?;
            if (rows.len() != 1 && !moving) || rows.first().is_none_or(|row| row.offset != self.room.head) {
                return Err(broken(
                    self.shard,
                    format!("the views' last event of room {id} is not {}", self.room.head),
                ));
            }
        }
        Ok(())
    }
}

fn broken(shard: ShardId, what: impl Into<String>) -> Finding {
    Finding::broken(format!("rooms, shard {shard}"), what)
}
