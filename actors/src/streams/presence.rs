//! `RoomPresenceTeller`: tells those who follow a room who else does, as people come and go.
//!
//! Somebody is in a room while a session of theirs follows it. Coming and going only marks the room; the teller looks
//! at what is marked now and then, compares who is there with who was told of, and sends one frame to all. Who went is
//! told of when they have not come back for a moment ([`register`]).
//!
//! Bounds: one frame a room and look, [`PUSHES_MAX`] followers told a look: rooms that are left wait for the next. A
//! room that nobody enters or leaves costs nothing. Frames are neither kept nor sent again. When the teller dies it is
//! started again and goes on with what is marked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{RoomId, UserId};
use protocol::frame::server::PresenceFrame;
use protocol::frame::{ServerFrame, StreamName};
use protocol::http::presence::PresentUser;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::config::PresenceConfig;
use crate::metrics;
use crate::outbox::frame;
use crate::streams::Streams;
use crate::streams::presence::register::News;

pub(super) mod register;

/// Followers that are told in one look: a tenth of what a node can push in a second.
const PUSHES_MAX: usize = 100_000;

/// How much is told of who is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Nothing: one of two people wants to hear no more of the other.
    Nothing,
    /// How many.
    Count,
    /// Who.
    Names,
}

/// What rooms are and people are called, which the streams do not know.
#[async_trait]
pub trait Attendance: Send + Sync + 'static {
    /// How much is told of who is in a room.
    async fn telling(&self, room: RoomId) -> Result<Telling, storage::Error>;

    /// A person, as others see them.
    async fn person(&self, user: UserId) -> Result<PresentUser, storage::Error>;
}

/// Mail of the teller.
#[derive(Debug)]
pub enum TellerMessage {
    /// Look at what is marked.
    Look,
}

/// The actor.
pub struct RoomPresenceTeller;

/// What it is made with.
#[derive(Clone)]
pub struct TellerArgs {
    /// Who follows what.
    pub streams: Arc<Streams>,
    /// What rooms and people are.
    pub attendance: Arc<dyn Attendance>,
    /// How often.
    pub config: PresenceConfig,
}

impl Actor for RoomPresenceTeller {
    type Msg = TellerMessage;
    type State = TellerArgs;
    type Arguments = TellerArgs;

    async fn pre_start(&self, me: ActorRef<TellerMessage>, args: TellerArgs) -> Result<TellerArgs, ActorProcessingErr> {
        me.send_after(args.every(), || TellerMessage::Look);
        Ok(args)
    }

    async fn handle(
        &self,
        me: ActorRef<TellerMessage>,
        message: TellerMessage,
        args: &mut TellerArgs,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TellerMessage::Look => {
                args.look().await;
                me.send_after(args.every(), || TellerMessage::Look);
            }
        }
        Ok(())
    }
}

impl TellerArgs {
    const fn every(&self) -> Duration {
        self.config.rooms_every()
    }

    /// Tells of the rooms that are marked, as far as the followers that may be told at once go.
    async fn look(&self) {
        let register = self.streams.presence();
        let mut left = PUSHES_MAX;
        for room in register.due(Instant::now()) {
            let followers = self.streams.followers_of(room.0);
            if followers == 0 {
                register.forget(room);
                continue;
            }
            // The first is told however large it is: it would never be otherwise.
            if followers > left && left < PUSHES_MAX {
                register.mark(room);
                left = 0;
                continue;
            }
            left = left.saturating_sub(followers);
            if let Err(error) = self.tell(room).await {
                tracing::warn!(%error, %room, "who is in a room cannot be told");
                register.mark(room);
            }
            // Counting thousands of followers is a turn of its own.
            tokio::task::yield_now().await;
        }
        metrics::presence_waiting(register.marked());
    }

    async fn tell(&self, room: RoomId) -> Result<(), storage::Error> {
        let telling = self.attendance.telling(room).await?;
        let there = self.streams.people_in(room);
        let (now, debounce) = (Instant::now(), self.config.debounce());
        let Some(news) = self.streams.presence().compare(room, telling, &there, now, debounce) else { return Ok(()) };
        let News { online, join, leave } = news;
        let (join, leave) = (self.people(&join).await?, self.people(&leave).await?);
        let stream = StreamName::Room(room.to_string().into());
        let online = u64::try_from(online).unwrap_or(u64::MAX);
        let presence = ServerFrame::Presence(PresenceFrame { stream, online, join, leave });
        let told = self.streams.signal(room.0, &frame::text(&presence.encode())).await;
        metrics::presence_told(told);
        Ok(())
    }

    async fn people(&self, users: &[UserId]) -> Result<Vec<PresentUser>, storage::Error> {
        let mut people = Vec::with_capacity(users.len());
        for user in users {
            people.push(self.attendance.person(*user).await?);
        }
        Ok(people)
    }
}
