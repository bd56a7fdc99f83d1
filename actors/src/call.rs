//! What a command to the ledger is answered with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::ledger::{Account, Event, Refusal};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Both sides are durable (or there is but one).
    Completed,
    /// The payer's side is durable; the payee's is not known to be yet.
    Pending,
    /// The payee could not take it and it went back.
    Returned,
}

/// What a command did, durably.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The event that says so; `None` if all was as asked already.
    pub event: Option<Arc<Event>>,
    /// The account after the command; for a repeated one the event alone says how it was.
    pub account: Option<Arc<Account>>,
    /// How far it is.
    pub status: Status,
    /// It was done before, under the same idempotency key.
    pub replayed: bool,
}

/// Why a command was not done, or is not known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A rule forbids it. Nothing happened.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The payee's shard does not settle at present. Nothing happened.
    #[error("the payee cannot be reached at present")]
    PayeeUnavailable {
        /// When to come back.
        retry_after: Duration,
    },
    /// Too much is in flight, or the store does not answer. Nothing happened.
    #[error("too busy")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The account is quarantined. Nothing happened.
    #[error("the account is unavailable until an operator has looked at it")]
    Unavailable,
    /// The disk is nearly full. Nothing happened.
    #[error("the node takes no new commands: its disk is nearly full")]
    ReadOnly,
    /// Nobody can say now. The same key tells later.
    #[error("the outcome is not known")]
    Unknown,
}

/// How a command's outcome is answered.
pub type Answer = Result<Effect, CommandError>;

/// The right of one command to be in flight. Given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    _node: OwnedSemaphorePermit,
    account: Arc<AtomicU32>,
}

impl Permit {
    /// Takes a place of the account beside the node's, if fewer than `most` are taken.
    pub(crate) fn take(node: OwnedSemaphorePermit, account: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        let more = |taken: u32| (taken < most).then(|| taken.saturating_add(1));
        account.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self { _node: node, account: Arc::clone(account) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.account.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where a command's answer goes, and its permit until then.
#[derive(Debug)]
pub struct Reply {
    sender: oneshot::Sender<Answer>,
    _permit: Option<Permit>,
}

impl Reply {
    /// A reply and the place where it arrives. `None` for what the platform asks of itself.
    pub(crate) fn new(permit: Option<Permit>) -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _permit: permit }, receiver)
    }

    /// Answers. A caller that has gone away hears nothing; the key tells it later.
    pub(crate) fn send(self, answer: Answer) {
        self.sender.send(answer).ok();
    }
}
