//! Reading views, and what is not in them yet: what came after the slot that a reading began with stays in the tail and
//! in the index until it is over.

use std::sync::Arc;

use domain::ids::RoomId;
use domain::room::{MessageKey, Original, Past, RoomChange, RoomEvent};
use storage::encoding::RoomItem;
use storage::journal::Slot;

use super::RoomShared;
use crate::rooms::call::Stale;

/// What is known of a message without the views.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recent {
    /// The message.
    pub original: Option<Original>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// A reading of views under way, and the slot that they had when it began.
pub struct AsOf {
    shared: Arc<RoomShared>,
    /// The slot.
    pub(crate) slot: Slot,
}

impl std::fmt::Debug for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AsOf({})", self.slot.0)
    }
}

impl Drop for AsOf {
    fn drop(&mut self) {
        let mut core = self.shared.core.lock();
        if let Some(readers) = core.readers.get_mut(&self.slot) {
            *readers -= 1;
            if *readers == 0 {
                core.readers.remove(&self.slot);
                self.shared.trim(core);
            }
        }
    }
}

impl RoomShared {
    /// What is read from views from now on has everything up to this. What came after it stays in the
    /// tail until the reading is over, if the tail has room.
    pub(crate) fn as_of(self: &Arc<Self>) -> AsOf {
        let mut core = self.core.lock();
        let slot = core.projected;
        *core.readers.entry(slot).or_default() += 1;
        AsOf { shared: Arc::clone(self), slot }
    }

    /// The room's events in the tail with an offset above `after`, at most `limit`.
    pub(crate) fn tail_events(&self, room: RoomId, after: u64, limit: usize) -> Vec<Arc<RoomEvent>> {
        self.core.lock().tail.events(room, after, limit)
    }

    /// What a key did, of what is not in the views.
    ///
    /// # Errors
    /// The tail has moved past `as_of`.
    pub(crate) fn join_key(&self, as_of: Slot, key: MessageKey) -> Result<Option<Past>, Stale> {
        let core = self.core.lock();
        if core.tail.through() > as_of { Err(Stale) } else { Ok(core.index.past(key)) }
    }

    /// What is known of a message that is not in the views, or was deleted since; as [`Self::join_key`].
    pub(crate) fn join_message(&self, as_of: Slot, room: RoomId, offset: u64) -> Result<Recent, Stale> {
        let core = self.core.lock();
        if core.tail.through() > as_of {
            return Err(Stale);
        }
        let mut recent = Recent::default();
        let queued = core.queue.iter().flat_map(|queued| &queued.items).filter_map(|item| match item {
            RoomItem::Event(event) => Some(event),
            RoomItem::Shard(_) | RoomItem::Snapshot(_) => None,
        });
        let events = core.tail.records().flat_map(|record| record.events()).chain(queued);
        for event in events.filter(|event| event.room == room) {
            match &event.change {
                RoomChange::Published { expires_at, .. } if event.offset == offset => {
                    let (by, expires_at) = (event.meta.origin.by.principal, *expires_at);
                    recent.original = Some(Original { by, expires_at, deleted: false });
                }
                RoomChange::Deleted { of } if *of == offset => recent.deleted = true,
                _ => {}
            }
        }
        Ok(recent)
    }
}
