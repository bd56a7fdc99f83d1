//! What a command to a room is answered with.

use std::sync::Arc;
use std::time::Duration;

use domain::room::{Room, RoomEvent, RoomRefused};
use tokio::sync::oneshot;

use crate::call::Permit;

/// What a command did, durably.
#[derive(Clone, Debug)]
pub struct RoomEffect {
    /// The event that says so; `None` if all was as asked already, or was so before.
    pub event: Option<Arc<RoomEvent>>,
    /// Its offset; of the message made before, if the key was used; else of the room's last event.
    pub offset: u64,
    /// The room after the command.
    pub room: Arc<Room>,
    /// It was done before, under the same idempotency key.
    pub replayed: bool,
}

/// Why a command was not done, or is not known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomCallError {
    /// A rule forbids it. Nothing happened.
    #[error(transparent)]
    Refused(#[from] RoomRefused),
    /// Too much is in flight, or the store does not answer. Nothing happened.
    #[error("too busy")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The room is quarantined. Nothing happened.
    #[error("the room is unavailable until an operator has looked at it")]
    Unavailable,
    /// The disk is nearly full. Nothing happened.
    #[error("the node takes no new messages: its disk is nearly full")]
    ReadOnly,
    /// Nobody can say now. The same key tells later.
    #[error("the outcome is not known")]
    Unknown,
}

/// How a command's outcome is answered.
pub type RoomOutcome = Result<RoomEffect, RoomCallError>;

/// What a room answers: an outcome, or that what was read for it is too old and must be read again.
pub(crate) type Answered = Result<RoomOutcome, Stale>;

/// The tail has moved past what was read from the views for this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stale;

/// Where a command's answer goes, and its permit until then.
#[derive(Debug)]
pub struct RoomReply {
    sender: oneshot::Sender<Answered>,
    _permit: Option<Permit>,
}

impl RoomReply {
    /// A reply and the place where it arrives. `None` for what the platform asks of itself.
    pub(crate) fn new(permit: Option<Permit>) -> (Self, oneshot::Receiver<Answered>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _permit: permit }, receiver)
    }

    /// Answers. A caller that has gone away hears nothing; the key tells it later.
    pub(crate) fn send(self, outcome: RoomOutcome) {
        self.sender.send(Ok(outcome)).ok();
    }

    /// Has the caller read again and ask again.
    pub(crate) fn stale(self) {
        self.sender.send(Err(Stale)).ok();
    }
}
