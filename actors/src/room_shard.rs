//! `RoomShard`: the only writer of one shard's journal of rooms.
//!
//! It appends what its rooms queued, one record in flight; answers callers and publishes what is
//! durable; activates rooms and lets them go. Its rooms, its projector and the router talk to it. It
//! follows the same law as the ledger's shard (decide, append, then tell) and is simpler: rooms settle
//! nothing with one another, so there are no channels, no timers and no suspense.
//!
//! Bounds: one append in flight; the queue by permits; the tail by admission. When it dies it takes its
//! rooms with it, and `Rooms` opens it again from the journal: what was queued and not durable never
//! happened, and who waits is told that nobody knows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::ids::{RoomId, ShardId};
use domain::ledger::{Meta, Origin};
use domain::room::{self, RoomShardEvent};
use domain::time::Timestamp;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use storage::Error;
use storage::encoding::RoomItem;
use storage::journal::{Append, Generation, Hash, Slot};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::room_projector::RoomProjectorMessage;
use crate::room_shard::appending::{Flight, Offered};
use crate::room_shard::core::{AsOf, Queued, RoomShared, Subject, Waiter};
use crate::room_shard::loading::Loaded;
use crate::rooms::call::{RoomCallError, RoomEffect};
use crate::rooms::hall::Hall;
use crate::rooms::metrics;
use crate::sweeping::Waiting;

mod activation;
pub(crate) mod appending;
pub(crate) mod core;
pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod keeping;
pub(crate) mod loading;
pub(crate) mod opening;
pub(crate) mod tail;

/// How often it is looked for idle rooms.
const SELDOM: Duration = Duration::from_secs(1);

/// Mail of a shard of rooms.
#[derive(Debug)]
pub enum RoomShardMessage {
    /// Something is queued.
    Append,
    /// The append in flight has ended.
    Appended {
        /// How.
        offered: Offered,
    },
    /// A room has mail and no actor.
    Activate {
        /// Which.
        room: RoomId,
    },
    /// A room was read.
    #[allow(private_interfaces, reason = "only the shard itself sends it")]
    Loaded {
        /// Which.
        room: RoomId,
        /// What was read.
        loaded: Result<Box<Loaded>, Arc<Error>>,
        /// What views had when the reading began.
        as_of: AsOf,
    },
    /// Look at all that waits for time to pass.
    Sweep,
    /// A projection has ended, or a reader waits for views to have what is durable.
    Project,
    /// Write rooms into the journal again.
    Keep {
        /// Which.
        rooms: Vec<RoomId>,
        /// Told when they are durable.
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// End a room's quarantine.
    EndQuarantine {
        /// Which.
        room: RoomId,
        /// Where it comes from.
        origin: Origin,
        /// Told whether it was quarantined.
        reply: oneshot::Sender<bool>,
    },
    /// Answer the state of the shard itself.
    Inspect {
        /// Where it goes.
        reply: oneshot::Sender<(Slot, room::RoomShard)>,
    },
    /// Append and settle what is in flight, then give the shard up.
    Close {
        /// Told when that is done.
        reply: oneshot::Sender<()>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
    /// Have the projector fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    PanicProjector,
    /// Have a room fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    PanicRoom {
        /// Which.
        room: RoomId,
    },
}

/// The actor of one shard of rooms.
pub struct RoomShard;

/// What it is made with.
#[derive(Clone)]
pub struct RoomShardArgs {
    /// Which shard.
    pub id: ShardId,
    /// What all shards of rooms of the node share.
    pub hall: Arc<Hall>,
}

/// What it has.
pub struct RoomShardState {
    args: RoomShardArgs,
    /// `None` until it is open.
    open: Option<Open>,
}

/// What an open shard has.
pub(crate) struct Open {
    shared: Arc<RoomShared>,
    /// The fold of the shard's own events.
    fold: room::RoomShard,
    generation: Generation,
    last: Slot,
    last_hash: Hash,
    last_at: Timestamp,
    flight: Option<Flight>,
    /// Activations in a row that failed, by room.
    failures: HashMap<RoomId, u32>,
    /// When it was last looked for idle rooms.
    looked_at: Instant,
    /// The directory's clock at the sweeps of the last idle time.
    uses: VecDeque<(Instant, u64)>,
    closing: Vec<oneshot::Sender<()>>,
    projector: ActorRef<RoomProjectorMessage>,
}

impl Actor for RoomShard {
    type Msg = RoomShardMessage;
    type State = RoomShardState;
    type Arguments = RoomShardArgs;

    async fn pre_start(
        &self,
        _: ActorRef<RoomShardMessage>,
        args: RoomShardArgs,
    ) -> Result<RoomShardState, ActorProcessingErr> {
        Ok(RoomShardState { args, open: None })
    }

