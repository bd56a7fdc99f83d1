//! The rows that a shard's records of rooms found in the views: a pure function of the records and of
//! the rows before them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{RoomId, UserId};
use domain::ledger::Principal;
use domain::room::{Rank, Room, RoomChange, RoomEvent, RoomKind, RoomShard};
use domain::time::Timestamp;
use serde::Serialize;
use storage::Error;
use storage::encoding::{self, RoomItem, Span};
use storage::journal::{Hash, JournalKey, Slot};
use storage::views::{Batch, Cell, Checkpoint, EventRow, Position, Table, Views};
use uuid::Uuid;

use crate::room_projector::cells::{KeyCell, MemberCell, RedactionCell, redaction_sort};
use crate::room_shard::index::keyed;
use crate::room_shard::loading::Loaded;
use crate::room_shard::tail::TailRecord;

/// How long to wait when views cannot be read, where a shard is alive.
const RETRY: Duration = Duration::from_millis(500);

/// A batch of rows in the making.
pub(crate) struct Rows<'a> {
    views: &'a dyn Views,
    key: JournalKey,
    /// Whether a shard is alive: it has the tail, and it waits for views that do not answer.
    live: bool,
    events: Vec<EventRow>,
    /// Rooms touched so far. `None`: what founded it is gone and it was not written again yet, which is
    /// so only while a log with retention is replayed.
    rooms: HashMap<RoomId, Option<Arc<Room>>>,
    /// Of those, which changed in more than what was said.
    changed: BTreeMap<RoomId, Timestamp>,
    cells: BTreeMap<(u8, Uuid, Vec<u8>), Cell>,
    last: Option<(Slot, Hash, Timestamp, u64)>,
}

impl<'a> Rows<'a> {
    /// No rows yet.
    pub(crate) fn new(views: &'a dyn Views, key: JournalKey) -> Self {
        let (rooms, changed, cells) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { views, key, live: false, events: Vec::new(), rooms, changed, cells, last: None }
    }

    /// No rows yet of a shard that is alive.
    pub(crate) fn live(views: &'a dyn Views, key: JournalKey) -> Self {
        Self { live: true, ..Self::new(views, key) }
    }

    /// Adds the rows of the next record.
    pub(crate) async fn record(&mut self, record: &TailRecord) -> Result<(), Error> {
        for (span, item) in &record.items {
            match item {
                RoomItem::Shard(_) => {}
                RoomItem::Snapshot(room) => self.snapshot(room, record.at)?,
                RoomItem::Event(event) => {
                    self.event_row(record, *span, event);
                    self.index(event)?;
                    if !event.change.is_talk() {
                        self.changed.insert(event.room, record.at);
                    }
                    if record.rooms.iter().all(|known| known.id != event.room) {
                        self.fold(event).await?;
                    }
                }
            }
        }
        for room in &record.rooms {
            self.rooms.insert(room.id, Some(Arc::clone(room)));
        }
        self.last = Some((record.slot, record.hash, record.at, record.term));
        Ok(())
    }

    fn event_row(&mut self, record: &TailRecord, span: Span, event: &RoomEvent) {
        let (at, from) = (span.at, usize::try_from(span.at).unwrap_or(usize::MAX));
        let to = from.saturating_add(usize::try_from(span.len).unwrap_or(usize::MAX));
        self.events.push(EventRow {
            stream: event.room.0,
            offset: event.offset,
            entries: event.messages,
            place: record.place,
            at,
            bytes: record.payload.slice(from.min(record.payload.len())..to.min(record.payload.len())),
        });
    }

    /// A room that was written again: it is as it says, whatever is known of it.
    fn snapshot(&mut self, room: &Arc<Room>, at: Timestamp) -> Result<(), Error> {
        self.rooms.insert(room.id, Some(Arc::clone(room)));
        self.changed.insert(room.id, at);
        let members = room.profile.iter().flat_map(|profile| &profile.members);
        for (user, member) in members {
            let cell = if member.rank == Rank::Invited { MemberCell::Invited } else { MemberCell::Joined };
            self.member(*user, room.id, cell)?;
        }
        Ok(())
    }

