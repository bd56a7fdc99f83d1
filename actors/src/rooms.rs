//! `Rooms`: supervises one `RoomShard` an owned shard, and looks after the log's old end.
//!
//! Opens them all, sweeps them, and opens one again that has failed, later each time. When it dies the
//! node is of no use for talk: who wires it starts it again or ends the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::ShardId;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use storage::journal::Retention;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

use crate::room_shard::{RoomShard, RoomShardArgs, RoomShardMessage};
use crate::rooms::hall::Hall;
use crate::shards::unopened;
use crate::sweeping::Rounds;

pub mod call;
pub mod chat;
pub mod config;
pub mod hall;
pub mod metrics;
pub mod retention;

/// How long a shard that failed waits before it is opened again, the first time.
const BACK_OFF: Duration = Duration::from_millis(100);
/// And at most.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// How long a shard must have been open for its failures to be forgotten.
const STEADY: Duration = Duration::from_mins(1);

/// Mail of the supervisor.
#[derive(Debug)]
pub enum RoomsMessage {
    /// Open a shard.
    Open {
        /// Which.
        shard: ShardId,
    },
    /// Have the next of the shards look at what waits for time to pass.
    Sweep,
    /// Append what is in flight everywhere, and give all shards up.
    Close {
        /// Told when that is done.
        reply: oneshot::Sender<()>,
    },
}

/// The supervisor.
pub struct Rooms;

/// What it is made with.
#[derive(Clone)]
pub struct RoomsArgs {
    /// What all shards share.
    pub hall: Arc<Hall>,
    /// The log's old end; `None` where the store itself lets go of what is old.
    pub retention: Option<Arc<dyn Retention>>,
}

/// What it has.
pub struct RoomsState {
    hall: Arc<Hall>,
    actors: HashMap<ActorId, ShardId>,
    /// In their order, so that what happens in a simulation happens again.
    shards: BTreeMap<ShardId, ActorRef<RoomShardMessage>>,
    failures: HashMap<ShardId, (u32, Instant)>,
    /// Which of them are swept when.
    rounds: Rounds,
    closing: Option<oneshot::Sender<()>>,
    /// Ends with the supervisor.
    retiring: Option<tokio::task::JoinHandle<()>>,
}

impl Actor for Rooms {
    type Msg = RoomsMessage;
    type State = RoomsState;
    type Arguments = RoomsArgs;

    async fn pre_start(
        &self,
        me: ActorRef<RoomsMessage>,
        RoomsArgs { hall, retention }: RoomsArgs,
    ) -> Result<RoomsState, ActorProcessingErr> {
        for shard in hall.shards.shards() {
            me.cast(RoomsMessage::Open { shard })?;
        }
        me.cast(RoomsMessage::Sweep)?;
        let retiring = retention.map(|log| tokio::spawn(retire(Arc::clone(&hall), log)));
        Ok(RoomsState {
            hall,
            actors: HashMap::new(),
            shards: BTreeMap::new(),
            failures: HashMap::new(),
            rounds: Rounds::default(),
            closing: None,
            retiring,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<RoomsMessage>,
        message: RoomsMessage,
        state: &mut RoomsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RoomsMessage::Open { shard } => state.open(&me, shard).await?,
            RoomsMessage::Sweep => {
                let wait = state.sweep();
                me.send_after(wait, || RoomsMessage::Sweep);
            }
            RoomsMessage::Close { reply } => state.close(reply),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RoomsMessage>,
        event: SupervisionEvent,
        state: &mut RoomsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => state.failed(&me, actor.get_id(), &error),
            SupervisionEvent::ActorTerminated(actor, _, _) => state.ended(actor.get_id()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<RoomsMessage>, state: &mut RoomsState) -> Result<(), ActorProcessingErr> {
        if let Some(retiring) = state.retiring.take() {
            retiring.abort();
        }
        Ok(())
    }
}

/// Looks at the log's old end again and again.
async fn retire(hall: Arc<Hall>, log: Arc<dyn Retention>) {
    let mut ticks = tokio::time::interval(hall.config.retention.every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = retention::sweep(&hall, &log).await {
            tracing::warn!(%error, "the oldest messages stay for now");
        }
    }
}

impl RoomsState {
    async fn open(&mut self, me: &ActorRef<RoomsMessage>, shard: ShardId) -> Result<(), ActorProcessingErr> {
        if self.closing.is_some() {
            return Ok(());
        }
        let args = RoomShardArgs { id: shard, hall: Arc::clone(&self.hall) };
        let (actor, _) = Actor::spawn_linked(None, RoomShard, args, me.get_cell()).await?;
        self.actors.insert(actor.get_id(), shard);
        self.shards.insert(shard, actor);
        Ok(())
    }

    /// Sweeps shards that are due. Answers after how long to do so again.
    fn sweep(&mut self) -> Duration {
        let is_due = |shard: &ShardId| self.hall.shard(*shard).is_some_and(|shared| shared.sweeping.is_due());
        let (now, wait) = self.rounds.next(|| self.shards.keys().copied().filter(is_due).collect());
        for actor in now.iter().filter_map(|shard| self.shards.get(shard)) {
            // One that has just failed is opened again, and swept then.
            actor.cast(RoomShardMessage::Sweep).ok();
        }
        wait
    }

    /// A shard has failed: its ownership is over, and it is opened again after a while.
    fn failed(&mut self, me: &ActorRef<RoomsMessage>, actor: ActorId, error: &ActorProcessingErr) {
        let Some(shard) = self.actors.remove(&actor) else { return };
        self.shards.remove(&shard);
        if let Some(shared) = self.hall.shard(shard) {
            shared.stop();
        }
        self.hall.route(shard, None);
        self.hall.opening.send_modify(|opening| opening.error = Some(unopened(shard, error)));
        let now = Instant::now();
        let (failures, last) = self.failures.entry(shard).or_insert((0, now));
        *failures = if now.duration_since(*last) > STEADY { 1 } else { failures.saturating_add(1) };
        *last = now;
        let wait = BACK_OFF.saturating_mul(1 << (*failures - 1).min(10)).min(BACK_OFF_MAX);
        tracing::error!(%shard, %error, ?wait, "a shard of rooms failed and is opened again");
        crate::metrics::restarted("room_shard");
        let me = me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // The supervisor's own end takes all shards with it.
            me.cast(RoomsMessage::Open { shard }).ok();
        });
    }

    fn ended(&mut self, actor: ActorId) {
        if let Some(shard) = self.actors.remove(&actor) {
            self.shards.remove(&shard);
        }
        if self.shards.is_empty()
            && let Some(reply) = self.closing.take()
        {
            reply.send(()).ok();
        }
    }

    fn close(&mut self, reply: oneshot::Sender<()>) {
        if self.shards.is_empty() {
            reply.send(()).ok();
            return;
        }
        self.closing = Some(reply);
        for actor in self.shards.values() {
            let (reply, _) = oneshot::channel();
            actor.cast(RoomShardMessage::Close { reply }).ok();
        }
    }
}
