//! What can be followed: a stream, what it is called, how it is delivered, and where it is read.

use std::sync::Arc;

use async_trait::async_trait;
use domain::delivery::Class;
use domain::ids::UserId;
use protocol::code::Code;
use protocol::frame::{MessageText, StreamName};
use uuid::Uuid;

use crate::session::Rights;

/// A stream as its followers know it.
pub struct Topic {
    /// The stream: the id of an account or a room.
    pub stream: Uuid,
    /// What the followers call it.
    pub name: StreamName,
    /// How it is delivered.
    pub class: Class,
    /// Whom its messages are for, if it is one person's.
    pub owner: Option<UserId>,
    /// Where it is read.
    pub source: Arc<dyn Source>,
}

impl Topic {
    /// Whether its messages are owed to a person: it is one person's own, and each message is acknowledged.
    pub const fn is_owed(&self) -> bool {
        self.owner.is_some() && self.class.is_tracked()
    }
}

/// One event of a stream, written for all its followers.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Its offset.
    pub offset: u64,
    /// The frame.
    pub text: MessageText,
}

/// Why a stream cannot be read now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a stream cannot be read: {0}")]
pub struct Unreadable(pub String);

/// Where the events of streams are read: the ledger, rooms.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The last durable offset of the stream. What was published before this was asked is at or below it.
    async fn head(&self, stream: Uuid) -> Result<u64, Unreadable>;

    /// The last offset that retention has taken: what is at or below it will not come. 0 where all is kept for ever.
    async fn floor(&self, stream: Uuid) -> Result<u64, Unreadable>;

    /// Durable events after an offset, in order and without a hole, at most `limit`.
    async fn after(&self, topic: &Topic, after: u64, limit: usize) -> Result<Vec<Encoded>, Unreadable>;

    /// Whether the person may hear what is durable by now. Of streams whose followers may always, they may.
    async fn may_hear(&self, topic: &Topic, user: UserId) -> Result<bool, Unreadable> {
        let (_, _) = (topic, user);
        Ok(true)
    }
}

/// Which streams a person may follow, by their names.
#[async_trait]
pub trait Topics: Send + Sync + 'static {
    /// The stream of this name.
    ///
    /// # Errors
    /// [`Code::StreamUnknown`] if there is none that they may follow, [`Code::Busy`] if that cannot be known now.
    async fn topic(&self, rights: &Rights, name: &StreamName) -> Result<Arc<Topic>, Code>;
}