    /// The cells of an event.
    fn index(&mut self, event: &RoomEvent) -> Result<(), Error> {
        if let Some((key, past)) = keyed(event) {
            self.put(Table::RoomKeys, event.room.0, &key.0, &KeyCell::from(past))?;
        }
        let room = event.room;
        match &event.change {
            RoomChange::Opened { kind: RoomKind::Direct(one, other), .. } => {
                self.member(*one, room, MemberCell::Joined)?;
                self.member(*other, room, MemberCell::Joined)
            }
            RoomChange::Opened { kind: RoomKind::Group, .. } => match event.meta.origin.by.principal {
                Principal::Person(maker) => self.member(maker, room, MemberCell::Joined),
                Principal::System => Ok(()),
            },
            RoomChange::Invited { user } => self.member(*user, room, MemberCell::Invited),
            RoomChange::Joined { user } => self.member(*user, room, MemberCell::Joined),
            RoomChange::Left { user, .. } => self.member(*user, room, MemberCell::Gone),
            RoomChange::Edited { of, .. } => self.redaction(event, *of, false),
            RoomChange::Deleted { of } => self.redaction(event, *of, true),
            _ => Ok(()),
        }
    }

    fn member(&mut self, user: UserId, room: RoomId, cell: MemberCell) -> Result<(), Error> {
        self.put(Table::RoomsOfMember, user.0, room.0.as_bytes(), &cell)
    }

    fn redaction(&mut self, event: &RoomEvent, of: u64, deleted: bool) -> Result<(), Error> {
        let cell = RedactionCell { by: event.offset, deleted };
        self.put(Table::RoomRedactions, event.room.0, &redaction_sort(of), &cell)
    }

    fn put<T: Serialize>(&mut self, table: Table, partition: Uuid, sort: &[u8], value: &T) -> Result<(), Error> {
        let cell = Cell { table, partition, sort: sort.to_vec(), value: encoding::state(value)? };
        self.cells.insert((table.number(), partition, sort.to_vec()), cell);
        Ok(())
    }

    /// Takes an event into its room, which is read from the batch so far or from the views.
    async fn fold(&mut self, event: &Arc<RoomEvent>) -> Result<(), Error> {
        let broken = |broken: domain::room::BrokenRoom| Error::Unknown(broken.to_string());
        let state = match self.rooms.remove(&event.room) {
            Some(Some(mut room)) => {
                // An event at or below the head is in it already.
                if event.offset > room.head {
                    Arc::make_mut(&mut room).apply(event).map_err(broken)?;
                }
                Some(room)
            }
            Some(None) => None,
            None => {
                let loaded = self.load(event.room).await?;
                let new = if event.offset > loaded.head() { std::slice::from_ref(event) } else { &[] };
                let founded = loaded.head() > 0 || matches!(event.change, RoomChange::Opened { .. });
                if founded { Some(Arc::new(loaded.with(new).map_err(broken)?)) } else { None }
            }
        };
        self.rooms.insert(event.room, state);
        Ok(())
    }

    /// Reads a room from views. A shard that is alive waits for them: its tail is bounded, and to fail
    /// would only have it read them again.
    async fn load(&self, room: RoomId) -> Result<Loaded, Error> {
        loop {
            match Loaded::read(self.views, room).await {
                Err(Error::Unavailable(why)) if self.live => {
                    tracing::error!(why, shard = %self.key.shard, "views of rooms cannot be read");
                    tokio::time::sleep(RETRY).await;
                }
                read => return read,
            }
        }
    }

    /// The batch, and the position with the shard's own state.
    pub(crate) fn finish(self, fold: &RoomShard) -> Result<Batch, Error> {
        let Some((through, hash, at, term)) = self.last else {
            return Err(Error::Unknown("a batch without records".to_owned()));
        };
        let mut checkpoints = Vec::new();
        for (id, at) in self.changed {
            // Unfounded rooms have none until they are written again.
            if let Some(Some(room)) = self.rooms.get(&id) {
                checkpoints.push(Checkpoint { entity: id.0, head: room.head, at, state: encoding::state(&**room)? });
            }
        }
        let state: Bytes = encoding::state(fold)?;
        Ok(Batch {
            key: self.key,
            events: self.events,
            checkpoints,
            cells: self.cells.into_values().collect(),
            position: Position { through, hash, at, term, state },
        })
    }
}
