//! `PresenceWriter`: says to the store of presence which sessions of this node are connected.
//!
//! `Sessions` tells [`Presences`] of each session that begins and ends, and again of each now and then, before its time
//! in the store is over. A session that ended stays for a moment longer, so that a connection that breaks and comes
//! back is nobody's leaving; nothing has to be undone and no timer runs for it.
//!
//! Bounds: at most [`WAITING_MAX`] changes wait. What does not fit, and what the store does not take, is not kept: who
//! is connected is said again, who is not expires. When the writer dies it is started again and finds what waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{SessionId, UserId};
use domain::time::Timestamp;
use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::Error;
use storage::presence::{PUT_MAX, Presence, Present};

use crate::clock::WallClock;
use crate::config::PresenceConfig;
use crate::metrics;

/// The most changes that wait for the store: a node's whole storm of connections.
pub const WAITING_MAX: usize = 32_768;

/// Who is online: what this node says, and what all say.
pub struct Presences {
    store: Arc<dyn Presence>,
    clock: Arc<dyn WallClock>,
    config: PresenceConfig,
    waiting: Mutex<Waiting>,
    actor: RwLock<Option<ActorRef<PresenceMessage>>>,
}

/// Changes that the store was not told of.
#[derive(Debug, Default)]
struct Waiting {
    /// The newest of each session.
    changes: HashMap<SessionId, Change>,
    /// The writer has mail.
    mailed: bool,
}

/// What is to be said of a session.
#[derive(Clone, Copy, Debug)]
struct Change {
    present: Present,
    connected: bool,
}

/// Mail of the writer.
#[derive(Debug)]
pub enum PresenceMessage {
    /// Tell the store what waits.
    Write,
}

impl Presences {
    /// Over a store, by a node's clock.
    pub fn new(store: Arc<dyn Presence>, clock: Arc<dyn WallClock>, config: PresenceConfig) -> Arc<Self> {
        Arc::new(Self { store, clock, config, waiting: Mutex::default(), actor: RwLock::new(None) })
    }

    /// How long a session that ended counts as there.
    pub const fn debounce(&self) -> Duration {
        self.config.debounce()
    }

    /// How often each session is to be said again: twice within its time, so that one time may be missed.
    pub fn refresh_every(&self) -> Duration {
        self.config.lasts() / 3
    }

    /// A session is connected.
    pub fn connected(&self, present: Present) {
        self.change(Change { present, connected: true });
    }

    /// A session has ended.
    pub fn ended(&self, present: Present) {
        self.change(Change { present, connected: false });
    }

    /// The sessions of people, on whatever node: see [`Presence::of`].
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Present>>, Error> {
        self.store.of(users, self.now()).await
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn change(&self, change: Change) {
        let mut waiting = self.waiting.lock();
        if waiting.changes.len() >= WAITING_MAX && !waiting.changes.contains_key(&change.present.session) {
            metrics::presence_lost(1);
            return;
        }
        waiting.changes.insert(change.present.session, change);
        if waiting.mailed {
            return;
        }
        waiting.mailed = true;
        if let Some(writer) = &*self.actor.read() {
            // A dead one's successor looks what waits.
            writer.cast(PresenceMessage::Write).ok();
        }
    }

    fn take(&self) -> HashMap<SessionId, Change> {
        let mut waiting = self.waiting.lock();
        waiting.mailed = false;
        std::mem::take(&mut waiting.changes)
    }

    async fn write(&self) {
        let (connected, ended): (Vec<_>, Vec<_>) = self.take().into_values().partition(|change| change.connected);
        for (changes, lasts) in [(connected, self.config.lasts()), (ended, self.config.debounce())] {
            for part in changes.chunks(PUT_MAX) {
                let sessions = part.iter().map(|change| change.present).collect();
                if let Err(error) = self.store.put(sessions, self.now(), lasts).await {
                    metrics::presence_lost(part.len());
                    tracing::warn!(%error, sessions = part.len(), "who is online cannot be said");
                }
            }
        }
    }
}

/// The actor.
pub struct PresenceWriter;

impl Actor for PresenceWriter {
    type Msg = PresenceMessage;
    type State = Arc<Presences>;
    type Arguments = Arc<Presences>;

    async fn pre_start(
        &self,
        me: ActorRef<PresenceMessage>,
        presences: Arc<Presences>,
    ) -> Result<Arc<Presences>, ActorProcessingErr> {
        me.cast(PresenceMessage::Write)?;
        *presences.actor.write() = Some(me);
        Ok(presences)
    }

    async fn handle(
        &self,
        _: ActorRef<PresenceMessage>,
        message: PresenceMessage,
        presences: &mut Arc<Presences>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PresenceMessage::Write => presences.write().await,
        }
        Ok(())
    }
}