    async fn post_start(
        &self,
        me: ActorRef<RoomShardMessage>,
        state: &mut RoomShardState,
    ) -> Result<(), ActorProcessingErr> {
        let open = opening::open(&me, &state.args).await?;
        state.args.hall.route(state.args.id, Some(Arc::clone(&open.shared)));
        state.open = Some(open);
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<RoomShardMessage>,
        message: RoomShardMessage,
        state: &mut RoomShardState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(open) = &mut state.open else { return Ok(()) };
        open.shared.sweeping.soon();
        match message {
            RoomShardMessage::Append => open.append(&me)?,
            RoomShardMessage::Appended { offered } => open.appended(&me, offered)?,
            RoomShardMessage::Activate { room } => open.activate(&me, room).await,
            RoomShardMessage::Loaded { room, loaded, as_of } => {
                open.loaded(&me, room, loaded.map(|loaded| *loaded), as_of).await;
            }
            RoomShardMessage::Sweep => open.sweep(),
            RoomShardMessage::Project => open.project(),
            RoomShardMessage::Keep { rooms, reply } => open.keep(rooms, reply),
            RoomShardMessage::EndQuarantine { room, origin, reply } => open.end_quarantine(room, origin, reply),
            RoomShardMessage::Inspect { reply } => {
                reply.send((open.last, open.fold.clone())).ok();
            }
            RoomShardMessage::Close { reply } => open.close(&me, reply)?,
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            RoomShardMessage::Panic => panic!("a fault was put in"),
            #[cfg(feature = "simulation")]
            RoomShardMessage::PanicProjector => {
                open.projector.cast(RoomProjectorMessage::Panic).ok();
            }
            #[cfg(feature = "simulation")]
            RoomShardMessage::PanicRoom { room } => {
                let activate =
                    open.shared.directory(|directory| directory.deliver(room, |_| crate::room::RoomMessage::Panic));
                if activate {
                    open.activate(&me, room).await;
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RoomShardMessage>,
        event: SupervisionEvent,
        state: &mut RoomShardState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(open) = &mut state.open else { return Ok(()) };
        match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => open.ended(&me, actor.get_id(), None).await,
            SupervisionEvent::ActorFailed(actor, error) => {
                if actor.get_id() == open.projector.get_id() {
                    return Err(format!("the projector of rooms failed: {error}").into());
                }
                open.ended(&me, actor.get_id(), Some(error.to_string())).await;
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<RoomShardMessage>,
        state: &mut RoomShardState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(open) = &state.open {
            open.shared.stop();
        }
        Ok(())
    }
}

impl Open {
    /// The append in flight has ended.
    fn appended(&mut self, me: &ActorRef<RoomShardMessage>, offered: Offered) -> Result<(), ActorProcessingErr> {
        let Some(flight) = self.flight.take() else { return Ok(()) };
        let place = match offered {
            Ok(Append::Durable { place }) => place,
            Ok(Append::Fenced) => return Err("another writer has the shard".into()),
            Ok(Append::Unknown) => return Err("the outcome of an append stayed unknown".into()),
            Err(error) => return Err(format!("an append failed: {error}").into()),
        };
        metrics::appended(&flight);
        let record = flight.into_record(place);
        (self.last, self.last_hash, self.last_at) = (record.slot, record.hash, record.at);
        opening::fold_record(&mut self.fold, &record);
        let events: Vec<_> = record.events().cloned().collect();
        let (pushes, more) = self.shared.durable(Some(record));
        Self::tell(pushes);
        if !events.is_empty() {
            self.shared.hall.publisher.publish(self.shared.id, self.last, &events);
        }
        self.project_if_due();
        if more {
            self.append(me)?;
        }
        self.closed_if_done(me);
        Ok(())
    }

    /// Tells callers what is durable.
    fn tell(pushes: Vec<Queued>) {
        for Queued { items, room, waiter, .. } in pushes {
            let Some(Waiter { reply, subject }) = waiter else { continue };
            let last = items.iter().rev().find_map(|item| match item {
                RoomItem::Event(event) => Some(Arc::clone(event)),
                RoomItem::Shard(_) | RoomItem::Snapshot(_) => None,
            });
            let Some(room) = room else {
                // The shard's own wait.
                reply.stale();
                continue;
            };
            let (event, offset, replayed) = match subject {
                Subject::Last => (last.clone(), last.map_or(room.head, |event| event.offset), false),
                Subject::Unchanged => (None, room.head, false),
                Subject::Replayed(offset) => (None, offset, true),
            };
            reply.send(Ok(RoomEffect { event, offset, room, replayed }));
        }
    }

    /// Looks at all that waits for time to pass, and says when it is to be called again.
    fn sweep(&mut self) {
        self.project_if_due();
        self.project_if_waiting();
        let now = Instant::now();
        if now.duration_since(self.looked_at) >= SELDOM {
            self.looked_at = now;
            self.passivate(now);
            metrics::shard(&self.shared);
        }
        self.shared.sweeping.swept(self.waiting());
    }

    /// What waits for time to pass.
    fn waiting(&self) -> Waiting {
        let is_busy = self.flight.is_some()
            || self.shared.projecting.load(Ordering::Acquire)
            || !self.closing.is_empty()
            || self.shared.has_queued()
            || self.shared.lag().2.is_some();
        match is_busy {
            true => Waiting::Now,
            false if self.shared.directory(|directory| directory.len()) > 0 => Waiting::Live,
            false => Waiting::For(Duration::MAX),
        }
    }

    /// Lets idle rooms go.
    fn passivate(&mut self, now: Instant) {
        let config = &self.shared.hall.config;
        let live_max = (config.rooms_live_max / usize::from(self.shared.hall.shards.get())).max(1);
        self.uses.push_back((now, self.shared.directory(|directory| directory.clock())));
        let mut used_before = 0;
        while let Some((_, clock)) = self.uses.pop_front_if(|(at, _)| now.duration_since(*at) >= config.idle()) {
            used_before = clock;
        }
        let durable = self.shared.durable_through();
        self.shared.directory(|directory| directory.passivate(used_before, live_max, durable));
    }

    /// Has the projector run when there is enough to do, or when it is far behind in the log.
    fn project_if_due(&self) {
        if self.shared.projecting.load(Ordering::Acquire) {
            return;
        }
        let (bytes, records, first) = self.shared.lag();
        let config = &self.shared.hall.config;
        let journal = &self.shared.hall.stores.journal;
        let behind = || first.is_some_and(|record| journal.bytes_behind(record.place) >= config.tail_log_bytes_max / 2);
        if bytes >= config.projection_bytes || records >= config.tail_records_max / 8 || behind() {
            self.project();
        }
    }

    /// Has the projector run when something has waited long enough.
    fn project_if_waiting(&self) {
        let delay = Duration::from_millis(self.shared.hall.config.projection_delay_ms);
        let now = self.shared.hall.clock.now();
        if self.shared.lag().2.is_some_and(|record| now.since(record.at) >= delay) {
            self.project();
        }
    }

    /// Has the projector run, unless it does. It is given the state of all that it finds: what becomes
    /// durable meanwhile waits for the next run.
    fn project(&self) {
        if !self.shared.projecting.swap(true, Ordering::AcqRel) {
            // A projector that has failed takes its shard with it.
            self.projector.cast(RoomProjectorMessage::Run { through: self.last, fold: self.fold.clone() }).ok();
        }
    }

    /// Writes rooms into the journal again, in a task of its own: it waits for what it queues.
    fn keep(&self, rooms: Vec<RoomId>, reply: oneshot::Sender<Result<(), Error>>) {
        let (shared, fold) = (Arc::clone(&self.shared), self.fold.clone());
        tokio::spawn(async move {
            let kept = keeping::keep(&shared, fold, &rooms).await;
            reply.send(kept).ok();
        });
    }

    fn end_quarantine(&mut self, room: RoomId, origin: Origin, reply: oneshot::Sender<bool>) {
        let quarantined = self.fold.quarantined.contains(&room);
        if quarantined {
            self.failures.remove(&room);
            let meta = Meta { at: self.shared.now(), origin };
            self.own(RoomShardEvent::QuarantineEnded { room, meta });
        }
        reply.send(quarantined).ok();
    }

    fn close(&mut self, me: &ActorRef<RoomShardMessage>, reply: oneshot::Sender<()>) -> Result<(), Error> {
        self.closing.push(reply);
        self.append(me)?;
        self.closed_if_done(me);
        Ok(())
    }

    /// A closing shard goes when nothing is queued or in flight.
    fn closed_if_done(&mut self, me: &ActorRef<RoomShardMessage>) {
        if self.closing.is_empty() || self.flight.is_some() || self.shared.has_queued() {
            return;
        }
        self.shared.hall.route(self.shared.id, None);
        self.shared.stop();
        for reply in self.closing.drain(..) {
            reply.send(()).ok();
        }
        me.stop(None);
    }
}

/// What a caller whose shard is not open is told.
pub(crate) const NOT_OPEN: RoomCallError = RoomCallError::Busy { retry_after: Duration::from_secs(1) };
