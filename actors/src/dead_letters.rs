//! `DeadLetters`: what failed for good, and why.
//!
//! Owns the writing of dead letters to the store of deliveries: those of the ledger, which are kept as they are
//! reported, and those of deliveries, which grow, are offered again and are resolved ([`undelivered`]). Who has one
//! puts it into the [`DeadLetterBox`]. Reporting a failure twice changes nothing: an id of the ledger's is derived from
//! what failed, a message of a delivery is found in the letter that tells of it.
//!
//! When the actor dies it is started again. What was in its mailbox is reported again by who still has the cause: a
//! shard when it opens, a window that has not heard that its dead message is written down.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{AccountId, DeviceId, OperationId, RoomId, TransferId, UserId};
use domain::ledger::DivertReason;
use domain::time::Timestamp;
use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::deliveries::{DeadLetter, DeadLetterFilter, DeadLetterId, Deliveries};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock::WallClock;
use crate::dead_letters::jobs::Jobs;
pub use crate::dead_letters::jobs::Progress;
use crate::dead_letters::rate::Rate;
use crate::dead_letters::undelivered::Undelivered;
pub use crate::dead_letters::undelivered::{Applied, Died, RedriveError, reason};
use crate::streams::Streams;

mod jobs;
mod rate;
mod undelivered;

/// How long who reports a dead message waits for it to be durable.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why something failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A credit rests in suspense.
    Suspended {
        /// The transfer.
        transfer: TransferId,
        /// Who should have had it.
        account: AccountId,
        /// Why it could not be taken.
        reason: DivertReason,
    },
    /// An account is quarantined.
    Quarantined {
        /// The account.
        account: AccountId,
        /// What its last activation failed of.
        error: String,
    },
    /// A room is quarantined.
    RoomQuarantined {
        /// The room.
        room: RoomId,
        /// What its last activation failed of.
        error: String,
    },
}

/// A failure, and when it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What failed.
    pub failure: Failure,
    /// When.
    pub at: Timestamp,
}

/// Where dead letters are kept.
#[async_trait::async_trait]
pub trait DeadLetterStore: Send + Sync + 'static {
    /// Keeps a letter, or counts it as tried again if it is there.
    async fn keep(&self, letter: Reported) -> Result<(), storage::Error>;
}

/// Where failures are reported, whether the actor is alive or not.
#[derive(Clone, Default)]
pub struct DeadLetterBox {
    actor: Arc<RwLock<Option<ActorRef<DeadLettersMessage>>>>,
    rate: Arc<Mutex<Rate>>,
    jobs: Jobs,
}

impl DeadLetterBox {
    /// Reports a failure.
    pub fn report(&self, failure: Failure, at: Timestamp) {
        metrics::counter!(crate::metrics::DEAD_LETTERS.name, "reason" => failure.reason()).increment(1);
        self.rate.lock().count(at);
        tracing::warn!(reason = failure.reason(), ?failure, "a dead letter");
        self.cast(DeadLettersMessage::Keep(Reported { failure, at }));
    }

    /// Writes down that a message is dead. Durable when answered `true`; else it is to be reported again.
    pub async fn died(&self, died: Died) -> bool {
        let (reply, kept) = oneshot::channel();
        self.cast(DeadLettersMessage::Died { died: Box::new(died), reply });
        tokio::time::timeout(PATIENCE, kept).await.is_ok_and(|kept| kept == Ok(true))
    }

    /// A device applied messages of a stream that dead letters may tell of.
    pub fn applied(&self, user: UserId, device: Option<DeviceId>, stream: Uuid, applied: Applied) {
        self.cast(DeadLettersMessage::Applied { user, device, stream, applied });
    }

    /// Offers the messages of a letter again.
    ///
    /// # Errors
    /// See [`RedriveError`].
    pub async fn redrive(&self, id: DeadLetterId) -> Result<DeadLetter, RedriveError> {
        let (reply, redriven) = oneshot::channel();
        self.cast(DeadLettersMessage::Redrive { id, reply });
        let redriven = tokio::time::timeout(PATIENCE, redriven).await;
        redriven.map_err(|_| RedriveError::Away)?.map_err(|_| RedriveError::Away)?
    }

    /// Begins to redrive all that pass `filter`, so many a second.
    pub fn redrive_all(
        &self,
        id: OperationId,
        deliveries: Arc<dyn Deliveries>,
        filter: DeadLetterFilter,
        per_second: u32,
    ) {
        let filter = DeadLetterFilter { open: true, ..filter };
        self.jobs.start(id, self.clone(), deliveries, filter, per_second);
    }

    /// How far a job of [`Self::redrive_all`] is.
    pub fn progress(&self, id: OperationId) -> Option<Progress> {
        self.jobs.get(id)
    }

