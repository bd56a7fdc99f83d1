//! `DeadLetters`: what failed for good, and why.
//!
//! Owns the writing of dead letters to the store of deliveries. Who has one puts it into the
//! [`DeadLetterBox`]; a letter's id is derived from what failed, so reporting it twice, as a shard does
//! when it opens with money in suspense, changes nothing. When the actor dies it is started again; what
//! was in its mailbox is reported again by who still has the cause.

use std::sync::Arc;

use domain::ids::{AccountId, TransferId};
use domain::ledger::DivertReason;
use domain::time::Timestamp;
use parking_lot::RwLock;
use ractor::{Actor, ActorProcessingErr, ActorRef};

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
}

impl DeadLetterBox {
    /// Reports a failure.
    pub fn report(&self, failure: Failure, at: Timestamp) {
        metrics::counter!(crate::metrics::DEAD_LETTERS.name, "reason" => failure.reason()).increment(1);
        tracing::warn!(reason = failure.reason(), ?failure, "a dead letter");
        if let Some(actor) = &*self.actor.read() {
            actor.cast(DeadLettersMessage::Keep(Reported { failure, at })).ok();
        }
    }

    /// The actor is alive, and takes what is reported.
    pub fn open(&self, actor: ActorRef<DeadLettersMessage>) {
        *self.actor.write() = Some(actor);
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
        }
    }
}

/// Mail of the dead-letter actor.
#[derive(Debug)]
pub enum DeadLettersMessage {
    /// Keep a letter.
    Keep(Reported),
}

/// The actor.
pub struct DeadLetters;

impl Actor for DeadLetters {
    type Msg = DeadLettersMessage;
    type State = Arc<dyn DeadLetterStore>;
    type Arguments = Arc<dyn DeadLetterStore>;

    async fn pre_start(
        &self,
        _: ActorRef<DeadLettersMessage>,
        store: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(store)
    }

    async fn handle(
        &self,
        _: ActorRef<DeadLettersMessage>,
        message: DeadLettersMessage,
        store: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DeadLettersMessage::Keep(letter) => Ok(store.keep(letter).await?),
        }
    }
}
