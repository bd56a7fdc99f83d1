//! `Sessions`: supervises one `Session` a connection.
//!
//! Knows which sessions a person has, closes the oldest when there are too many, and the connection of
//! one that failed. When it dies its sessions die with it: their connections are closed and resume.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{LoginId, UserId};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use crate::metrics;
use crate::outbox::{CloseCode, Outbox};
use crate::session::{Session, SessionArgs, SessionMessage};

/// The most sessions a person may have on a node: the oldest is closed beyond it.
pub const SESSIONS_PER_USER_MAX: usize = 32;

/// How often sessions look at what waits for time to pass.
const TICK: Duration = Duration::from_secs(1);

/// Into how many parts the sessions are divided: each tick looks at one, so that thousands of sessions
/// do not all wake at once.
const PARTS: u64 = 2;

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
    /// Close the sessions of a person: of one login, or all.
    Close {
        /// Whose.
        user: UserId,
        /// Of which login.
        login: Option<LoginId>,
    },
}

/// The supervisor.
pub struct Sessions;

/// One session, as its supervisor knows it.
struct Known {
    actor: ActorRef<SessionMessage>,
    user: UserId,
    login: Option<LoginId>,
    outbox: Arc<Outbox>,
}

/// What it has.
#[derive(Default)]
pub struct SessionsState {
    sessions: HashMap<ActorId, Known>,
    users: HashMap<UserId, VecDeque<ActorId>>,
    ticks: u64,
}

impl Actor for Sessions {
    type Msg = SessionsMessage;
    type State = SessionsState;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<SessionsMessage>, (): ()) -> Result<SessionsState, ActorProcessingErr> {
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
        Ok(SessionsState::default())
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
            SessionsMessage::Close { user, login } => state.close(user, login),
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
        let (user, login, outbox) = (args.rights.user, args.rights.login, Arc::clone(&args.outbox));
        let actor = match Actor::spawn_linked(None, Session, args, me.get_cell()).await {
            Ok((actor, _)) => actor,
            Err(error) => {
                tracing::error!(%error, "a session cannot be started");
                outbox.close(CloseCode::SessionFailed, "the session failed");
                return;
            }
        };
        let id = actor.get_id();
        self.sessions.insert(id, Known { actor: actor.clone(), user, login, outbox });
        let sessions = self.users.entry(user).or_default();
        sessions.push_back(id);
        if sessions.len() > SESSIONS_PER_USER_MAX
            && let Some(oldest) = sessions.front().and_then(|oldest| self.sessions.get(oldest))
        {
            oldest.outbox.close(CloseCode::TooManySessions, "too many sessions of this user");
        }
        metrics::sessions(self.sessions.len());
        if reply.send(actor.clone()).is_err() {
            actor.cast(SessionMessage::Gone).ok();
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        for (id, known) in &self.sessions {
            if id.pid() % PARTS == self.ticks % PARTS {
                known.actor.cast(SessionMessage::Tick).ok();
            }
        }
    }

    fn close(&self, user: UserId, login: Option<LoginId>) {
        let sessions = self.users.get(&user).into_iter().flatten().filter_map(|id| self.sessions.get(id));
        for known in sessions.filter(|known| login.is_none() || known.login == login) {
            known.outbox.close(CloseCode::Ended, "the session was ended");
        }
    }

    fn forget(&mut self, actor: ActorId) -> Option<Known> {
        let known = self.sessions.remove(&actor)?;
        if let Some(sessions) = self.users.get_mut(&known.user) {
            sessions.retain(|other| *other != actor);
            if sessions.is_empty() {
                self.users.remove(&known.user);
            }
        }
        metrics::sessions(self.sessions.len());
        Some(known)
    }
}
