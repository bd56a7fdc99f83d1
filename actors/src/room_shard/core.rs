//! What a shard of rooms and its rooms share: the queue, the tail, the index and the directory, under
//! one lock.
//!
//! As in the ledger, decisions do not travel by mail: a room pushes what it decided here before it takes
//! its next message; when its life ends the shard closes it under the same lock, and the next life
//! starts from what is queued. So nothing that was decided is ever unknown to who decides next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::{RoomId, ShardId};
use domain::room::{BrokenRoom, Room};
use domain::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use ractor::{ActorId, ActorRef};
use storage::encoding::RoomItem;
use storage::journal::{JournalKey, Slot, Space};
use tokio::sync::{oneshot, watch};

use crate::call::Permit;
use crate::clock::ShardClock;
use crate::room::RoomMessage;
use crate::room_shard::RoomShardMessage;
use crate::room_shard::directory::{Activation, Directory};
use crate::room_shard::index::Index;
use crate::room_shard::loading::Loaded;
use crate::room_shard::tail::{Tail, TailRecord};
use crate::rooms::call::{Answered, RoomCallError, RoomReply};
use crate::rooms::hall::Hall;
use crate::sweeping::Sweeping;

mod reading;

pub(crate) use reading::AsOf;

/// When a caller that was told `busy` should come back.
pub(crate) const RETRY_SOON: Duration = Duration::from_millis(200);

/// What one decision made, until it is durable.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Its place in the order of pushes.
    pub seq: u64,
    /// What happened. Empty where only an answer waits for all that came before.
    pub items: Vec<RoomItem>,
    /// The room after it.
    pub room: Option<Arc<Room>>,
    /// Who waits for it.
    pub waiter: Option<Waiter>,
}

/// A caller who is answered when a push is durable.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Where the answer goes.
    pub reply: RoomReply,
    /// What it is about.
    pub subject: Subject,
}

/// What a caller is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    /// The last event of the push.
    Last,
    /// Nothing happened; the room is as it was.
    Unchanged,
    /// A message of before, at this offset.
    Replayed(u64),
}

/// What a room, or the shard itself, decided.
#[derive(Debug)]
pub(crate) struct Push {
    /// What happened.
    pub items: Vec<RoomItem>,
    /// The room after it.
    pub room: Option<Arc<Room>>,
    /// Who waits for it.
    pub waiter: Option<Waiter>,
}

/// A push was refused: the life that made it has ended, or the shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the activation is closed")]
pub(crate) struct Closed;

/// What is under the lock.
struct Core {
    /// Whether this ownership of the shard takes pushes.
    open: bool,
    queue: VecDeque<Queued>,
    /// How many of the queue's first are in the append in flight.
    taken: usize,
    /// The last push.
    pushed: u64,
    /// A wake is in the shard's mailbox, or an append is in flight.
    awake: bool,
    tail: Tail,
    index: Index,
    /// Views have all up to this.
    projected: Slot,
    /// The slots as of which someone is reading views, and how many are. What came after the oldest of
    /// them stays in the tail and in the index: who reads slowly would start again for ever otherwise.
    readers: BTreeMap<Slot, u32>,
    directory: Directory,
}

/// One ownership of a shard, as its rooms, its projector and the router see it.
pub(crate) struct RoomShared {
    /// Which shard.
    pub id: ShardId,
    /// What it has in common with all shards of the node.
    pub(crate) hall: Arc<Hall>,
    /// The shard's own time.
    clock: ShardClock,
    /// The shard's actor.
    pub(crate) actor: ActorRef<RoomShardMessage>,
    /// A projection is under way.
    pub(crate) projecting: AtomicBool,
    core: Mutex<Core>,
    /// All pushes up to this are durable.
    durable: AtomicU64,
    position: watch::Sender<Slot>,
    /// When the shard is swept next.
    pub(crate) sweeping: Sweeping,
}

impl RoomShared {
    /// A shard that has just been opened: nothing is queued.
    pub(crate) fn new(
        id: ShardId,
        hall: Arc<Hall>,
        clock: ShardClock,
        actor: ActorRef<RoomShardMessage>,
        tail: Tail,
    ) -> Self {
        let mut index = Index::default();
        tail.records().flat_map(|record| record.events()).for_each(|event| index.add(event));
        hall.tail_bytes.fetch_add(tail.bytes(), Ordering::AcqRel);
        let position = watch::Sender::new(tail.through());
        let core = Core {
            open: true,
            queue: VecDeque::new(),
            taken: 0,
            pushed: 0,
            awake: false,
            projected: tail.through(),
            readers: BTreeMap::new(),
            tail,
            index,
            directory: Directory::default(),
        };
        Self {
            id,
            hall,
            clock,
            actor,
            projecting: AtomicBool::new(false),
            core: Mutex::new(core),
            durable: AtomicU64::new(0),
            position,
            sweeping: Sweeping::new(),
        }
    }

    /// The shard's journal.
    pub(crate) const fn key(&self) -> JournalKey {
        JournalKey { space: Space::Rooms, shard: self.id }
    }

