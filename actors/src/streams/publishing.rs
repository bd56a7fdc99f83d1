//! From durable events to their followers: a bounded queue, and an actor that encodes and pushes.
//!
//! One pair for accounts and one for rooms, so that a room with many members holds up nobody's money. Events of one
//! stream keep their order. When the actor dies, what waits for it is lost to the live followers; the next life
//! brings all of them up from their sources, so nothing is lost to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{ShardId, UserId};
use domain::ledger::Event;
use domain::room::{RoomChange, RoomEvent};
use parking_lot::Mutex;
use protocol::frame::MessageText;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::journal::Slot;
use uuid::Uuid;

use crate::node::Publisher;
use crate::outbox::frame;
use crate::rooms::hall::RoomPublisher;
use crate::streams::Streams;
use crate::streams::follow::Follow;
use crate::streams::table::Follows;
use crate::streams::topic::Topic;

/// The most events that wait to be encoded. What comes beyond is not kept: its followers are brought up from the
/// stream's source instead.
const WAITING_MAX: usize = 16_384;

/// Events that are taken at a time.
const TURN_EVENTS: usize = 512;

/// So many followers are written to at once whatever waits. For more it is cheaper, while there is more to push, to
/// let their writers take it in batches.
const FEW: usize = 64;

/// An event of a stream.
pub trait StreamEvent: fmt::Debug + Send + Sync + 'static {
    /// Of which stream.
    fn stream(&self) -> Uuid;

    /// Its number there.
    fn offset(&self) -> u64;

    /// Who may hear it and nothing after it.
    fn puts_out(&self) -> Option<UserId> {
        None
    }
}

impl StreamEvent for Event {
    fn stream(&self) -> Uuid {
        self.account.0
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}

impl StreamEvent for RoomEvent {
    fn stream(&self) -> Uuid {
        self.room.0
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn puts_out(&self) -> Option<UserId> {
        match self.change {
            RoomChange::Left { user, .. } => Some(user),
            _ => None,
        }
    }
}

/// Writes an event for all who follow its stream.
#[async_trait]
pub trait Encode<E>: Send + Sync + 'static {
    /// The event's message.
    async fn encode(&self, topic: &Topic, event: &Arc<E>) -> Result<MessageText, storage::Error>;
}

/// Mail of the actor.
#[derive(Debug)]
pub enum StreamsMessage {
    /// Events wait at the publisher.
    Published,
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// Keeps what somebody follows for the actor, and wakes it.
pub struct StreamsPublisher<E: StreamEvent> {
    streams: Arc<Streams>,
    post: Mutex<Post<E>>,
}

/// What waits for the actor.
struct Post<E> {
    actor: Option<ActorRef<StreamsMessage>>,
    /// In order.
    events: VecDeque<Arc<E>>,
    /// Streams with events that did not fit.
    missed: BTreeSet<Uuid>,
    /// The actor has mail, or is at work: it looks again before it rests.
    awake: bool,
}

impl<E: StreamEvent> StreamsPublisher<E> {
    /// A publisher to an actor that is opened later.
    pub fn new(streams: Arc<Streams>) -> Arc<Self> {
        let post = Post { actor: None, events: VecDeque::new(), missed: BTreeSet::new(), awake: false };
        Arc::new(Self { streams, post: Mutex::new(post) })
    }

    /// The actor is alive. What the life before did not hear is not waited for: this one brings all up.
    pub fn open(&self, actor: ActorRef<StreamsMessage>) {
        let (events, missed) = (VecDeque::new(), BTreeSet::new());
        *self.post.lock() = Post { actor: Some(actor), events, missed, awake: false };
    }

    fn publish_followed(&self, events: &[Arc<E>]) {
        if self.streams.table().is_empty() {
            return;
        }
        let mut followed = events.iter().filter(|event| self.streams.table().has(event.stream())).peekable();
        if followed.peek().is_none() {
            return;
        }
        let post = &mut *self.post.lock();
        let Some(actor) = &post.actor else { return };
        for event in followed {
            if post.events.len() < WAITING_MAX {
                post.events.push_back(Arc::clone(event));
            } else {
                post.missed.insert(event.stream());
            }
        }
        // What a dead actor does not hear, its next life reads from the source.
        post.awake = post.awake || actor.cast(StreamsMessage::Published).is_ok();
    }

    /// The next events, and the streams that are to be read after them, if these are the last. The actor rests if there
    /// is nothing.
    fn take(&self) -> Option<(Vec<Arc<E>>, BTreeSet<Uuid>)> {
        let mut post = self.post.lock();
        let count = post.events.len().min(TURN_EVENTS);
        let events: Vec<_> = post.events.drain(..count).collect();
        let missed = if post.events.is_empty() { std::mem::take(&mut post.missed) } else { BTreeSet::new() };
        if events.is_empty() && missed.is_empty() {
            post.awake = false;
            // A crowd's memory is given back.
            post.events.shrink_to(TURN_EVENTS);
            return None;
        }
        Some((events, missed))
    }

