//! What the rooms of one shard have in common: the fold of the shard's own events.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::RoomId;
use crate::ledger::Meta;
use crate::time::Timestamp;

/// An event of the shard itself: no offset, nobody hears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomShardEvent {
    /// An owner took the shard.
    TermBegan {
        /// Which ownership it is.
        term: u64,
    },
    /// Nothing is asked of a room any more.
    Quarantined {
        /// Which.
        room: RoomId,
        /// When.
        at: Timestamp,
    },
    /// And is again.
    QuarantineEnded {
        /// Which.
        room: RoomId,
        /// Who looked at it, and when.
        meta: Meta,
    },
    /// All that this fold knows, written again before the records that founded it go.
    Kept {
        /// Who is quarantined.
        quarantined: BTreeSet<RoomId>,
        /// When.
        at: Timestamp,
    },
}

/// The fold of a shard's own events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomShard {
    /// The ownership under which the last record was written.
    pub term: u64,
    /// Rooms of which nothing is asked.
    pub quarantined: BTreeSet<RoomId>,
}

impl RoomShard {
    /// Takes the next event.
    pub fn apply(&mut self, event: &RoomShardEvent) {
        match event {
            RoomShardEvent::TermBegan { term } => self.term = self.term.max(*term),
            RoomShardEvent::Quarantined { room, .. } => {
                self.quarantined.insert(*room);
            }
            RoomShardEvent::QuarantineEnded { room, .. } => {
                self.quarantined.remove(room);
            }
            RoomShardEvent::Kept { quarantined, .. } => self.quarantined.clone_from(quarantined),
        }
    }
}
