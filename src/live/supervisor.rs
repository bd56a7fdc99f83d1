//! Keeps the streams and the supervisor of sessions alive.
//!
//! Streams begin again from the ledger. The sessions' supervisor takes its sessions with it; their connections are
//! told to resume by what closes their outboxes.

use std::time::Duration;

use actors::sessions::Sessions;
use actors::streams::{StreamsActor, StreamsArgs};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::live::SessionsHandle;

/// How long what failed waits before it is started again, the first time, and at most.
const BACK_OFF: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// What is supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The streams.
    Streams,
    /// The supervisor of sessions.
    Sessions,
}

/// The actor.
pub(super) struct Supervisor;

/// What it is made with.
pub(super) struct SupervisorArgs {
    pub streams: StreamsArgs,
    pub sessions: SessionsHandle,
}

/// What it has.
pub(super) struct SupervisorState {
    args: SupervisorArgs,
    streams: Option<ActorId>,
    failures: u32,
}

impl Actor for Supervisor {
    type Msg = Part;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(&self, me: ActorRef<Part>, args: SupervisorArgs) -> Result<SupervisorState, ActorProcessingErr> {
        let mut state = SupervisorState { args, streams: None, failures: 0 };
        state.start(&me, Part::Streams).await?;
        state.start(&me, Part::Sessions).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<Part>,
        part: Part,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.start(&me, part).await
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Part>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, why) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                (actor.get_id(), reason.unwrap_or_else(|| "it ended".into()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let part = if state.streams == Some(actor) { Part::Streams } else { Part::Sessions };
        let wait = BACK_OFF.saturating_mul(1 << state.failures.min(10)).min(BACK_OFF_MAX);
        state.failures = state.failures.saturating_add(1);
        tracing::error!(why, ?part, ?wait, "a supervised part is gone and is started again");
        let kind = if part == Part::Streams { "streams" } else { "sessions" };
        metrics::counter!(actors::metrics::RESTARTS.name, "kind" => kind).increment(1);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // The supervisor's own end is the node's.
            me.cast(part).ok();
        });
        Ok(())
    }
}

impl SupervisorState {
    async fn start(&mut self, me: &ActorRef<Part>, part: Part) -> Result<(), ActorProcessingErr> {
        match part {
            Part::Streams => {
                let args = self.args.streams.clone();
                let (actor, _) = Actor::spawn_linked(None, StreamsActor, args, me.get_cell()).await?;
                self.streams = Some(actor.get_id());
            }
            Part::Sessions => {
                let (actor, _) = Actor::spawn_linked(None, Sessions, (), me.get_cell()).await?;
                self.args.sessions.open(actor);
            }
        }
        Ok(())
    }
}
