//! `Streams`: which local sessions follow which stream.
//!
//! Who owns a stream publishes its durable events into it, encoded once, and it pushes them into the outboxes of all
//! who follow: shards through the actor's mailbox ([`StreamsPublisher`]), because what an event looks like is read from
//! stores; rooms directly ([`Streams::publish`]). A follower hears the offsets of its stream without a hole: one that
//! is behind is brought up from the stream's [`topic::Source`], at its own pace, and then goes live.
//!
//! Bounds: events of streams that nobody follows are never mailed; a follower's buffer, window and outbox are
//! bounded. When the actor dies, what was in its mailbox is lost to the live ones; the next life brings
//! every follower up from its source, so nothing is lost to them.

use std::sync::Arc;

use bytes::Bytes;
use domain::delivery::{Ack, Cause, Class, Nacked, Policy, Progress};
use domain::ids::ShardId;
use domain::ledger::Event;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use crate::config::DeliveryConfig;
use crate::node::Publisher;
use crate::outbox::lane::{At, Offered, Spliced};
use crate::outbox::{Outbox, frame};
use crate::streams::account::AccountStreams;
use crate::streams::follow::{Follow, Follower};
use crate::streams::pace::Pace;
use crate::streams::stats::Stats;
use crate::streams::table::{Follows, Table};
use crate::streams::topic::Topic;

pub mod account;
pub mod follow;
mod pace;
mod reading;
pub mod stats;
pub mod sweeper;
mod table;
pub mod topic;

pub(crate) use reading::REPLAY_MAX;

/// Followers that are pushed to in one turn: a thousand pushes are well below a millisecond, so that a stream with
/// many followers holds no core for long.
const PART: usize = 1_000;

/// Mail of the streams.
#[derive(Debug)]
pub enum StreamsMessage {
    /// These became durable, and somebody follows their streams.
    Published {
        /// The events, in order.
        events: Vec<Arc<Event>>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The id of a message: its stream and its offset, the same at every delivery.
pub fn message_id(stream: Uuid, offset: u64) -> String {
    format!("{}-{offset}", stream.simple())
}

/// Where the message of this id is.
pub fn read_message_id(id: &str) -> Option<(Uuid, u64)> {
    let (stream, offset) = id.split_once('-')?;
    let place = (Uuid::try_parse(stream).ok()?, offset.parse().ok()?);
    (message_id(place.0, place.1) == id).then_some(place)
}

/// The streams of a node, as their owners and sessions see them.
pub struct Streams {
    table: Table,
    config: DeliveryConfig,
    pace: Pace,
    stats: Stats,
    /// One life of the store's streams: what clients hold beside offsets.
    epoch: String,
}

impl Streams {
    /// Streams that nobody follows yet. `seed` spreads retries.
    pub fn new(epoch: String, config: DeliveryConfig, seed: u64) -> Arc<Self> {
        Arc::new(Self { table: Table::default(), config, pace: Pace::new(seed), stats: Stats::default(), epoch })
    }

    /// The epoch of all streams.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// How a class is delivered.
    pub const fn policy(&self, class: Class) -> &Policy {
        self.config.of(class)
    }

    /// What deliveries came to.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many follow a stream.
    pub fn followers(&self) -> usize {
        self.table.len()
    }

    const fn table(&self) -> &Table {
        &self.table
    }

    const fn pace(&self) -> &Pace {
        &self.pace
    }

    fn at(&self, class: Class) -> At<'_> {
        let jitter = if class.is_tracked() { self.pace.jitter() } else { 0 };
        At { policy: self.policy(class), now: self.pace.now(), jitter }
    }

    /// Follows from now on; call [`Self::begin`] to begin to hear. Nothing if the connection follows too much.
    pub fn follow(&self, topic: Arc<Topic>, follower: Follower, outbox: Arc<Outbox>) -> Option<Arc<Follow>> {
        let follow = Follow::new(topic, follower, outbox, 0)?;
        self.table.insert(&follow);
        Some(follow)
    }

    /// Does not follow any more.
    pub fn unfollow(&self, follow: &Arc<Follow>) {
        follow.cancel();
        self.table.remove(follow);
    }

    /// Begins to hear what comes after `after`. `head` is what the stream's source answered after the stream was
    /// followed: a follower that is there already needs no reading.
    pub fn begin(self: &Arc<Self>, follow: &Arc<Follow>, after: u64, head: u64) {
        follow.start_after(after);
        if after < head || follow.splice(self.at(follow.class())) == Spliced::ReadOn {
            self.bring_up(follow);
        }
    }

    /// Brings a follower up, in a task of its own.
    fn bring_up(self: &Arc<Self>, follow: &Arc<Follow>) {
        let (streams, follow) = (Arc::clone(self), Arc::clone(follow));
        tokio::spawn(async move { reading::bring_up(&streams, &follow).await });
    }

    /// Pushes a durable event to all who follow its stream: a frame of [`frame`] that is shared by all. Offsets of one
    /// stream are published in order; who missed one reads it.
    pub async fn publish(self: &Arc<Self>, stream: Uuid, offset: u64, message: Bytes) {
        if let Some(follows) = self.table.of(stream) {
            self.push(&follows, offset, &message).await;
        }
    }

    async fn push(self: &Arc<Self>, follows: &Follows, offset: u64, message: &Bytes) {
        let Some(first) = follows.first() else { return };
        let class = first.class();
        let mut at = self.at(class);
        for (number, part) in follows.chunks(PART).enumerate() {
            if number > 0 {
                tokio::task::yield_now().await;
                at.now = self.pace.now();
            }
            let (mut sent, mut shed) = (0, 0);
            for follow in part {
                match follow.push(offset, message, at) {
                    Offered::Sent => sent += 1,
                    Offered::Shed => shed += 1,
                    Offered::Later => {}
                    Offered::Behind => self.bring_up(follow),
                }
            }
            self.stats.sent(class, sent);
            self.stats.shed(class, shed);
        }
    }

    /// Takes a client's acknowledgement.
    pub fn ack(self: &Arc<Self>, follow: &Arc<Follow>, ack: Ack<'_>) -> Progress {
        let class = follow.class();
        let on = |acked| self.stats.acked(class, &acked);
        let (progress, resumes) = follow.ack(ack, &self.pace, self.policy(class), on);
        if !class.is_tracked() {
            self.stats.counted(class, progress.freed.into());
        }
        if resumes {
            self.bring_up(follow);
        }
        progress
    }

    /// Takes a client's refusal.
    pub fn nack(self: &Arc<Self>, follow: &Arc<Follow>, offset: u64, after_ms: Option<u64>, terminal: bool) -> Nacked {
        let (nacked, resumes) = follow.nack(offset, after_ms, terminal, &self.pace, self.policy(follow.class()));
        if resumes {
            self.bring_up(follow);
        }
        nacked
    }

    /// A message is dead for a device.
    fn died(self: &Arc<Self>, follow: &Arc<Follow>, offset: u64, attempts: u32, cause: Cause) {
        tracing::warn!(stream = %follow.topic().stream, offset, attempts, ?cause, "a message is dead for a device");
        self.stats.dead(follow.class());
        follow.pass(offset);
    }
}

/// Mails what somebody follows to the actor.
pub struct StreamsPublisher {
    streams: Arc<Streams>,
    actor: parking_lot::RwLock<Option<ActorRef<StreamsMessage>>>,
}

impl StreamsPublisher {
    /// A publisher to an actor that is opened later.
    pub fn new(streams: Arc<Streams>) -> Arc<Self> {
        Arc::new(Self { streams, actor: parking_lot::RwLock::new(None) })
    }

