//! `Streams`: which local sessions follow which stream.
//!
//! Shards publish durable events into it; it encodes each once and pushes it into the outboxes of all
//! who follow. A follower hears the offsets of its stream without a hole: one that is behind is brought
//! up from the ledger, at its own pace, and then goes live ([`follow`]).
//!
//! Bounds: events of streams that nobody follows are never mailed; a follower's buffer and outbox are
//! bounded. When the actor dies, what was in its mailbox is lost to the live ones; the next life brings
//! every follower up from the ledger, so nothing is lost to them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::{ShardId, UserId};
use domain::ledger::Event;
use protocol::event::{Class, EventName};
use protocol::frame::message::Envelope;
use protocol::frame::{MessageText, StreamName};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use crate::ledger::Ledger;
use crate::metrics;
use crate::node::Publisher;
use crate::outbox::frame;
use crate::streams::follow::{Follow, Pushed};
use crate::streams::table::Table;

pub mod follow;
mod table;

/// An event as its owner hears it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its name.
    pub name: EventName,
    /// Its data, as JSON.
    pub data: String,
}

/// Says what an event looks like from outside: names and unsealed text come from stores that the
/// actors do not know.
#[async_trait]
pub trait Presenter: Send + Sync + 'static {
    /// The event as `owner`, whose account it is, hears it.
    async fn told(&self, owner: UserId, event: &Event) -> Result<Told, storage::Error>;
}

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

/// The streams of a node, as shards and sessions see them.
pub struct Streams {
    table: Table,
    presenter: Arc<dyn Presenter>,
    /// One life of the store's streams: what clients hold beside offsets.
    epoch: String,
}

impl Streams {
    /// Streams that nobody follows yet.
    pub fn new(presenter: Arc<dyn Presenter>, epoch: String) -> Arc<Self> {
        Arc::new(Self { table: Table::default(), presenter, epoch })
    }

    /// The epoch of all streams.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// How many follow a stream.
    pub fn followers(&self) -> usize {
        self.table.len()
    }

    /// Follows from now on; call [`Self::bring_up`] to begin to hear.
    pub fn follow(&self, follow: &Arc<Follow>) {
        self.table.insert(follow);
    }

    /// Does not follow any more.
    pub fn unfollow(&self, follow: &Arc<Follow>) {
        follow.cancel();
        self.table.remove(follow);
    }

    /// Brings a follower up from the ledger, in a task of its own.
    pub fn bring_up(self: &Arc<Self>, ledger: Ledger, follow: Arc<Follow>) {
        let streams = Arc::clone(self);
        tokio::spawn(async move { follow.bring_up(&streams, &ledger).await });
    }

    /// The event's message, as a frame for all who follow.
    async fn encode(&self, owner: UserId, event: &Event) -> Result<Bytes, storage::Error> {
        let told = self.presenter.told(owner, event).await?;
        let id = Uuid::new_v5(&event.account.0, &event.offset.to_be_bytes()).to_string();
        let envelope = Envelope {
            stream: &StreamName::Account,
            epoch: &self.epoch,
            offset: event.offset,
            id: &id,
            event: told.name,
            class: Class::Money,
            deadline: None,
        };
        Ok(frame::text(MessageText::of(&envelope, &told.data).as_str()))
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
        let followed = |event: &&Arc<Event>| self.streams.table.has(event.account);
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
    /// Where followers that are behind read.
    pub ledger: Ledger,
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
        for follow in args.streams.table.all() {
            if follow.fall_behind() {
                args.streams.bring_up(args.ledger.clone(), follow);
            }
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
            let follows = self.streams.table.of(event.account);
            let Some(first) = follows.first() else { continue };
            let message = match self.streams.encode(first.owner(), &event).await {
                Ok(message) => message,
                Err(error) => {
                    // They are behind now, and read it from the ledger when the store answers again.
                    tracing::warn!(%error, account = %event.account, "an event cannot be encoded");
                    self.all_behind(follows);
                    continue;
                }
            };
            metrics::published(follows.len());
            for follow in follows {
                if follow.push(event.offset, &message) == Pushed::Behind {
                    self.streams.bring_up(self.ledger.clone(), follow);
                }
            }
        }
    }

    fn all_behind(&self, follows: Vec<Arc<Follow>>) {
        for follow in follows {
            if follow.fall_behind() {
                self.streams.bring_up(self.ledger.clone(), follow);
            }
        }
    }
}
