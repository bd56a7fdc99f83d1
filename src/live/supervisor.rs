//! Keeps the streams, their sweeper, presence and the supervisor of sessions alive.
//!
//! Streams begin again from the ledger; the sweeper finds everything in the windows; what says who is where finds what
//! waits. The sessions' supervisor takes its sessions with it; their connections are told to resume by what closes
//! their outboxes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actors::clock::WallClock;
use actors::presence::{PresenceWriter, Presences};
use actors::sessions::{Sessions, SessionsArgs};
use actors::streams::presence::{RoomPresenceTeller, TellerArgs};
use actors::streams::publishing::{StreamsActor, StreamsArgs};
use actors::streams::sweeper::Sweeper;
use domain::ledger::Event;
use domain::room::RoomEvent;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::live::SessionsHandle;

/// How long what failed waits before it is started again, the first time, and at most.
const BACK_OFF: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// What is supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The streams of accounts.
    Streams,
    /// The streams of rooms.
    RoomStreams,
    /// What sends again.
    Sweeper,
    /// What says who is online.
    Presence,
    /// What tells rooms who is in them.
    RoomPresence,
    /// The supervisor of sessions.
    Sessions,
}

impl Part {
    /// Its name in the metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::RoomStreams => "room_streams",
            Self::Sweeper => "sweeper",
            Self::Presence => "presence",
            Self::RoomPresence => "room_presence",
            Self::Sessions => "sessions",
        }
    }
}

/// The actor.
pub(super) struct Supervisor;

/// What it is made with.
pub(super) struct SupervisorArgs {
    pub accounts: StreamsArgs<Event>,
    pub rooms: StreamsArgs<RoomEvent>,
    pub presence: Arc<Presences>,
    pub room_presence: TellerArgs,
    pub sessions: SessionsHandle,
    pub clock: Arc<dyn WallClock>,
}

/// What it has.
pub(super) struct SupervisorState {
    args: SupervisorArgs,
    parts: HashMap<ActorId, Part>,
    failures: u32,
}

impl Actor for Supervisor {
    type Msg = Part;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(&self, me: ActorRef<Part>, args: SupervisorArgs) -> Result<SupervisorState, ActorProcessingErr> {
        let mut state = SupervisorState { args, parts: HashMap::new(), failures: 0 };
        state.start(&me, Part::Streams).await?;
        state.start(&me, Part::RoomStreams).await?;
        state.start(&me, Part::Sweeper).await?;
        state.start(&me, Part::Presence).await?;
        state.start(&me, Part::RoomPresence).await?;
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
        let Some(part) = state.parts.remove(&actor) else { return Ok(()) };
        let wait = BACK_OFF.saturating_mul(1 << state.failures.min(10)).min(BACK_OFF_MAX);
        state.failures = state.failures.saturating_add(1);
        tracing::error!(why, ?part, ?wait, "a supervised part is gone and is started again");
        metrics::counter!(actors::metrics::RESTARTS.name, "kind" => part.name()).increment(1);
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
        let actor = match part {
            Part::Streams => {
                let args = self.args.accounts.clone();
                Actor::spawn_linked(None, StreamsActor::default(), args, me.get_cell()).await?.0.get_id()
            }
            Part::RoomStreams => {
                let args = self.args.rooms.clone();
                Actor::spawn_linked(None, StreamsActor::default(), args, me.get_cell()).await?.0.get_id()
            }
            Part::Sweeper => {
                let streams = Arc::clone(&self.args.accounts.streams);
                Actor::spawn_linked(None, Sweeper, streams, me.get_cell()).await?.0.get_id()
            }
            Part::Presence => {
                let presences = Arc::clone(&self.args.presence);
                Actor::spawn_linked(None, PresenceWriter, presences, me.get_cell()).await?.0.get_id()
            }
            Part::RoomPresence => {
                let args = self.args.room_presence.clone();
                Actor::spawn_linked(None, RoomPresenceTeller, args, me.get_cell()).await?.0.get_id()
            }
            Part::Sessions => {
                let SupervisorArgs { clock, presence, .. } = &self.args;
                let args = SessionsArgs { clock: Arc::clone(clock), presences: Arc::clone(presence) };
                let (actor, _) = Actor::spawn_linked(None, Sessions, args, me.get_cell()).await?;
                self.args.sessions.open(actor.clone());
                actor.get_id()
            }
        };
        self.parts.insert(actor, part);
        Ok(())
    }
}
