//! From durable events to their followers: a bounded mailbox, and an actor that encodes and pushes.
//!
//! One pair for accounts and one for rooms, so that a room with many members holds up nobody's money. Events of one
//! stream keep their order. When the actor dies, what was in its mailbox is lost to the live followers; the next life
//! brings all of them up from their sources, so nothing is lost to them.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::ids::ShardId;
use domain::ledger::Event;
use domain::room::RoomEvent;
use parking_lot::Mutex;
use protocol::frame::MessageText;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use crate::node::Publisher;
use crate::outbox::frame;
use crate::rooms::hall::RoomPublisher;
use crate::streams::Streams;
use crate::streams::table::Follows;
use crate::streams::topic::Topic;

/// The most events that wait to be encoded. What comes beyond is not mailed: its followers are brought up from the
/// stream's source instead.
const WAITING_MAX: usize = 16_384;

/// An event of a stream.
pub trait StreamEvent: fmt::Debug + Send + Sync + 'static {
    /// Of which stream.
    fn stream(&self) -> Uuid;

    /// Its number there.
    fn offset(&self) -> u64;
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
}

/// Writes an event for all who follow its stream.
#[async_trait]
pub trait Encode<E>: Send + Sync + 'static {
    /// The event's message.
    async fn encode(&self, topic: &Topic, event: &Arc<E>) -> Result<MessageText, storage::Error>;
}

/// Mail of the actor.
#[derive(Debug)]
pub enum StreamsMessage<E: StreamEvent> {
    /// These became durable, and somebody follows their streams.
    Published {
        /// The events, in order.
        events: Vec<Arc<E>>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// Mails what somebody follows to the actor.
pub struct StreamsPublisher<E: StreamEvent> {
    streams: Arc<Streams>,
    actor: parking_lot::RwLock<Option<ActorRef<StreamsMessage<E>>>>,
    /// Events in the mailbox.
    waiting: AtomicUsize,
    /// Streams with events that were not mailed.
    missed: Mutex<BTreeSet<Uuid>>,
}

impl<E: StreamEvent> StreamsPublisher<E> {
    /// A publisher to an actor that is opened later.
    pub fn new(streams: Arc<Streams>) -> Arc<Self> {
        let (actor, missed) = (parking_lot::RwLock::new(None), Mutex::default());
        Arc::new(Self { streams, actor, waiting: AtomicUsize::new(0), missed })
    }

    /// The actor is alive.
    pub fn open(&self, actor: ActorRef<StreamsMessage<E>>) {
        let mut slot = self.actor.write();
        // What the life before did not hear is not waited for: nobody mails while this lock is held.
        self.waiting.store(0, Ordering::Release);
        *slot = Some(actor);
    }

    fn mail(&self, events: &[Arc<E>]) {
        if self.streams.table().is_empty() {
            return;
        }
        let followed = |event: &&Arc<E>| self.streams.table().has(event.stream());
        let events: Vec<_> = events.iter().filter(followed).cloned().collect();
        if events.is_empty() {
            return;
        }
        if self.waiting.load(Ordering::Acquire) >= WAITING_MAX {
            // The mailbox is not empty, so the actor finds them after what it has in hand.
            self.missed.lock().extend(events.iter().map(|event| event.stream()));
            return;
        }
        if let Some(actor) = &*self.actor.read() {
            let count = events.len();
            self.waiting.fetch_add(count, Ordering::AcqRel);
            // What a dead actor does not hear, its next life reads from the source.
            if actor.cast(StreamsMessage::Published { events }).is_err() {
                self.waiting.fetch_sub(count, Ordering::AcqRel);
            }
        }
    }
}

impl Publisher for StreamsPublisher<Event> {
    fn publish(&self, _: ShardId, events: &[Arc<Event>]) {
        self.mail(events);
    }
}

impl RoomPublisher for StreamsPublisher<RoomEvent> {
    fn publish(&self, _: ShardId, events: &[Arc<RoomEvent>]) {
        self.mail(events);
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
    type Msg = StreamsMessage<E>;
    type State = StreamsArgs<E>;
    type Arguments = StreamsArgs<E>;

    async fn pre_start(
        &self,
        me: ActorRef<StreamsMessage<E>>,
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
        _: ActorRef<StreamsMessage<E>>,
        message: StreamsMessage<E>,
        args: &mut StreamsArgs<E>,
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

impl<E: StreamEvent> StreamsArgs<E> {
    async fn publish(&self, events: Vec<Arc<E>>) {
        self.publisher.waiting.fetch_sub(events.len(), Ordering::AcqRel);
        for event in events {
            let Some(follows) = self.streams.table().of(event.stream()) else { continue };
            let Some(first) = follows.first() else { continue };
            match self.encode.encode(first.topic(), &event).await {
                Ok(text) => self.streams.push(&follows, event.offset(), &frame::text(text.as_str())).await,
                Err(error) => {
                    // They are behind now, and read it from the source when the store answers again.
                    tracing::warn!(%error, stream = %event.stream(), "an event cannot be encoded");
                    self.all_behind(&follows);
                }
            }
        }
        let missed = std::mem::take(&mut *self.publisher.missed.lock());
        for follows in missed.into_iter().filter_map(|stream| self.streams.table().of(stream)) {
            self.all_behind(&follows);
        }
    }

    fn all_behind(&self, follows: &Follows) {
        for follow in follows.iter().filter(|follow| follow.fall_behind()) {
            self.streams.bring_up(follow);
        }
    }
}
