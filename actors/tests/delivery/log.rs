//! The streams of the world: durable, and read by offset; and its chance.

use std::sync::Arc;

use actors::node::Publisher;
use actors::rooms::hall::RoomPublisher;
use actors::session::Rights;
use actors::streams::publishing::{Encode, StreamEvent};
use actors::streams::topic::{Encoded, Source, Topic, Topics, Unreadable};
use async_trait::async_trait;
use domain::delivery::Class;
use domain::ids::{AccountId, OperationId, RoomId, ShardId};
use domain::ledger::{By, Change, Event, Meta, Origin};
use domain::money::Currency;
use domain::room::{RoomChange, RoomEvent};
use domain::time::Timestamp;
use parking_lot::Mutex;
use protocol::code::Code;
use protocol::event::EventName;
use protocol::frame::message::Envelope;
use protocol::frame::{MessageText, StreamName};
use storage::journal::Slot;
use uuid::Uuid;

use crate::node::{Node, USER};

/// The streams there are: two lanes.
pub(crate) const STREAMS: [(StreamName, Class); 2] =
    [(StreamName::Account, Class::Money), (StreamName::User, Class::Notice)];

/// splitmix64: the same at every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// How long each stream is.
#[derive(Default)]
pub(crate) struct Log {
    heads: Mutex<[u64; STREAMS.len()]>,
}

pub(crate) fn stream(number: usize) -> Uuid {
    Uuid::from_u128(number as u128 + 1)
}

impl Log {
    pub(crate) fn head(&self, number: usize) -> u64 {
        self.heads.lock()[number]
    }

    /// An event becomes durable, and is published: of the first stream as an account's, of the second as a room's.
    pub(crate) fn append(&self, node: &Node, number: usize) {
        let offset = {
            let mut heads = self.heads.lock();
            heads[number] += 1;
            heads[number]
        };
        let origin = Origin { operation: OperationId(Uuid::nil()), by: By::SYSTEM, trace: None };
        let meta = Meta { at: Timestamp(offset), origin };
        let (shard, stream) = (ShardId(0), stream(number));
        if number == 0 {
            let change = Change::Opened { owner: USER, currency: Currency::Inr };
            let event = Event { account: AccountId(stream), offset, meta, change };
            Publisher::publish(&*node.accounts.publisher, shard, Slot(offset), &[Arc::new(event)]);
        } else {
            let event = RoomEvent { room: RoomId(stream), offset, messages: 0, meta, change: RoomChange::Closed };
            RoomPublisher::publish(&*node.rooms.publisher, shard, Slot(offset), &[Arc::new(event)]);
        }
    }

    pub(crate) fn topics(self: &Arc<Self>) -> Arc<dyn Topics> {
        Arc::new(LogTopics(Arc::clone(self)))
    }
}

fn text(number: usize, offset: u64) -> MessageText {
    let (stream, class) = &STREAMS[number];
    let id = format!("{number}-{offset}");
    let envelope = Envelope {
        stream,
        epoch: "e",
        offset,
        id: &id,
        event: EventName::BalanceUpdate,
        class: *class,
        deadline: None,
    };
    MessageText::of(&envelope, "{}")
}

#[async_trait]
impl Source for Log {
    async fn head(&self, stream: Uuid) -> Result<u64, Unreadable> {
        Ok(Log::head(self, stream.as_u128() as usize - 1))
    }

    async fn floor(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(0)
    }

    async fn after(&self, topic: &Topic, after: u64, limit: usize) -> Result<Vec<Encoded>, Unreadable> {
        let number = topic.stream.as_u128() as usize - 1;
        let offsets = after + 1..=Log::head(self, number);
        Ok(offsets.take(limit).map(|offset| Encoded { offset, text: text(number, offset) }).collect())
    }
}

/// What events look like: all that is told of them is where they are.
pub(crate) struct LogEncode;

#[async_trait]
impl<E: StreamEvent> Encode<E> for LogEncode {
    async fn encode(&self, topic: &Topic, event: &Arc<E>) -> Result<MessageText, storage::Error> {
        Ok(text(topic.stream.as_u128() as usize - 1, event.offset()))
    }
}

struct LogTopics(Arc<Log>);

#[async_trait]
impl Topics for LogTopics {
    async fn topic(&self, _: &Rights, name: &StreamName) -> Result<Arc<Topic>, Code> {
        let number = STREAMS.iter().position(|(known, _)| known == name).ok_or(Code::StreamUnknown)?;
        let (name, class) = STREAMS[number].clone();
        Ok(Arc::new(Topic { stream: stream(number), name, class, owner: None, source: Arc::clone(&self.0) as _ }))
    }
}
