//! Rooms as streams: read from the rooms, written as all who follow hear them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::delivery::{Class, Policy};
use domain::ids::{RoomId, UserId};
use domain::room::{RoomClass, RoomEvent};
use protocol::frame::message::Envelope;
use protocol::frame::{MessageText, StreamName};
use protocol::value::Time;
use uuid::Uuid;

use crate::clock::WallClock;
use crate::rooms::chat::{Chat, Showing, Shown};
use crate::streams::account::Told;
use crate::streams::message_id;
use crate::streams::publishing::Encode;
use crate::streams::topic::{Encoded, Source, Topic, Unreadable};

/// Says what an event of a room looks like from outside: names and unsealed text come from stores that the actors do
/// not know.
#[async_trait]
pub trait RoomPresenter: Send + Sync + 'static {
    /// The event as those who read the room hear it; `owner` is whose own room it is, if it is one's own.
    async fn told(&self, owner: Option<UserId>, shown: &Shown) -> Result<Told, storage::Error>;
}

/// The streams of rooms.
pub struct RoomStreams {
    chat: Chat,
    presenter: Arc<dyn RoomPresenter>,
    clock: Arc<dyn WallClock>,
    epoch: String,
    /// Of notices.
    deadline: Duration,
}

impl RoomStreams {
    /// Of these rooms; `notices` is the policy of their notices.
    pub fn new(
        chat: Chat,
        presenter: Arc<dyn RoomPresenter>,
        clock: Arc<dyn WallClock>,
        epoch: String,
        notices: &Policy,
    ) -> Arc<Self> {
        let deadline = Duration::from_millis(notices.deadline_ms);
        Arc::new(Self { chat, presenter, clock, epoch, deadline })
    }

    /// The stream of a room; `owner` is whose own room it is, if it is one's own.
    pub fn topic(self: &Arc<Self>, room: RoomId, class: RoomClass, owner: Option<UserId>) -> Arc<Topic> {
        let name = match owner {
            Some(_) => StreamName::User,
            None => StreamName::Room(room.to_string().into()),
        };
        let class = match class {
            RoomClass::Notice => Class::Notice,
            RoomClass::Chat => Class::Chat,
        };
        Arc::new(Topic { stream: room.0, name, class, owner, source: Arc::clone(self) as _ })
    }

    async fn message(&self, topic: &Topic, shown: &Shown) -> Result<MessageText, storage::Error> {
        let event = &shown.event;
        let told = self.presenter.told(topic.owner, shown).await?;
        let id = message_id(event.room.0, event.offset);
        let is_notice = topic.class == Class::Notice;
        let envelope = Envelope {
            stream: &topic.name,
            epoch: &self.epoch,
            offset: event.offset,
            id: &id,
            event: told.name,
            class: topic.class,
            deadline: is_notice.then(|| Time::of(event.meta.at.after(self.deadline))),
        };
        Ok(MessageText::of(&envelope, &told.data))
    }
}

#[async_trait]
impl Encode<RoomEvent> for RoomStreams {
    async fn encode(&self, topic: &Topic, event: &Arc<RoomEvent>) -> Result<MessageText, storage::Error> {
        self.message(topic, &Shown { event: Arc::clone(event), now: Showing::AsSaid }).await
    }
}

#[async_trait]
impl Source for RoomStreams {
    async fn head(&self, stream: Uuid) -> Result<u64, Unreadable> {
        self.chat.head(RoomId(stream)).await.map_err(unreadable)
    }

    async fn floor(&self, stream: Uuid) -> Result<u64, Unreadable> {
        self.chat.floor(RoomId(stream)).await.map_err(unreadable)
    }

    /// What was deleted since, or is over, comes without its text; what was edited comes as it reads now.
    async fn after(&self, topic: &Topic, after: u64, limit: usize) -> Result<Vec<Encoded>, Unreadable> {
        let room = RoomId(topic.stream);
        let events = self.chat.events_after(room, after, limit).await.map_err(unreadable)?;
        let shown = self.chat.shown(room, events, self.clock.now()).await.map_err(unreadable)?;
        let mut encoded = Vec::with_capacity(shown.len());
        for shown in shown {
            let text = self.message(topic, &shown).await.map_err(unreadable)?;
            encoded.push(Encoded { offset: shown.event.offset, text });
        }
        Ok(encoded)
    }

    /// Who left a group, or was put out, hears nothing that was said after it.
    async fn may_hear(&self, topic: &Topic, user: UserId) -> Result<bool, Unreadable> {
        if topic.owner.is_some() {
            return Ok(true);
        }
        let state = self.chat.state(RoomId(topic.stream)).await.map_err(unreadable)?;
        let profile = state.profile.as_ref().filter(|profile| profile.kind.is_of_people());
        Ok(profile.is_none_or(|profile| profile.is_readable_by(user)))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: storage::Error) -> Unreadable {
    Unreadable(error.to_string())
}
