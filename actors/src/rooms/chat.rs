//! The way to the rooms: from a room's id to its shard, with what is read from views beside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{RoomId, ShardId, UserId};
use domain::ledger::Origin;
use domain::room::{Original, Past, Room, RoomChange, RoomCommand, RoomEvent, RoomKind};
use domain::time::Timestamp;
use storage::views::Table;
use storage::{Error, encoding};
use tokio::sync::oneshot;

use crate::room::{Looked, RoomMessage};
use crate::room_projector::cells::{self, KeyCell, MemberCell, RedactionCell};
use crate::room_shard::core::{RETRY_SOON, RoomShared};
use crate::room_shard::loading::Loaded;
use crate::room_shard::{NOT_OPEN, RoomShardMessage};
use crate::rooms::call::{Answered, RoomCallError, RoomEffect, RoomOutcome};
use crate::rooms::hall::Hall;

/// The deadline of a command from the moment it is handed over; past it nobody knows.
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// How often a command whose facts were too old is asked again: each time the tail has moved by half
/// its size meanwhile.
const STALE_MAX: u32 = 8;

/// The most rooms that one look for a person's rooms answers.
pub const ROOMS_OF_MEMBER_MAX: usize = 1_000;

/// The way to the rooms of a node.
#[derive(Clone)]
pub struct Chat {
    hall: Arc<Hall>,
}

/// A command that its room has, in its place among all others.
pub struct Handed(oneshot::Receiver<Answered>);

/// A person's place in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The room.
    pub room: RoomId,
    /// They are only invited.
    pub invited: bool,
}

/// An event as it is shown now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The event.
    pub event: Arc<RoomEvent>,
    /// What became of it, if it is a message.
    pub now: Showing,
}

/// What became of a message.
#[derive(Clone, Debug)]
pub enum Showing {
    /// It is as it was said.
    AsSaid,
    /// It says what this event says.
    Edited(Arc<RoomEvent>),
    /// It was deleted.
    Deleted,
    /// Its own time is over.
    Expired,
}

impl Handed {
    /// Waits until what the room decided is durable.
    ///
    /// # Errors
    /// [`RoomCallError::Unknown`] if the shard or the room failed meanwhile. All others: nothing happened.
    pub async fn outcome(self) -> RoomOutcome {
        // To ask again here would put the command after those that were handed over later.
        self.answered().await.unwrap_or(Err(RoomCallError::Busy { retry_after: RETRY_SOON }))
    }

    async fn answered(self) -> Answered {
        match tokio::time::timeout(COMMAND_DEADLINE, self.0).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) | Err(_) => Ok(Err(RoomCallError::Unknown)),
        }
    }
}

impl Chat {
    /// The way to the rooms of `hall`.
    pub const fn new(hall: Arc<Hall>) -> Self {
        Self { hall }
    }

    /// What the rooms share.
    pub const fn hall(&self) -> &Arc<Hall> {
        &self.hall
    }

    /// Hands a command to its room. Commands that are handed one after another are decided in that order;
    /// their outcomes may be waited for together.
    ///
    /// # Errors
    /// Nothing happened.
    pub async fn hand(&self, room: RoomId, command: RoomCommand) -> Result<Handed, RoomCallError> {
        let shared = self.shared(room)?;
        let looked = self.look(&shared, room, &command).await.map_err(|error| unreadable(&error))?;
        let message = |reply| RoomMessage::Command { command: Box::new(command), looked, reply };
        shared.command(room, message).map(Handed)
    }

    /// Has a room decide a command, and answers when what it decided is durable.
    ///
    /// Not undone by dropping the future: what was handed over is decided.
    ///
    /// # Errors
    /// As [`Handed::outcome`].
    pub async fn submit(&self, room: RoomId, command: RoomCommand) -> Result<RoomEffect, RoomCallError> {
        for _ in 0..STALE_MAX {
            if let Ok(outcome) = self.hand(room, command.clone()).await?.answered().await {
                return outcome;
            }
        }
        Err(RoomCallError::Busy { retry_after: RETRY_SOON })
    }

