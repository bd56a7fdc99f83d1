//! `Sessions`: supervises one `Session` a connection.
//!
//! Knows which sessions a person has, closes the oldest when there are too many, and the connection of
//! one that failed; says who is online. When it dies its sessions die with it: their connections are closed and
//! resume, and who does not is offline when their time in the store is over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{LoginId, UserId};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use storage::presence::Present;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock::WallClock;
use crate::metrics;
use crate::outbox::{CloseCode, Outbox};
use crate::presence::Presences;
use crate::session::{Session, SessionArgs, SessionMessage};

/// The most sessions a person may have on a node: the oldest is closed beyond it.
pub const SESSIONS_PER_USER_MAX: usize = 32;

/// How often is looked for sessions that have something which waits for time to pass. A word of each is read.
const TICK: Duration = Duration::from_millis(500);

/// Mail of the supervisor.
pub enum SessionsMessage {
    /// A client said hello and may come in.
    Open {
        /// What its session is made with.
        args: Box<SessionArgs>,
        /// The session.
        reply: oneshot::Sender<ActorRef<SessionMessage>>,
    },
    /// Have sessions look at what waits for time to pass.
    Tick,
    /// Close the sessions of a person.
    Close {
        /// Whose.
        user: UserId,
        /// Which of them: one connection, those of one login, or all.
        which: Option<Uuid>,
        /// How many there were.
        reply: Option<oneshot::Sender<usize>>,
    },
    /// Of which people's sign-ins sessions are.
    Logins {
        /// Each once.
        reply: oneshot::Sender<Vec<(UserId, LoginId)>>,
    },
}

/// The supervisor.
pub struct Sessions;

/// One session, as its supervisor knows it.
struct Known {
    actor: ActorRef<SessionMessage>,
    present: Present,
    outbox: Arc<Outbox>,
}

/// What it is made with.
#[derive(Clone)]
pub struct SessionsArgs {
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// Who is told who is online.
    pub presences: Arc<Presences>,
}

/// What it has.
pub struct SessionsState {
    args: SessionsArgs,
    /// After how many ticks a session is said again to be there.
    refresh_ticks: u64,
    ticks: u64,
    sessions: HashMap<ActorId, Known>,
    users: HashMap<UserId, VecDeque<ActorId>>,
}

impl Actor for Sessions {
    type Msg = SessionsMessage;
    type State = SessionsState;
    type Arguments = SessionsArgs;

    async fn pre_start(
        &self,
        me: ActorRef<SessionsMessage>,
        args: SessionsArgs,
    ) -> Result<SessionsState, ActorProcessingErr> {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                if me.cast(SessionsMessage::Tick).is_err() {
                    return;
                }
            }
        });
        let refresh_ticks = args.presences.refresh_every().as_millis() / TICK.as_millis();
        let refresh_ticks = u64::try_from(refresh_ticks).unwrap_or(u64::MAX).max(1);
        Ok(SessionsState { args, refresh_ticks, ticks: 0, sessions: HashMap::new(), users: HashMap::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<SessionsMessage>,
        message: SessionsMessage,
        state: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SessionsMessage::Open { args, reply } => state.open(&me, *args, reply).await,
            SessionsMessage::Tick => state.tick(),
            SessionsMessage::Close { user, which, reply } => {
                let closed = state.close(user, which);
                if let Some(reply) = reply {
                    // Who asked may have stopped waiting.
                    reply.send(closed).ok();
                }
            }
            SessionsMessage::Logins { reply } => {
                // Who asked may have stopped waiting.
                reply.send(state.logins()).ok();
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SessionsMessage>,
        event: SupervisionEvent,
        state: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                tracing::warn!(%error, "a session failed");
                metrics::restarted("session");
                if let Some(known) = state.forget(actor.get_id()) {
                    known.outbox.close(CloseCode::SessionFailed, "the session failed");
                }
            }
            SupervisionEvent::ActorTerminated(actor, _, _) => {
                state.forget(actor.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl SessionsState {
    async fn open(
        &mut self,
        me: &ActorRef<SessionsMessage>,
        args: SessionArgs,
        reply: oneshot::Sender<ActorRef<SessionMessage>>,
    ) {
        let user = args.rights.user;
        let present = Present {
            user,
            device: args.device,
            session: args.id,
            login: args.rights.login,
            since: self.args.clock.now(),
        };
        let outbox = Arc::clone(&args.outbox);
        let actor = match Actor::spawn_linked(None, Session, args, me.get_cell()).await {
            Ok((actor, _)) => actor,
            Err(error) => {
                tracing::error!(%error, "a session cannot be started");
                outbox.close(CloseCode::SessionFailed, "the session failed");
                return;
            }
        };
        let id = actor.get_id();
        self.sessions.insert(id, Known { actor: actor.clone(), present, outbox });
        let sessions = self.users.entry(user).or_default();
        sessions.push_back(id);
        // Not counted any more from here on: the next one too many closes the next oldest, not this one again.
        let oldest = if sessions.len() > SESSIONS_PER_USER_MAX { sessions.pop_front() } else { None };
        if let Some(oldest) = oldest.and_then(|oldest| self.sessions.get(&oldest)) {
            oldest.outbox.close(CloseCode::TooManySessions, "too many sessions of this user");
        }
        self.args.presences.connected(present);
        metrics::sessions(self.sessions.len());
        if reply.send(actor.clone()).is_err() {
            actor.cast(SessionMessage::Gone).ok();
        }
    }

    /// Mails to the sessions that asked to be looked at: most have nothing that waits for time to pass. Says of some
    /// of all that they are still there.
    fn tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        let now = self.args.clock.now();
        for (id, known) in &self.sessions {
            if known.outbox.take_look(now) {
                // One that has failed is forgotten with its failure.
                known.actor.cast(SessionMessage::Tick).ok();
            }
            if id.pid() % self.refresh_ticks == self.ticks % self.refresh_ticks {
                self.args.presences.connected(known.present);
            }
        }
    }

    fn close(&self, user: UserId, which: Option<Uuid>) -> usize {
        let sessions = self.users.get(&user).into_iter().flatten().filter_map(|id| self.sessions.get(id));
        let is_meant = |present: &Present| {
            which.is_none_or(|which| present.session.0 == which || present.login.is_some_and(|login| login.0 == which))
        };
        let mut closed = 0;
        for known in sessions.filter(|known| is_meant(&known.present)) {
            known.outbox.close(CloseCode::Ended, "the session was ended");
            closed += 1;
        }
        closed
    }

    /// Of which people's sign-ins the sessions are.
    fn logins(&self) -> Vec<(UserId, LoginId)> {
        let of = |known: &Known| Some((known.present.user, known.present.login?));
        self.sessions.values().filter_map(of).collect::<HashSet<_>>().into_iter().collect()
    }

    fn forget(&mut self, actor: ActorId) -> Option<Known> {
        let known = self.sessions.remove(&actor)?;
        let user = known.present.user;
        if let Some(sessions) = self.users.get_mut(&user) {
            sessions.retain(|other| *other != actor);
            if sessions.is_empty() {
                self.users.remove(&user);
            }
        }
        self.args.presences.ended(known.present);
        metrics::sessions(self.sessions.len());
        Some(known)
    }
}
