//! The durable records of a shard of rooms that views do not have yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::RoomId;
use domain::room::{Room, RoomEvent};
use domain::time::Timestamp;
use storage::encoding::{RoomItem, Span};
use storage::journal::{Hash, Place, Slot};

/// One durable record.
#[derive(Clone, Debug)]
pub(crate) struct TailRecord {
    /// Its slot.
    pub slot: Slot,
    /// Its stamp.
    pub at: Timestamp,
    /// Its hash.
    pub hash: Hash,
    /// Its term.
    pub term: u64,
    /// Where the journal keeps it.
    pub place: Place,
    /// Its encoded items.
    pub payload: Bytes,
    /// Its items and where each stands in the payload.
    pub items: Vec<(Span, RoomItem)>,
    /// Rooms as they are after it, those that are known without reading.
    pub rooms: Vec<Arc<Room>>,
}

impl TailRecord {
    /// Its events of rooms.
    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &Arc<RoomEvent>> {
        self.items.iter().filter_map(|(_, item)| match item {
            RoomItem::Event(event) => Some(event),
            RoomItem::Shard(_) | RoomItem::Snapshot(_) => None,
        })
    }

    /// Each room with an event in it, once.
    fn touched(&self) -> Vec<RoomId> {
        let mut rooms: Vec<_> = self.events().map(|event| event.room).collect();
        rooms.sort_unstable();
        rooms.dedup();
        rooms
    }
}

/// How a room stands in the tail.
#[derive(Default)]
struct Touched {
    /// How many records have events of it.
    records: u32,
    /// The room after the last of them, if it is known without reading.
    latest: Option<Arc<Room>>,
}

/// Durable records after the position, with what is known of the rooms in them.
#[derive(Default)]
pub(crate) struct Tail {
    records: VecDeque<Arc<TailRecord>>,
    bytes: usize,
    touched: HashMap<RoomId, Touched>,
    through: Slot,
}

impl Tail {
    /// An empty tail after the position `through`.
    pub(crate) fn after(through: Slot) -> Self {
        Self { through, ..Self::default() }
    }

    /// Everything up to this slot is in the views and not here.
    pub(crate) const fn through(&self) -> Slot {
        self.through
    }

    /// Bytes of payload.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds the next durable record.
    pub(crate) fn push(&mut self, record: TailRecord) {
        for room in record.touched() {
            let touched = self.touched.entry(room).or_default();
            touched.records += 1;
            touched.latest = None;
        }
        for room in &record.rooms {
            self.remember(room);
        }
        self.bytes += record.payload.len();
        self.records.push_back(Arc::new(record));
    }

    /// Records up to `through` go and are answered.
    pub(crate) fn trim(&mut self, through: Slot) -> Vec<Arc<TailRecord>> {
        let mut gone = Vec::new();
        while let Some(record) = self.records.pop_front_if(|record| record.slot <= through) {
            self.bytes -= record.payload.len();
            for room in record.touched() {
                if let Some(touched) = self.touched.get_mut(&room) {
                    touched.records -= 1;
                    if touched.records == 0 {
                        self.touched.remove(&room);
                    }
                }
            }
            gone.push(record);
        }
        self.through = self.through.max(through);
        gone
    }

    /// The room after its last event in the tail, if that is known without reading.
    pub(crate) fn latest(&self, room: RoomId) -> Option<Arc<Room>> {
        self.touched.get(&room)?.latest.clone()
    }

    /// Remembers a room as of its last event in the tail.
    pub(crate) fn remember(&mut self, room: &Arc<Room>) {
        if let Some(touched) = self.touched.get_mut(&room.id) {
            touched.latest = Some(Arc::clone(room));
        }
    }

    /// The room's events with an offset above `after`, in order, at most `limit`.
    pub(crate) fn events(&self, room: RoomId, after: u64, limit: usize) -> Vec<Arc<RoomEvent>> {
        if !self.touched.contains_key(&room) {
            return Vec::new();
        }
        (self.records.iter())
            .flat_map(|record| record.events())
            .filter(|event| event.room == room && event.offset > after)
            .take(limit)
            .cloned()
            .collect()
    }

    /// All records.
    pub(crate) fn records(&self) -> impl DoubleEndedIterator<Item = &Arc<TailRecord>> {
        self.records.iter()
    }

    /// The records after `slot`.
    pub(crate) fn after_slot(&self, slot: Slot) -> impl Iterator<Item = &Arc<TailRecord>> {
        let first = self.records.partition_point(|record| record.slot <= slot);
        self.records.iter().skip(first)
    }
}
