//! The port of watches: whose messages are owed to whom, when somebody must look whether they were applied, and what
//! became of each.
//!
//! Mutable, durable, not rebuildable. Nothing here is a person's text: ids, offsets and times only. Who writes is the
//! one actor that looks after deadlines on the node that owns the stream; it writes in batches, so that a message that
//! is applied within seconds costs this store one short row, later and beside others.

mod timeline;

use std::time::Duration;

use async_trait::async_trait;
use domain::delivery::Class;
use domain::ids::UserId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;
use crate::journal::{JournalKey, Slot};
pub use timeline::{Passage, Timeline, TimelineMark, TimelinePage, TimelineStep, TimelineWrite};

/// The most entries that one call takes or answers: one short commit.
pub const BATCH_MAX: usize = 4_096;

/// The most messages that a watch says were found dead before one that may still be applied.
pub const FOUND_MAX: usize = 256;

/// How long is kept what became of a message: as long as a dead letter that was resolved.
pub const TIMELINE_AGE_MAX: Duration = Duration::from_hours(30 * 24);

/// A person who subscribed to a stream of theirs with a device that said its name: its messages are owed to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// Who.
    pub user: UserId,
    /// The stream.
    pub stream: Uuid,
    /// How it is delivered.
    pub class: Class,
}

/// A person's messages of one stream that somebody must look after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Whose, of which stream.
    pub subscriber: Subscriber,
    /// The life of the store's streams that offsets count in.
    pub epoch: String,
    /// All up to here is applied, or dead for the person.
    pub through: u64,
    /// Beyond it, these were found dead already; at most [`FOUND_MAX`].
    pub found: Vec<u64>,
    /// When to look.
    pub due: Timestamp,
    /// Dead messages that were not escalated: the first and last.
    pub unsaid: Option<(u64, u64)>,
    /// When was escalated last.
    pub escalated_at: Option<Timestamp>,
}

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchChange {
    /// The watch is as this from now on.
    Put(Watch),
    /// Nothing of the stream is to be looked after for the person.
    End(UserId, Uuid),
    /// Nor is anything owed to them: they have no device with a place in it any more. Where one has by now, and the store
    /// can tell within the commit, they stay a subscriber.
    Forget(UserId, Uuid),
}

/// Subscribers, watches and timelines.
///
/// Every write is durable before it answers, and what waits together shares a commit. A write whose caller goes away is
/// still done.
#[async_trait]
pub trait Watches: Send + Sync + 'static {
    /// Notes that messages of the stream are owed to the person. Idempotent, and a write the first time only.
    async fn subscribe(&self, subscriber: Subscriber) -> Result<(), Error>;

    /// Who subscribed to each stream, in the order given; at most [`BATCH_MAX`].
    async fn subscribers(&self, streams: Vec<Uuid>) -> Result<Vec<Option<Subscriber>>, Error>;

    /// The watch of each person and stream, in the order given; at most [`BATCH_MAX`].
    async fn watches(&self, of: Vec<(UserId, Uuid)>) -> Result<Vec<Option<Watch>>, Error>;

    /// Watches that are due at `now`, the longest due first; at most `max`, at most [`BATCH_MAX`].
    async fn due_watches(&self, now: Timestamp, max: usize) -> Result<Vec<Watch>, Error>;

    /// Changes watches, at most [`BATCH_MAX`], and notes up to which slot of each journal all events have been looked
    /// at: all in one commit, or none.
    async fn change_watches(&self, changes: Vec<WatchChange>, noted: Vec<(JournalKey, Slot)>) -> Result<(), Error>;

    /// Up to which slot of each journal all events have been looked at. A journal of which that was never noted is not
    /// among them.
    async fn noted(&self) -> Result<Vec<(JournalKey, Slot)>, Error>;

    /// Adds to what is known of messages, at most [`BATCH_MAX`]. A step that is known already changes nothing but for a
    /// device's later attempts; steps in any order come to the same. Kept for [`TIMELINE_AGE_MAX`], or less where the
    /// store bounds how many it keeps: then the oldest day goes first.
    async fn put_timelines(&self, writes: Vec<TimelineWrite>) -> Result<(), Error>;

    /// What became of one message for a person. Nothing if nothing was written.
    async fn timeline(&self, user: UserId, stream: Uuid, offset: u64) -> Result<Option<Timeline>, Error>;

    /// All that is known of a person's messages, to be moved to another store: a page of at most [`BATCH_MAX`] steps. Of
    /// when a step was written down the store may know no more than the day.
    async fn timelines(&self, user: UserId, after: Option<TimelineMark>) -> Result<TimelinePage, Error>;

    /// Forgets subscriptions, watches and timelines of a person. Idempotent.
    async fn forget_watches(&self, user: UserId) -> Result<(), Error>;
}
