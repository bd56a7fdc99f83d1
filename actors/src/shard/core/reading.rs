//! Reading while the position moves: the tail, the index, and what is kept for who reads views.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::ids::AccountId;
use domain::ledger::Event;
use storage::journal::Slot;
use tokio::sync::watch;

use super::{Core, Shared};
use crate::shard::ShardMessage;
use crate::shard::index::Index;
use crate::shard::tail::TailRecord;

impl Shared {
    /// What is read from views from now on has everything up to this. What came after it stays in the
    /// tail until the reading is over, if the tail has room.
    pub(crate) fn as_of(self: &Arc<Self>) -> AsOf {
        let mut core = self.core.lock();
        let slot = core.projected;
        *core.readers.entry(slot).or_default() += 1;
        AsOf { shared: Arc::clone(self), slot }
    }

    /// Wakes when the position moves.
    pub(crate) fn position_changes(&self) -> watch::Receiver<Slot> {
        self.position.subscribe()
    }

    /// Has the shard look at what waits, a projection among it.
    pub(crate) fn project_soon(&self) {
        self.actor.cast(ShardMessage::Project).ok();
    }

    /// Records up to `through` that views do not have.
    pub(crate) fn unprojected(&self, through: Slot) -> Vec<Arc<TailRecord>> {
        self.core.lock().tail.unprojected_through(through)
    }

    /// Records that views do not have: their bytes, how many, and the oldest.
    pub(crate) fn tail(&self) -> (usize, usize, Option<Arc<TailRecord>>) {
        let core = self.core.lock();
        let (bytes, records, first) = core.tail.unprojected();
        (bytes, records, first.cloned())
    }

    /// Views have all up to `through`.
    pub(crate) fn projected(&self, through: Slot) {
        let mut core = self.core.lock();
        core.projected = core.projected.max(through);
        core.tail.project(through);
        self.trim(core);
        self.node.stores.journal.projected(self.key(), through);
        self.position.send_replace(through);
    }

    /// Lets records go that views have and nobody needs. What a reader needs stays while it takes no more
    /// than half of the tail's room; then the reader starts again.
    fn trim(&self, mut core: parking_lot::MutexGuard<'_, Core>) {
        let config = &self.node.config;
        let crowded = core.tail.bytes() >= config.tail_bytes_max / 2 || core.tail.len() >= config.tail_records_max / 2;
        let oldest = core.readers.first_key_value().map(|(slot, _)| *slot).filter(|_| !crowded);
        let through = oldest.map_or(core.projected, |oldest| oldest.min(core.projected));
        let gone = core.tail.trim(through);
        for event in gone.iter().flat_map(|record| record.events()) {
            core.index.remove(event);
        }
        // A shard that has stopped has given back all its bytes.
        if core.open {
            let bytes: usize = gone.iter().map(|record| record.payload.len()).sum();
            self.node.tail_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// The account's events in the tail with an offset above `after`, and the position's slot.
    pub(crate) fn tail_events(&self, account: AccountId, after: u64) -> (Vec<Arc<Event>>, Slot) {
        let core = self.core.lock();
        (core.tail.events(account, after), core.tail.through())
    }

    /// The slot of the account's last durable event, if views do not have it.
    pub(crate) fn last_slot(&self, account: AccountId) -> Option<Slot> {
        self.core.lock().tail.last_slot(account)
    }

    /// Runs `join` on the index, unless the position has moved past `as_of`.
    pub(crate) fn join<T>(&self, as_of: Slot, join: impl FnOnce(&Index) -> T) -> Option<T> {
        let core = self.core.lock();
        (core.tail.through() <= as_of).then(|| join(&core.index))
    }
}

/// A reading of views under way, and the slot that they had when it began.
pub struct AsOf {
    shared: Arc<Shared>,
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
