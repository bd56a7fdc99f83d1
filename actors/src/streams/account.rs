//! Accounts as streams: read from the ledger, written as their owner hears them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::delivery::{Class, Policy};
use domain::ids::{AccountId, UserId};
use domain::ledger::Event;
use protocol::code::Code;
use protocol::event::EventName;
use protocol::frame::message::Envelope;
use protocol::frame::{MessageText, StreamName};
use protocol::value::Time;
use uuid::Uuid;

use crate::ledger::Ledger;
use crate::session::Rights;
use crate::streams::message_id;
use crate::streams::publishing::Encode;
use crate::streams::topic::{Encoded, Source, Topic, Topics, Unreadable};

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

/// The streams of accounts.
pub struct AccountStreams {
    ledger: Ledger,
    presenter: Arc<dyn Presenter>,
    epoch: String,
    deadline: Duration,
}

impl AccountStreams {
    /// Of this ledger, delivered by this policy.
    pub fn new(ledger: Ledger, presenter: Arc<dyn Presenter>, epoch: String, policy: &Policy) -> Arc<Self> {
        Arc::new(Self { ledger, presenter, epoch, deadline: Duration::from_millis(policy.deadline_ms) })
    }

    /// The stream of an account.
    pub fn topic(self: &Arc<Self>, account: AccountId, owner: UserId) -> Arc<Topic> {
        Arc::new(Topic {
            stream: account.0,
            name: StreamName::Account,
            class: Class::Money,
            owner: Some(owner),
            source: Arc::clone(self) as _,
        })
    }

    async fn message(&self, owner: UserId, event: &Event) -> Result<MessageText, storage::Error> {
        let told = self.presenter.told(owner, event).await?;
        let id = message_id(event.account.0, event.offset);
        let envelope = Envelope {
            stream: &StreamName::Account,
            epoch: &self.epoch,
            offset: event.offset,
            id: &id,
            event: told.name,
            class: Class::Money,
            deadline: Some(Time::of(event.meta.at.after(self.deadline))),
        };
        Ok(MessageText::of(&envelope, &told.data))
    }
}

#[async_trait]
impl Encode<Event> for AccountStreams {
    async fn encode(&self, topic: &Topic, event: &Arc<Event>) -> Result<MessageText, storage::Error> {
        let owner = topic.owner.ok_or_else(|| storage::Error::Unknown("an account without an owner".into()))?;
        self.message(owner, event).await
    }
}

#[async_trait]
impl Source for AccountStreams {
    async fn head(&self, stream: Uuid) -> Result<u64, Unreadable> {
        let account = self.ledger.account(AccountId(stream)).await;
        account.map(|account| account.head).map_err(|error| Unreadable(error.to_string()))
    }

    async fn floor(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(0)
    }

    async fn after(&self, topic: &Topic, after: u64, limit: usize) -> Result<Vec<Encoded>, Unreadable> {
        let unreadable = |error: storage::Error| Unreadable(error.to_string());
        let owner = topic.owner.ok_or_else(|| Unreadable("an account without an owner".into()))?;
        let events = self.ledger.events_after(AccountId(topic.stream), after, limit).await.map_err(unreadable)?;
        let mut encoded = Vec::with_capacity(events.len());
        for event in events {
            let text = self.message(owner, &event).await.map_err(unreadable)?;
            encoded.push(Encoded { offset: event.offset, text });
        }
        Ok(encoded)
    }
}

#[async_trait]
impl Topics for Arc<AccountStreams> {
    async fn topic(&self, rights: &Rights, name: &StreamName) -> Result<Arc<Topic>, Code> {
        match name {
            StreamName::Account => Ok(AccountStreams::topic(self, rights.account, rights.user)),
            StreamName::User | StreamName::Room(_) | StreamName::Unknown(_) => Err(Code::StreamUnknown),
        }
    }
}