    /// How many dead letters there were in the last minute.
    pub fn per_minute(&self, now: Timestamp) -> u64 {
        self.rate.lock().per_minute(now)
    }

    /// The actor is alive, and takes what is reported.
    pub fn open(&self, actor: ActorRef<DeadLettersMessage>) {
        *self.actor.write() = Some(actor);
    }

    fn cast(&self, message: DeadLettersMessage) {
        if let Some(actor) = &*self.actor.read() {
            // Who is not heard reports again.
            actor.cast(message).ok();
        }
    }

    /// Fails the actor, as a fault would.
    #[cfg(feature = "simulation")]
    pub fn fail(&self) {
        self.cast(DeadLettersMessage::Panic);
    }
}

impl Failure {
    /// The stable name of the reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Suspended { reason: DivertReason::Frozen, .. } => "credit_frozen",
            Self::Suspended { reason: DivertReason::Closed, .. } => "credit_closed",
            Self::Suspended { reason: DivertReason::Full, .. } => "credit_full",
            Self::Suspended { reason: DivertReason::Quarantined, .. } => "credit_quarantined",
            Self::Quarantined { .. } => "account_quarantined",
            Self::RoomQuarantined { .. } => "room_quarantined",
        }
    }
}

/// Mail of the dead-letter actor.
#[derive(Debug)]
pub enum DeadLettersMessage {
    /// Keep a letter.
    Keep(Reported),
    /// A message is dead.
    Died {
        /// Which, and why.
        died: Box<Died>,
        /// Whether it is written down.
        reply: oneshot::Sender<bool>,
    },
    /// A device applied messages.
    Applied {
        /// Whose device.
        user: UserId,
        /// Which, if it said its name.
        device: Option<DeviceId>,
        /// Of which stream.
        stream: Uuid,
        /// What.
        applied: Applied,
    },
    /// Offer the messages of a letter again.
    Redrive {
        /// Which letter.
        id: DeadLetterId,
        /// The letter as it is then.
        reply: oneshot::Sender<Result<DeadLetter, RedriveError>>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor.
pub struct DeadLetters;

/// What it is made with.
#[derive(Clone)]
pub struct DeadLettersArgs {
    /// Where those of the ledger are kept.
    pub store: Arc<dyn DeadLetterStore>,
    /// Where those of deliveries are kept.
    pub deliveries: Arc<dyn Deliveries>,
    /// Where messages are offered again.
    pub streams: Arc<Streams>,
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// Where failures are counted.
    pub post: DeadLetterBox,
}

/// What it has.
pub struct DeadLettersState {
    store: Arc<dyn DeadLetterStore>,
    undelivered: Undelivered,
    clock: Arc<dyn WallClock>,
    post: DeadLetterBox,
}

impl Actor for DeadLetters {
    type Msg = DeadLettersMessage;
    type State = DeadLettersState;
    type Arguments = DeadLettersArgs;

    async fn pre_start(
        &self,
        me: ActorRef<DeadLettersMessage>,
        args: DeadLettersArgs,
    ) -> Result<DeadLettersState, ActorProcessingErr> {
        let DeadLettersArgs { store, deliveries, streams, clock, post } = args;
        post.open(me);
        Ok(DeadLettersState { store, undelivered: Undelivered { deliveries, streams }, clock, post })
    }

    async fn handle(
        &self,
        _: ActorRef<DeadLettersMessage>,
        message: DeadLettersMessage,
        state: &mut DeadLettersState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DeadLettersMessage::Keep(letter) => state.store.keep(letter).await?,
            DeadLettersMessage::Died { died, reply } => {
                // Who asked has gone away with its connection.
                reply.send(state.died(&died).await).ok();
            }
            DeadLettersMessage::Applied { user, device, stream, applied } => {
                state.undelivered.applied(user, device, stream, &applied, state.clock.now()).await?;
            }
            DeadLettersMessage::Redrive { id, reply } => {
                reply.send(state.undelivered.redrive(id, state.clock.now()).await).ok();
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            DeadLettersMessage::Panic => panic!("a fault was put in"),
        }
        Ok(())
    }
}

impl DeadLettersState {
    async fn died(&self, died: &Died) -> bool {
        let now = self.clock.now();
        match self.undelivered.keep(died, now).await {
            Ok(()) => {
                metrics::counter!(crate::metrics::DEAD_LETTERS.name, "reason" => died.reason.name()).increment(1);
                self.post.rate.lock().count(now);
                tracing::warn!(reason = died.reason.name(), stream = %died.stream, user = %died.user, offsets = ?died.offsets, "a dead letter");
                true
            }
            Err(error) => {
                tracing::error!(%error, "a dead letter cannot be written");
                false
            }
        }
    }
}
