//! Reading a room from the views: its checkpoint and its last event.
//!
//! A message changes nothing of a room but its head and how many messages there are, both of which its
//! own row says. So a checkpoint is written only when something else changes: a room of a thousand
//! members that talks would otherwise write thirty kilobytes with every batch.

use std::sync::Arc;

use domain::ids::RoomId;
use domain::room::{BrokenRoom, Room, RoomEvent};
use storage::views::Views;
use storage::{Error, encoding};

/// A room as views have it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// As of the last event that changed what it is.
    checkpoint: Room,
    /// Head and number of messages as of its last event in the views.
    last: (u64, u64),
}

impl Loaded {
    /// Reads a room. The row before the checkpoint: a batch that comes between the two then only makes
    /// the checkpoint newer, never the row newer than what the checkpoint knows of.
    pub(crate) async fn read(views: &dyn Views, room: RoomId) -> Result<Self, Error> {
        let last = match views.events_before(room.0, u64::MAX, 1).await?.first() {
            Some(row) => {
                let event = encoding::read_room_event(&row.bytes)?;
                (event.offset, event.messages)
            }
            None => (0, 0),
        };
        let checkpoint = match views.checkpoint(room.0).await? {
            Some(checkpoint) => encoding::read_state(&checkpoint.state)?,
            None => Room::new(room),
        };
        Ok(Self { checkpoint, last })
    }

    /// The offset of the last event that the checkpoint knows of: later ones are wanted of the tail.
    pub(crate) const fn head(&self) -> u64 {
        self.checkpoint.head
    }

    /// The room after `events`, which are all that the tail has of it after [`Self::head`]. What lies
    /// between is in the views, and is talk.
    pub(crate) fn with(&self, events: &[Arc<RoomEvent>]) -> Result<Room, BrokenRoom> {
        let mut room = self.checkpoint.clone();
        match events.first() {
            Some(first) => room.pass(first.offset.saturating_sub(1), first.messages_before()),
            None => room.pass(self.last.0, self.last.1),
        }
        for event in events {
            room.apply(event)?;
        }
        Ok(room)
    }
}
