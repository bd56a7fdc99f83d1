//! The journal of rooms: frames, chains and dense slots as the scan checks them; that each room's events are dense from
//! the first that retention has left, and follow from one another; that what was written again is what was.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use domain::ids::{RoomId, ShardCount};
use domain::room::{Room, RoomChange, RoomEvent};
use storage::embedded::journal::Scan;
use storage::encoding::{self, RoomItem};
use storage::journal::Space;

use super::Finding;

/// How often a check lets other tasks run, in records.
const TURN_RECORDS: u64 = 256;

/// What is known of a room.
enum Known {
    /// The offset of its last event: what founded it is gone and was not written again yet.
    Unfounded(u64),
    /// All of it.
    Whole(Room),
}

/// Replays the journal of rooms under a data folder, in use or not, as far as retention has left it. Answers what to
/// say of it; nothing if there is none.
///
/// # Errors
/// It is damaged, or does not follow.
pub(super) async fn check(data: &Path, shards: ShardCount) -> Result<Option<String>, Finding> {
    if !data.join("journal").join(Space::Rooms.name()).exists() {
        return Ok(None);
    }
    let mut rooms: HashMap<RoomId, Known> = HashMap::new();
    let (mut records, mut events) = (0_u64, 0_u64);
    for stored in Scan::of_files(data, Space::Rooms, shards)? {
        let stored = stored?;
        let place = format!("rooms: slot {} of shard {}", stored.record.slot.0, stored.record.key.shard);
        for (_, item) in encoding::read_items::<RoomItem>(&stored.record.payload)? {
            match item {
                RoomItem::Shard(_) => {}
                RoomItem::Event(event) => {
                    events += 1;
                    take(&mut rooms, &event).map_err(|what| Finding::broken(place.clone(), what))?;
                }
                RoomItem::Snapshot(room) => {
                    let same = match rooms.get(&room.id) {
                        None => true,
                        Some(Known::Unfounded(last)) => *last == room.head,
                        Some(Known::Whole(known)) => *known == *room,
                    };
                    if !same {
                        let what = format!("room {} was written again as another than it was", room.id);
                        return Err(Finding::broken(place, what));
                    }
                    rooms.insert(room.id, Known::Whole((*room).clone()));
                }
            }
        }
        records += 1;
        if records.is_multiple_of(TURN_RECORDS) {
            tokio::task::yield_now().await;
        }
    }
    Ok(Some(format!("rooms {}, records {records}, events {events}", rooms.len())))
}

/// Takes an event into its room.
fn take(rooms: &mut HashMap<RoomId, Known>, event: &RoomEvent) -> Result<(), String> {
    match rooms.entry(event.room) {
        Entry::Vacant(vacant) => {
            if matches!(event.change, RoomChange::Opened { .. }) {
                let mut room = Room::new(event.room);
                room.apply(event).map_err(|broken| broken.to_string())?;
                vacant.insert(Known::Whole(room));
            } else if event.offset > 1 {
                vacant.insert(Known::Unfounded(event.offset));
            } else {
                return Err(format!("room {} does not begin with its opening", event.room));
            }
            Ok(())
        }
        Entry::Occupied(mut known) => match known.get_mut() {
            Known::Whole(room) => room.apply(event).map_err(|broken| broken.to_string()),
            Known::Unfounded(last) if event.offset == last.saturating_add(1) => {
                *last = event.offset;
                Ok(())
            }
            Known::Unfounded(last) => {
                Err(format!("event {} of room {} does not follow event {last}", event.offset, event.room))
            }
        },
    }
}
