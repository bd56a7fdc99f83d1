//! Batches to apply, made row by row.

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use uuid::Uuid;

use super::ViewsFixture;
use crate::journal::{Hash, JournalKey, Place, Slot, Space};
use crate::views::{Batch, Cell, Checkpoint, EventRow, Position, StoredEvent, Table};

/// The journal of a shard.
pub(super) fn key(shard: u16) -> JournalKey {
    JournalKey { space: Space::Ledger, shard: ShardId(shard) }
}

/// An id that differs from its neighbours in its last byte as in others.
pub(super) fn id(number: u64) -> Uuid {
    Uuid::from_u64_pair(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}

/// The events of rows as they should be read.
pub(super) fn stored(rows: &[EventRow]) -> Vec<StoredEvent> {
    rows.iter().map(|row| StoredEvent { offset: row.offset, bytes: row.bytes.clone() }).collect()
}

/// Makes one shard's batches, a slot after another.
#[derive(Clone)]
pub(super) struct Batches {
    next: Batch,
}

impl Batches {
    pub(super) fn of(shard: u16) -> Self {
        Self { next: empty(key(shard), 1) }
    }

    /// Adds an event that is also one money entry.
    pub(super) fn event(&mut self, fixture: &impl ViewsFixture, stream: Uuid, offset: u64) {
        let text = format!("event {offset} of {stream}");
        self.event_of(fixture, stream, offset, offset, text.as_bytes());
    }

    /// Adds an event. Each has a record of its own, in which it stands after some other bytes if the
    /// record has room for them.
    pub(super) fn event_of(
        &mut self,
        fixture: &impl ViewsFixture,
        stream: Uuid,
        offset: u64,
        entries: u64,
        bytes: &[u8],
    ) {
        let number = u64::try_from(self.next.events.len()).expect("few");
        let shard = u64::from(self.next.key.shard.0);
        let place = Place(shard << 48 | self.next.position.through.0 << 20 | number);
        let before: &[u8] = if bytes.len() < 1_000 { b"what stands before it" } else { b"" };
        fixture.keep(place, Bytes::from([before, bytes, before].concat()));
        let at = u32::try_from(before.len()).expect("short");
        self.next.events.push(EventRow { stream, offset, entries, place, at, bytes: Bytes::copy_from_slice(bytes) });
    }

    /// How many entries `stream` has up to the next batch's last event of it; 0 if there is none.
    pub(super) fn entries_of(&self, stream: Uuid) -> u64 {
        self.next.events.iter().rev().find(|event| event.stream == stream).map_or(0, |event| event.entries)
    }

    /// Sets the entity's checkpoint.
    pub(super) fn checkpoint(&mut self, entity: Uuid, head: u64, state: &[u8]) {
        let at = self.next.position.at;
        self.next.checkpoints.retain(|checkpoint| checkpoint.entity != entity);
        self.next.checkpoints.push(Checkpoint { entity, head, at, state: Bytes::copy_from_slice(state) });
    }

    /// Adds a cell. A later one of the same key wins.
    pub(super) fn cell(&mut self, table: Table, partition: Uuid, sort: &[u8], value: &[u8]) {
        let value = Bytes::copy_from_slice(value);
        self.next.cells.push(Cell { table, partition, sort: sort.to_vec(), value });
    }

    /// The batch so far; the next one is of the slot after it.
    pub(super) fn take(&mut self) -> Batch {
        let next = empty(self.next.key, self.next.position.through.0 + 1);
        std::mem::replace(&mut self.next, next)
    }
}

fn empty(key: JournalKey, slot: u64) -> Batch {
    let position = Position {
        through: Slot(slot),
        hash: Hash([u8::try_from(slot % 251).expect("small"); 32]),
        at: Timestamp(1_700_000_000_000_000 + slot),
        term: slot / 10 + 1,
        state: Bytes::from(format!("state at {slot}")),
    };
    Batch { key, events: Vec::new(), checkpoints: Vec::new(), cells: Vec::new(), position }
}