    /// Reads what the views have of what the command's room must know.
    async fn look(&self, shared: &Arc<RoomShared>, room: RoomId, command: &RoomCommand) -> Result<Looked, Error> {
        let (key, original) = (command.request.key(), command.request.original());
        if key.is_none() && original.is_none() {
            return Ok(Looked::default());
        }
        let as_of = Some(shared.as_of());
        let past = match key {
            Some(key) => self.cell::<KeyCell>(Table::RoomKeys, room, &key.0).await?.map(Past::from),
            None => None,
        };
        let original = match original {
            Some(of) => self.original(room, of).await?,
            None => None,
        };
        Ok(Looked { past, original, as_of })
    }

    /// A message as views have it.
    async fn original(&self, room: RoomId, of: u64) -> Result<Option<Original>, Error> {
        let before = of.saturating_sub(1);
        let rows = self.hall.stores.views.events_after(room.0, before, 1).await?;
        let Some(row) = rows.first().filter(|row| row.offset == of && of > 0) else { return Ok(None) };
        let event = encoding::read_room_event(&row.bytes)?;
        let RoomChange::Published { expires_at, .. } = event.change else { return Ok(None) };
        let redaction: Option<RedactionCell> =
            self.cell(Table::RoomRedactions, room, &cells::redaction_sort(of)).await?;
        let deleted = redaction.is_some_and(|redaction| redaction.deleted);
        Ok(Some(Original { by: event.meta.origin.by.principal, expires_at, deleted }))
    }

    async fn cell<T: serde::de::DeserializeOwned>(
        &self,
        table: Table,
        room: RoomId,
        sort: &[u8],
    ) -> Result<Option<T>, Error> {
        let cell = self.hall.stores.views.cell(table, room.0, sort).await?;
        cell.map(|cell| encoding::read_state(&cell)).transpose()
    }

    // ---- reading -------------------------------------------------------------------------------------

    /// The room as of its last durable event; one in which nothing ever happened has none.
    ///
    /// # Errors
    /// Its shard is not open, or the store does not answer.
    pub async fn state(&self, room: RoomId) -> Result<Arc<Room>, Error> {
        let shared = self.open(room)?;
        loop {
            let as_of = shared.as_of();
            if let Some(found) = shared.durable_room(None, room, as_of.slot) {
                return found.map_err(|broken| Error::Unknown(broken.to_string()));
            }
            let loaded = Loaded::read(&*self.hall.stores.views, room).await?;
            if let Some(found) = shared.durable_room(Some(&loaded), room, as_of.slot) {
                return found.map_err(|broken| Error::Unknown(broken.to_string()));
            }
        }
    }

