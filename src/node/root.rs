//! `Root`: the supervisor of a node's supervisors.
//!
//! Without `Shards` and `Rooms` the node is of no use: their end is the process's. `DeadLetters` and `Deadlines` are
//! started again, later each time: what was in the mailbox of the one is reported again by who still has the cause, what
//! the other knew is derived.

use std::sync::Arc;
use std::time::Duration;

use actors::dead_letters::{DeadLetters, DeadLettersArgs};
use actors::deadlines::{Deadlines, DeadlinesArgs};
use actors::node::Node;
use actors::rooms::{Rooms, RoomsArgs, RoomsMessage};
use actors::shards::{Shards, ShardsMessage};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio_util::sync::CancellationToken;

/// How long an actor that failed waits before it is started again, the first time, and at most.
const BACK_OFF: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Mail of the root.
pub enum RootMessage {
    /// Start the dead-letter actor.
    StartDeadLetters,
    /// Start looking after deadlines; when the shards are open.
    StartDeadlines,
    /// Open the shards; answers their supervisor.
    StartShards {
        /// Where it goes.
        reply: tokio::sync::oneshot::Sender<ActorRef<ShardsMessage>>,
    },
    /// Open the shards of rooms; answers their supervisor.
    StartRooms {
        /// Where it goes.
        reply: tokio::sync::oneshot::Sender<ActorRef<RoomsMessage>>,
    },
}

/// The actor.
pub struct Root;

/// What it is made with.
pub struct RootArgs {
    /// The node.
    pub node: Arc<Node>,
    /// Its rooms.
    pub rooms: RoomsArgs,
    /// Where dead letters are kept and offered again.
    pub dead_letters: DeadLettersArgs,
    /// What is owed to persons.
    pub deadlines: DeadlinesArgs,
    /// Cancelled when the node is of no use any more.
    pub broken: CancellationToken,
}

/// What it has.
pub struct RootState {
    args: RootArgs,
    shards: Option<ActorRef<ShardsMessage>>,
    rooms: Option<ActorRef<RoomsMessage>>,
    deadlines: Option<ActorId>,
    failures: u32,
}

impl Actor for Root {
    type Msg = RootMessage;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(&self, me: ActorRef<RootMessage>, args: RootArgs) -> Result<RootState, ActorProcessingErr> {
        me.cast(RootMessage::StartDeadLetters)?;
        Ok(RootState { args, shards: None, rooms: None, deadlines: None, failures: 0 })
    }

    async fn handle(
        &self,
        me: ActorRef<RootMessage>,
        message: RootMessage,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RootMessage::StartDeadLetters => {
                let args = state.args.dead_letters.clone();
                Actor::spawn_linked(None, DeadLetters, args, me.get_cell()).await?;
            }
            RootMessage::StartDeadlines => {
                let args = state.args.deadlines.clone();
                let (actor, _) = Actor::spawn_linked(None, Deadlines, args, me.get_cell()).await?;
                state.deadlines = Some(actor.get_id());
            }
            RootMessage::StartShards { reply } => {
                let node = Arc::clone(&state.args.node);
                let (actor, _) = Actor::spawn_linked(None, Shards, node, me.get_cell()).await?;
                state.shards = Some(actor.clone());
                // Who asked has gone away with the process.
                reply.send(actor).ok();
            }
            RootMessage::StartRooms { reply } => {
                let rooms = state.args.rooms.clone();
                let (actor, _) = Actor::spawn_linked(None, Rooms, rooms, me.get_cell()).await?;
                state.rooms = Some(actor.clone());
                reply.send(actor).ok();
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RootMessage>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, why) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor, error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, reason) => (actor, reason.unwrap_or_else(|| "it ended".into())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let shards = state.shards.as_ref().map(|actor| actor.get_id());
        let rooms = state.rooms.as_ref().map(|actor| actor.get_id());
        if [shards, rooms].contains(&Some(actor.get_id())) {
            tracing::error!(why, "a supervisor of shards is gone: the node ends");
            state.args.broken.cancel();
            return Ok(());
        }
        if state.rooms.as_ref().is_some_and(|rooms| rooms.get_id() == actor.get_id()) {
            tracing::error!(why, "the supervisor of the rooms is gone: the node ends");
            state.args.broken.cancel();
            return Ok(());
        }
        let wait = BACK_OFF.saturating_mul(1 << state.failures.min(10)).min(BACK_OFF_MAX);
        state.failures = state.failures.saturating_add(1);
        let (kind, again) = if state.deadlines == Some(actor.get_id()) {
            ("deadlines", RootMessage::StartDeadlines)
        } else {
            ("dead_letters", RootMessage::StartDeadLetters)
        };
        tracing::error!(why, kind, ?wait, "an actor is gone and is started again");
        metrics::counter!(actors::metrics::RESTARTS.name, "kind" => kind).increment(1);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // The root's own end is the node's.
            me.cast(again).ok();
        });
        Ok(())
    }
}