    /// The time for a decision.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.tick(self.hall.clock.now())
    }

    // ---- commands on their way in --------------------------------------------------------------------

    /// Gives a command to its room, with a permit.
    pub(crate) fn command(
        &self,
        room: RoomId,
        message: impl FnOnce(RoomReply) -> RoomMessage,
    ) -> Result<oneshot::Receiver<Answered>, RoomCallError> {
        let busy = RoomCallError::Busy { retry_after: RETRY_SOON };
        if !self.hall.stores.journal.has_room() {
            return Err(RoomCallError::ReadOnly);
        }
        let node = Arc::clone(&self.hall.commands).try_acquire_owned().map_err(|_| busy)?;
        let places_max = self.hall.config.commands_per_room_max;
        let mut core = self.core.lock();
        if !core.open || self.is_full(&core) || core.directory.places(room) >= places_max {
            return Err(busy);
        }
        let mut receiver = None;
        let activate = core.directory.deliver(room, |activation| {
            let (reply, answer) = RoomReply::new(Permit::take(node, &activation.places, places_max));
            receiver = Some(answer);
            message(reply)
        });
        drop(core);
        if activate {
            // A shard that has stopped takes its rooms with it; callers hear that nobody answered.
            self.actor.cast(RoomShardMessage::Activate { room }).ok();
        }
        receiver.ok_or(busy)
    }

    /// Whether the tail has no room for what new commands make.
    fn is_full(&self, core: &Core) -> bool {
        let config = &self.hall.config;
        core.tail.bytes() >= config.tail_bytes_max / 4 * 3
            || core.tail.len() >= config.tail_records_max / 4 * 3
            || self.hall.tail_bytes.load(Ordering::Acquire) >= config.tail_bytes_node_max / 4 * 3
    }

    // ---- decisions on their way to the journal -------------------------------------------------------

    /// Queues what a life decided.
    pub(crate) fn push(&self, activation: &Activation, push: Push) -> Result<(), Closed> {
        let mut core = self.core.lock();
        if !activation.is_open() || !core.open {
            return Err(Closed);
        }
        let seq = core.queue(push);
        activation.pushed(seq);
        self.wake(core);
        Ok(())
    }

    /// Queues what the shard itself decided.
    pub(crate) fn push_own(&self, push: Push) -> Result<(), Closed> {
        let mut core = self.core.lock();
        if !core.open {
            return Err(Closed);
        }
        core.queue(push);
        self.wake(core);
        Ok(())
    }

    fn wake(&self, mut core: MutexGuard<'_, Core>) {
        let sleeping = !core.awake;
        core.awake = true;
        drop(core);
        if sleeping {
            self.actor.cast(RoomShardMessage::Append).ok();
        }
    }

    /// The next pushes to append, at most `most`. They stay queued until they are durable.
    pub(crate) fn take(&self, most: usize) -> Vec<Vec<RoomItem>> {
        let mut core = self.core.lock();
        debug_assert_eq!(core.taken, 0, "one append is in flight at a time");
        let batch: Vec<_> = core.queue.iter().take(most).map(|queued| queued.items.clone()).collect();
        core.awake = !batch.is_empty();
        batch
    }

    /// Says how many of the taken pushes went into the record.
    pub(crate) fn took(&self, count: usize) {
        self.core.lock().taken = count;
    }

    /// The record with the taken pushes is durable. Answers the pushes, and whether more are queued.
    pub(crate) fn durable(&self, record: Option<TailRecord>) -> (Vec<Queued>, bool) {
        let mut core = self.core.lock();
        let count = std::mem::take(&mut core.taken);
        let pushes: Vec<_> = core.queue.drain(..count).collect();
        if let Some(mut record) = record {
            record.rooms = newest(&pushes);
            self.hall.tail_bytes.fetch_add(record.payload.len(), Ordering::AcqRel);
            core.tail.push(record);
        }
        if let Some(last) = pushes.last() {
            self.durable.fetch_max(last.seq, Ordering::AcqRel);
        }
        core.awake = !core.queue.is_empty();
        (pushes, core.awake)
    }

    /// All pushes up to this are durable.
    pub(crate) fn durable_through(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether anything is queued or in flight.
    pub(crate) fn has_queued(&self) -> bool {
        !self.core.lock().queue.is_empty()
    }

    // ---- lives of rooms --------------------------------------------------------------------------------

    /// Runs `act` on the directory.
    pub(crate) fn directory<T>(&self, act: impl FnOnce(&mut Directory) -> T) -> T {
        act(&mut self.core.lock().directory)
    }

    /// An actor has ended: its life is closed. Answers its room, and whether mail waits for the next.
    pub(crate) fn ended(&self, actor: ActorId) -> Option<(RoomId, bool)> {
        self.core.lock().directory.ended(actor)
    }

    /// What an activation starts from: the room after all that was decided, given what was read when
    /// views had all up to `as_of`. `None` if the tail has moved past that: it must be read again.
    pub(crate) fn decided(&self, loaded: Option<&Loaded>, room: RoomId, as_of: Slot) -> Option<Found> {
        let mut core = self.core.lock();
        if let Some(queued) = core.queued(room) {
            return Some(Ok(queued));
        }
        core.durable(loaded, room, as_of)
    }

    /// The room as of its last durable event, like [`Self::decided`].
    pub(crate) fn durable_room(&self, loaded: Option<&Loaded>, room: RoomId, as_of: Slot) -> Option<Found> {
        self.core.lock().durable(loaded, room, as_of)
    }

    /// Writes a room into the journal again, as it is after all that is queued: no push may come between
    /// the state and its place in the order. As [`Self::decided`] otherwise.
    pub(crate) fn snapshot(&self, loaded: &Loaded, room: RoomId, as_of: Slot) -> Option<Result<(), BrokenRoom>> {
        let mut core = self.core.lock();
        let found = match core.queued(room) {
            Some(queued) => Ok(queued),
            None => core.durable(Some(loaded), room, as_of)?,
        };
        let state = match found {
            Ok(state) => state,
            Err(broken) => return Some(Err(broken)),
        };
        if state.head > 0 && core.open {
            let items = vec![RoomItem::Snapshot(Arc::clone(&state))];
            core.queue(Push { items, room: Some(state), waiter: None });
            self.wake(core);
        }
        Some(Ok(()))
    }

    // ---- the tail ----------------------------------------------------------------------------------------

    /// Wakes when the position moves.
    pub(crate) fn position_changes(&self) -> watch::Receiver<Slot> {
        self.position.subscribe()
    }

    /// Records that views do not have.
    pub(crate) fn unprojected(&self) -> Vec<Arc<TailRecord>> {
        let core = self.core.lock();
        core.tail.after_slot(core.projected).cloned().collect()
    }

    /// The same: their bytes, how many, and the oldest.
    pub(crate) fn lag(&self) -> (usize, usize, Option<Arc<TailRecord>>) {
        let core = self.core.lock();
        let mut records = core.tail.after_slot(core.projected);
        let Some(first) = records.next().cloned() else { return (0, 0, None) };
        let (bytes, count) =
            records.fold((first.payload.len(), 1), |(bytes, count), record| (bytes + record.payload.len(), count + 1));
        (bytes, count, Some(first))
    }

    /// Views have all up to `through`.
    pub(crate) fn projected(&self, through: Slot) {
        let mut core = self.core.lock();
        core.projected = core.projected.max(through);
        self.trim(core);
        self.hall.stores.journal.projected(self.key(), through);
        self.position.send_replace(through);
    }

    /// Lets records go that views have and nobody needs. What a reader needs stays while it takes no more
    /// than half of the tail's room; then the reader starts again.
    fn trim(&self, mut core: MutexGuard<'_, Core>) {
        let config = &self.hall.config;
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
            self.hall.tail_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// Ends this ownership: nothing is pushed any more, and who waits is told that nobody knows.
    pub(crate) fn stop(&self) {
        let mut core = self.core.lock();
        if !core.open {
            return;
        }
        core.open = false;
        core.queue.clear();
        // The tail itself stays: who is reading a room still needs what views lack.
        self.hall.tail_bytes.fetch_sub(core.tail.bytes(), Ordering::AcqRel);
    }
}

/// A room as it was found, or why it cannot be.
type Found = Result<Arc<Room>, BrokenRoom>;

impl Core {
    /// Adds a push to the queue, and indexes its events. Answers its place.
    fn queue(&mut self, push: Push) -> u64 {
        self.pushed += 1;
        for item in &push.items {
            if let RoomItem::Event(event) = item {
                self.index.add(event);
            }
        }
        let seq = self.pushed;
        self.queue.push_back(Queued { seq, items: push.items, room: push.room, waiter: push.waiter });
        seq
    }

    /// The room after the last queued push of it.
    fn queued(&self, room: RoomId) -> Option<Arc<Room>> {
        self.queue.iter().rev().filter_map(|queued| queued.room.as_ref()).find(|state| state.id == room).cloned()
    }

    /// The room after its last durable event, and remembers it.
    fn durable(&mut self, loaded: Option<&Loaded>, room: RoomId, as_of: Slot) -> Option<Found> {
        if let Some(latest) = self.tail.latest(room) {
            return Some(Ok(latest));
        }
        if self.tail.through() > as_of {
            return None;
        }
        let found = loaded?.with(&self.tail.events(room, loaded?.head(), usize::MAX)).map(Arc::new);
        if let Ok(state) = &found {
            self.tail.remember(state);
        }
        Some(found)
    }
}

/// Each room as it is after the last of the pushes.
fn newest(pushes: &[Queued]) -> Vec<Arc<Room>> {
    let mut newest: HashMap<RoomId, &Arc<Room>> = HashMap::with_capacity(pushes.len());
    newest.extend(pushes.iter().filter_map(|queued| queued.room.as_ref()).map(|room| (room.id, room)));
    let mut rooms: Vec<_> = newest.into_values().cloned().collect();
    rooms.sort_unstable_by_key(|room| room.id);
    rooms
}