    /// The offset of the room's last durable event; 0 if nothing ever happened in it.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn head(&self, room: RoomId) -> Result<u64, Error> {
        Ok(self.state(room).await?.head)
    }

    /// The offset up to which retention has removed the room's events; the first that is kept is the one
    /// after it.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn floor(&self, room: RoomId) -> Result<u64, Error> {
        let head = self.head(room).await?;
        let first = self.events_from(room, 0, 1).await?;
        Ok(first.first().map_or(head, |event| event.offset.saturating_sub(1)))
    }

    /// The room's durable events with `offset > after`, in order, at most `limit`: from views, and from
    /// the tail what views do not have. The first of them comes after a gap where retention has removed
    /// what was before; the others follow without one.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn events_after(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<Arc<RoomEvent>>, Error> {
        let mut events = self.events_from(room, after, limit).await?;
        if let Some(first) = events.first()
            && first.offset != after.saturating_add(1)
        {
            // Only what comes before all that is kept may be missing.
            let kept = self.events_from(room, 0, 1).await?;
            if kept.first().is_none_or(|kept| kept.offset < first.offset) {
                return Ok(Vec::new());
            }
        }
        let first = events.first().map_or(0, |first| first.offset);
        let dense = (first..).zip(&events).take_while(|(offset, event)| event.offset == *offset).count();
        events.truncate(dense);
        Ok(events)
    }

    async fn events_from(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<Arc<RoomEvent>>, Error> {
        let shared = self.open(room)?;
        // The tail first: what leaves it meanwhile is in the views that are read later.
        let tail = shared.tail_events(room, after, limit);
        let from_views = tail.first().is_none_or(|first| first.offset > after.saturating_add(1));
        let mut events = Vec::new();
        if from_views {
            for row in self.hall.stores.views.events_after(room.0, after, limit).await? {
                if tail.first().is_none_or(|first| row.offset < first.offset) {
                    events.push(encoding::read_room_event(&row.bytes)?);
                }
            }
        }
        events.extend(tail);
        events.truncate(limit);
        Ok(events)
    }

    /// The room's durable events with `offset < before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn events_before(&self, room: RoomId, before: u64, limit: usize) -> Result<Vec<Arc<RoomEvent>>, Error> {
        let shared = self.open(room)?;
        let mut tail = shared.tail_events(room, 0, usize::MAX);
        let oldest = tail.first().map_or(u64::MAX, |event| event.offset);
        tail.retain(|event| event.offset < before);
        let mut events: Vec<_> = tail.into_iter().rev().take(limit).collect();
        if events.len() < limit {
            let left = limit.saturating_sub(events.len());
            let rows = self.hall.stores.views.events_before(room.0, before.min(oldest), left).await?;
            for row in rows {
                events.push(encoding::read_room_event(&row.bytes)?);
            }
        }
        Ok(events)
    }

    /// Events as they are shown at `now`: what was edited, deleted or has expired is said. `events` are of
    /// one room, in either order.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn shown(&self, room: RoomId, events: Vec<Arc<RoomEvent>>, now: Timestamp) -> Result<Vec<Shown>, Error> {
        let offsets = || events.iter().filter(|event| event.change.is_message()).map(|event| event.offset);
        let redactions = match (offsets().min(), offsets().max()) {
            (Some(first), Some(last)) => self.redactions(room, first, last).await?,
            _ => BTreeMap::new(),
        };
        let mut shown = Vec::with_capacity(events.len());
        for event in events {
            let showing = match &event.change {
                RoomChange::Edited { of, .. } => self.edit_now(room, *of, &redactions).await?,
                change if !change.is_message() => Showing::AsSaid,
                _ if event.is_expired(now) => Showing::Expired,
                _ => self.message_now(room, redactions.get(&event.offset)).await?,
            };
            shown.push(Shown { event, now: showing });
        }
        Ok(shown)
    }

    /// What a message says now.
    async fn message_now(&self, room: RoomId, became: Option<&RedactionCell>) -> Result<Showing, Error> {
        Ok(match became {
            None => Showing::AsSaid,
            Some(RedactionCell { deleted: true, .. }) => Showing::Deleted,
            Some(RedactionCell { by, .. }) => match self.events_from(room, by.saturating_sub(1), 1).await?.pop() {
                Some(edit) if edit.offset == *by => Showing::Edited(edit),
                _ => Showing::AsSaid,
            },
        })
    }

    /// What an edit shows now: its words go with the message.
    async fn edit_now(&self, room: RoomId, of: u64, known: &BTreeMap<u64, RedactionCell>) -> Result<Showing, Error> {
        let became = match known.get(&of) {
            Some(became) => Some(*became),
            None => self.redactions(room, of, of).await?.remove(&of),
        };
        Ok(if became.is_some_and(|became| became.deleted) { Showing::Deleted } else { Showing::AsSaid })
    }

    /// What became of the messages from `first` to `last`.
    async fn redactions(&self, room: RoomId, first: u64, last: u64) -> Result<BTreeMap<u64, RedactionCell>, Error> {
        // The tail first, as where events are read.
        let tail = self.open(room)?.tail_events(room, 0, usize::MAX);
        let most = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(usize::MAX);
        let after = cells::redaction_sort(first.saturating_sub(1));
        let cells = self.hall.stores.views.cells(Table::RoomRedactions, room.0, &after, most).await?;
        let mut redactions = BTreeMap::new();
        for (sort, cell) in cells {
            if let Some(of) = cells::redacted(&sort).filter(|of| (first..=last).contains(of)) {
                redactions.insert(of, encoding::read_state(&cell)?);
            }
        }
        for event in tail {
            let (of, deleted) = match &event.change {
                RoomChange::Edited { of, .. } => (*of, false),
                RoomChange::Deleted { of } => (*of, true),
                _ => continue,
            };
            redactions.insert(of, RedactionCell { by: event.offset, deleted });
        }
        Ok(redactions)
    }

    /// How many messages of the room come after offset `read`.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn unread(&self, room: &Room, read: u64) -> Result<u64, Error> {
        if read >= room.head {
            return Ok(0);
        }
        let before = match self.events_before(room.id, read.saturating_add(1), 1).await?.first() {
            Some(last_read) => last_read.messages,
            None => match self.events_from(room.id, read, 1).await?.first() {
                Some(first) => first.messages_before(),
                None => room.messages,
            },
        };
        Ok(room.messages.saturating_sub(before))
    }

    /// The rooms of people that somebody is in or invited to, as views have it, after the room `after` in
    /// the order of ids; at most `limit`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<Membership>, Error> {
        let limit = limit.min(ROOMS_OF_MEMBER_MAX);
        let mut after = after.map(|room| room.0.as_bytes().to_vec()).unwrap_or_default();
        let mut rooms = Vec::new();
        loop {
            let page = self.hall.stores.views.cells(Table::RoomsOfMember, user.0, &after, limit.max(1)).await?;
            let is_last = page.len() < limit.max(1);
            for (sort, cell) in page {
                let Some(room) = cells::room_in_sort(&sort) else { continue };
                match encoding::read_state(&cell)? {
                    MemberCell::Gone => {}
                    member => rooms.push(Membership { room, invited: member == MemberCell::Invited }),
                }
                after = sort;
                if rooms.len() >= limit {
                    return Ok(rooms);
                }
            }
            if is_last {
                return Ok(rooms);
            }
        }
    }

    /// Waits until views have all that is durable of the room, but not for long. A person who has just
    /// joined finds the room among theirs.
    pub async fn catch_up(&self, room: RoomId) {
        let Ok(shared) = self.open(room) else { return };
        let Some(last) = shared.unprojected().last().map(|record| record.slot) else { return };
        let mut position = shared.position_changes();
        shared.actor.cast(RoomShardMessage::Project).ok();
        let patience = Duration::from_millis(500);
        tokio::time::timeout(patience, position.wait_for(|position| *position >= last)).await.ok();
    }

    /// Whether an event is older than its kind of room keeps.
    pub fn is_past(&self, kind: &RoomKind, event: &RoomEvent, now: Timestamp) -> bool {
        now.since(event.meta.at) > self.hall.config.retention.age(kind)
    }

    // ---- operating -----------------------------------------------------------------------------------

    /// Ends a room's quarantine. Answers whether it was in one.
    ///
    /// # Errors
    /// Its shard is not open.
    pub async fn end_quarantine(&self, room: RoomId, origin: Origin) -> Result<bool, RoomCallError> {
        let shared = self.shared(room)?;
        let (reply, answer) = oneshot::channel();
        shared.actor.cast(RoomShardMessage::EndQuarantine { room, origin, reply }).ok();
        let answered = tokio::time::timeout(COMMAND_DEADLINE, answer).await;
        answered.ok().and_then(Result::ok).ok_or(NOT_OPEN)
    }

    /// Has a room, its shard or its projector fail.
    #[cfg(feature = "simulation")]
    pub fn fail(&self, room: RoomId, what: Fault) {
        let Some(shared) = self.hall.shard(self.hall.shard_of(room)) else { return };
        let message = match what {
            Fault::Room => RoomShardMessage::PanicRoom { room },
            Fault::Shard => RoomShardMessage::Panic,
            Fault::Projector => RoomShardMessage::PanicProjector,
        };
        shared.actor.cast(message).ok();
    }

    fn shared(&self, room: RoomId) -> Result<Arc<RoomShared>, RoomCallError> {
        self.hall.shard(self.hall.shard_of(room)).ok_or(NOT_OPEN)
    }

    fn open(&self, room: RoomId) -> Result<Arc<RoomShared>, Error> {
        let shard: ShardId = self.hall.shard_of(room);
        self.hall.shard(shard).ok_or_else(|| Error::Unavailable(format!("shard {shard} of rooms is not open")))
    }
}

/// What is to fail.
#[cfg(feature = "simulation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The room's actor.
    Room,
    /// Its shard.
    Shard,
    /// Its shard's projector.
    Projector,
}

fn unreadable(error: &Error) -> RoomCallError {
    tracing::error!(%error, "the views of rooms cannot be read");
    NOT_OPEN
}
