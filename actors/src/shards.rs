//! `Shards`: supervises one `Shard` an owned shard.
//!
//! Opens them all, sweeps them, and opens one again that has failed, later each time. When it dies the
//! node is of no use: who wires it ends the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::ShardId;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::metrics;
use crate::node::{Node, Unopened};
use crate::shard::{Shard, ShardArgs, ShardMessage};
use crate::sweeping::Rounds;

/// How long a shard that failed waits before it is opened again, the first time.
const BACK_OFF: Duration = Duration::from_millis(100);
/// And at most.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// How long a shard must have been open for its failures to be forgotten.
const STEADY: Duration = Duration::from_mins(1);

/// What a shard's journal says cannot be, though every byte is what it was.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Impossible(pub(crate) String);

/// Why a shard did not open, and whether it is the store that is at fault.
pub(crate) fn unopened(shard: ShardId, error: &ActorProcessingErr) -> Unopened {
    let damaged = error.is::<Impossible>()
        || matches!(error.downcast_ref(), Some(storage::Error::Damaged { .. } | storage::Error::Unknown(_)));
    Unopened { shard, error: error.to_string(), damaged }
}

/// Mail of the supervisor.
#[derive(Debug)]
pub enum ShardsMessage {
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
pub struct Shards;

/// What it has.
pub struct ShardsState {
    node: Arc<Node>,
    actors: HashMap<ActorId, ShardId>,
    /// In their order, so that what happens in a simulation happens again.
    shards: BTreeMap<ShardId, ActorRef<ShardMessage>>,
    failures: HashMap<ShardId, (u32, Instant)>,
    /// Which of them are swept when.
    rounds: Rounds,
    closing: Option<oneshot::Sender<()>>,
}

impl Actor for Shards {
    type Msg = ShardsMessage;
    type State = ShardsState;
    type Arguments = Arc<Node>;

    async fn pre_start(&self, me: ActorRef<ShardsMessage>, node: Arc<Node>) -> Result<ShardsState, ActorProcessingErr> {
        for shard in node.shards.shards() {
            me.cast(ShardsMessage::Open { shard })?;
        }
        me.cast(ShardsMessage::Sweep)?;
        Ok(ShardsState {
            node,
            actors: HashMap::new(),
            shards: BTreeMap::new(),
            failures: HashMap::new(),
            rounds: Rounds::default(),
            closing: None,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<ShardsMessage>,
        message: ShardsMessage,
        state: &mut ShardsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardsMessage::Open { shard } => state.open(&me, shard).await?,
            ShardsMessage::Sweep => {
                let wait = state.sweep();
                me.send_after(wait, || ShardsMessage::Sweep);
            }
            ShardsMessage::Close { reply } => state.close(reply),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<ShardsMessage>,
        event: SupervisionEvent,
        state: &mut ShardsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => state.failed(&me, actor.get_id(), &error),
            SupervisionEvent::ActorTerminated(actor, _, _) => state.ended(actor.get_id()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl ShardsState {
    async fn open(&mut self, me: &ActorRef<ShardsMessage>, shard: ShardId) -> Result<(), ActorProcessingErr> {
        if self.closing.is_some() {
            return Ok(());
        }
        let args = ShardArgs { id: shard, node: Arc::clone(&self.node) };
        let (actor, _) = Actor::spawn_linked(None, Shard, args, me.get_cell()).await?;
        self.actors.insert(actor.get_id(), shard);
        self.shards.insert(shard, actor);
        Ok(())
    }

    /// Sweeps shards that are due. Answers after how long to do so again.
    fn sweep(&mut self) -> Duration {
        let is_due = |shard: &ShardId| self.node.shard(*shard).is_some_and(|shared| shared.sweeping.is_due());
        let (now, wait) = self.rounds.next(|| self.shards.keys().copied().filter(is_due).collect());
        for actor in now.iter().filter_map(|shard| self.shards.get(shard)) {
            // One that has just failed is opened again, and swept then.
            actor.cast(ShardMessage::Sweep).ok();
        }
        wait
    }

    /// A shard has failed: its ownership is over, and it is opened again after a while.
    fn failed(&mut self, me: &ActorRef<ShardsMessage>, actor: ActorId, error: &ActorProcessingErr) {
        let Some(shard) = self.actors.remove(&actor) else { return };
        self.shards.remove(&shard);
        if let Some(shared) = self.node.shard(shard) {
            shared.stop();
        }
        self.node.route(shard, None);
        self.node.opening.send_modify(|opening| opening.error = Some(unopened(shard, error)));
        let now = Instant::now();
        let (failures, last) = self.failures.entry(shard).or_insert((0, now));
        *failures = if now.duration_since(*last) > STEADY { 1 } else { failures.saturating_add(1) };
        *last = now;
        let wait = BACK_OFF.saturating_mul(1 << (*failures - 1).min(10)).min(BACK_OFF_MAX);
        tracing::error!(%shard, %error, ?wait, "a shard failed and is opened again");
        metrics::restarted("shard");
        let me = me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // The supervisor's own end takes all shards with it.
            me.cast(ShardsMessage::Open { shard }).ok();
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
            actor.cast(ShardMessage::Close { reply }).ok();
        }
    }
}