    /// The actor is alive.
    pub fn open(&self, actor: ActorRef<StreamsMessage>) {
        *self.actor.write() = Some(actor);
    }
}

impl Publisher for StreamsPublisher {
    fn publish(&self, _: ShardId, events: &[Arc<Event>]) {
        if self.streams.table.is_empty() {
            return;
        }
        let followed = |event: &&Arc<Event>| self.streams.table.has(event.account.0);
        let events: Vec<_> = events.iter().filter(followed).cloned().collect();
        if events.is_empty() {
            return;
        }
        if let Some(actor) = &*self.actor.read() {
            // What a dead actor does not hear, its next life reads from the ledger.
            actor.cast(StreamsMessage::Published { events }).ok();
        }
    }
}

/// The actor.
pub struct StreamsActor;

/// What it is made with.
#[derive(Clone)]
pub struct StreamsArgs {
    /// The streams.
    pub streams: Arc<Streams>,
    /// What events of accounts look like.
    pub accounts: Arc<AccountStreams>,
    /// Who mails to it.
    pub publisher: Arc<StreamsPublisher>,
}

impl Actor for StreamsActor {
    type Msg = StreamsMessage;
    type State = StreamsArgs;
    type Arguments = StreamsArgs;

    async fn pre_start(
        &self,
        me: ActorRef<StreamsMessage>,
        args: StreamsArgs,
    ) -> Result<StreamsArgs, ActorProcessingErr> {
        args.publisher.open(me);
        // An earlier life may have died with mail for them.
        for follows in args.streams.table.stripes().flatten() {
            args.all_behind(&follows);
        }
        Ok(args)
    }

    async fn handle(
        &self,
        _: ActorRef<StreamsMessage>,
        message: StreamsMessage,
        args: &mut StreamsArgs,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            StreamsMessage::Published { events } => args.publish(events).await,
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            StreamsMessage::Panic => panic!("a fault was put in"),
        }
        Ok(())
    }
}

impl StreamsArgs {
    async fn publish(&self, events: Vec<Arc<Event>>) {
        for event in events {
            let Some(follows) = self.streams.table.of(event.account.0) else { continue };
            let Some(owner) = follows.first().and_then(|first| first.topic().owner) else { continue };
            match self.accounts.encode(owner, &event).await {
                Ok(text) => self.streams.push(&follows, event.offset, &frame::text(text.as_str())).await,
                Err(error) => {
                    // They are behind now, and read it from the ledger when the store answers again.
                    tracing::warn!(%error, account = %event.account, "an event cannot be encoded");
                    self.all_behind(&follows);
                }
            }
        }
    }

    fn all_behind(&self, follows: &Follows) {
        for follow in follows.iter().filter(|follow| follow.fall_behind()) {
            self.streams.bring_up(follow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_leads_to_its_place() {
        let stream = Uuid::from_u128(0x8f0e_5f6a_2d0b_4c53_9a41_6e0c_7b1d_35c2);
        assert_eq!(message_id(stream, 17), "8f0e5f6a2d0b4c539a416e0c7b1d35c2-17");
        assert_eq!(read_message_id(&message_id(stream, u64::MAX)), Some((stream, u64::MAX)));
        for wrong in ["", "8f0e5f6a2d0b4c539a416e0c7b1d35c2", "x-1", "8f0e5f6a2d0b4c539a416e0c7b1d35c2-017", "-1"] {
            assert_eq!(read_message_id(wrong), None, "{wrong}");
        }
    }
}