    fn is_empty(&self) -> bool {
        self.post.lock().events.is_empty()
    }
}

impl Publisher for StreamsPublisher<Event> {
    fn publish(&self, _: ShardId, _: Slot, events: &[Arc<Event>]) {
        self.publish_followed(events);
    }
}

impl RoomPublisher for StreamsPublisher<RoomEvent> {
    fn publish(&self, _: ShardId, _: Slot, events: &[Arc<RoomEvent>]) {
        self.publish_followed(events);
    }
}

/// The actor.
pub struct StreamsActor<E>(PhantomData<fn(E)>);

impl<E> Default for StreamsActor<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// What it is made with.
pub struct StreamsArgs<E: StreamEvent> {
    /// The streams.
    pub streams: Arc<Streams>,
    /// What events look like.
    pub encode: Arc<dyn Encode<E>>,
    /// Who mails to it.
    pub publisher: Arc<StreamsPublisher<E>>,
}

impl<E: StreamEvent> Clone for StreamsArgs<E> {
    fn clone(&self) -> Self {
        let Self { streams, encode, publisher } = self;
        Self { streams: Arc::clone(streams), encode: Arc::clone(encode), publisher: Arc::clone(publisher) }
    }
}

impl<E: StreamEvent> Actor for StreamsActor<E> {
    type Msg = StreamsMessage;
    type State = StreamsArgs<E>;
    type Arguments = StreamsArgs<E>;

    async fn pre_start(
        &self,
        me: ActorRef<StreamsMessage>,
        args: StreamsArgs<E>,
    ) -> Result<StreamsArgs<E>, ActorProcessingErr> {
        args.publisher.open(me);
        // An earlier life may have died with mail for them.
        for follows in args.streams.table().stripes().flatten() {
            args.all_behind(&follows);
        }
        Ok(args)
    }

    async fn handle(
        &self,
        _: ActorRef<StreamsMessage>,
        message: StreamsMessage,
        args: &mut StreamsArgs<E>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            StreamsMessage::Published => args.publish_all().await,
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            StreamsMessage::Panic => panic!("a fault was put in"),
        }
        Ok(())
    }
}

impl<E: StreamEvent> StreamsArgs<E> {
    /// Pushes until nothing waits.
    async fn publish_all(&self) {
        while let Some((events, missed)) = self.publisher.take() {
            let mut runs: BTreeMap<Uuid, Vec<Arc<E>>> = BTreeMap::new();
            for event in events {
                runs.entry(event.stream()).or_default().push(event);
            }
            for (stream, run) in runs {
                self.publish(stream, run).await;
            }
            for follows in missed.into_iter().filter_map(|stream| self.streams.table().of(stream)) {
                self.all_behind(&follows);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Pushes events of one stream to its followers: together, so that each is looked at once for all of them.
    async fn publish(&self, stream: Uuid, mut events: Vec<Arc<E>>) {
        while !events.is_empty() {
            // Who is put out hears of it, and nothing after it.
            let parting = events.iter().position(|event| event.puts_out().is_some());
            let rest = parting.map(|last| events.split_off(last + 1)).unwrap_or_default();
            let Some(follows) = self.streams.table().of(stream) else { return };
            self.publish_run(&follows, &events).await;
            if let Some(event) = events.last()
                && let Some(user) = event.puts_out()
            {
                // One that is further along began after they were let in again.
                let past = |follow: &&Arc<Follow>| follow.heard() <= event.offset();
                let theirs = follows.iter().filter(|follow| follow.follower().user == user).filter(past);
                theirs.for_each(|follow| self.streams.put_out(follow));
            }
            events = rest;
        }
    }

    async fn publish_run(&self, follows: &Follows, events: &[Arc<E>]) {
        let Some(first) = follows.first() else { return };
        let mut run = Vec::with_capacity(events.len());
        let mut failed = false;
        for event in events {
            match self.encode.encode(first.topic(), event).await {
                Ok(text) => run.push((event.offset(), frame::text(text.as_str()))),
                Err(error) => {
                    // They are behind now, and read it from the source when the store answers again.
                    tracing::warn!(%error, stream = %event.stream(), "an event cannot be encoded");
                    failed = true;
                }
            }
        }
        let is_alone = run.len() == 1 && self.publisher.is_empty();
        self.streams.push(follows, &run, is_alone || follows.len() <= FEW).await;
        if failed {
            self.all_behind(follows);
        }
    }

    fn all_behind(&self, follows: &Follows) {
        for follow in follows.iter().filter(|follow| follow.fall_behind()) {
            self.streams.bring_up(follow);
        }
    }
}
