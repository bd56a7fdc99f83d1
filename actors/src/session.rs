//! `Session`: one connection of one device: its rights, its subscriptions, its cursor.
//!
//! The edge hands it the client's frames, with a permit each batch; it answers into the connection's
//! outbox. Streams push messages there by themselves, as far as the window of unacknowledged ones goes; what is
//! acknowledged comes through here. Calls run beside it, so that a slow one holds up
//! neither acknowledgements nor other calls.
//!
//! Bounds: frames in flight by permits, subscriptions by the protocol's limit. When it dies its
//! supervisor closes the connection with 1012, and the client resumes.

use std::sync::Arc;
use std::time::Duration;

use domain::delivery;
use domain::ids::{DeviceId, SessionId};
use protocol::code::Code;
use protocol::frame::client::{Auth, Hello, Nack, Subscribe, Subscription};
use protocol::frame::server::{ErrorFrame, Pong, Reply, Welcome};
use protocol::frame::{ClientFrame, FrameError, ServerFrame, StreamName};
use protocol::json::Json;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::deliveries::Deliveries;
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::WallClock;
use crate::outbox::{CloseCode, Outbox, frame};
use crate::session::followed::Followed;
use crate::streams::Streams;
use crate::streams::topic::Topics;

mod cursor;
mod desk;
pub mod followed;
mod following;

pub use desk::{Answering, Calling, Desk, Rights};
use following::Following;

/// How long before its token ends a client is told.
const EXPIRING_BEFORE: Duration = Duration::from_mins(1);

/// What all sessions of a node share.
pub struct SessionContext {
    /// Which streams there are.
    pub topics: Arc<dyn Topics>,
    /// Who follows what.
    pub streams: Arc<Streams>,
    /// Cursors of devices.
    pub deliveries: Arc<dyn Deliveries>,
    /// Tokens and commands.
    pub desk: Arc<dyn Desk>,
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// Milliseconds between pings, which clients are told.
    pub heartbeat_ms: u64,
}

/// Mail of a session.
pub enum SessionMessage {
    /// What the client sent.
    Frames {
        /// Its frames, or what is wrong with each.
        frames: Vec<Result<ClientFrame, FrameError>>,
        /// The right to have them in flight.
        permit: Option<OwnedSemaphorePermit>,
    },
    /// Look whether the token ends, and write the cursor.
    Tick,
    /// The connection is gone.
    Gone,
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor.
pub struct Session;

/// What a session is made with.
pub struct SessionArgs {
    /// What all share.
    pub context: Arc<SessionContext>,
    /// Which.
    pub id: SessionId,
    /// What the token grants.
    pub rights: Rights,
    /// The device, if the client said its name.
    pub device: Option<DeviceId>,
    /// Where answers go.
    pub outbox: Arc<Outbox>,
    /// What it follows, for who takes its acknowledgements.
    pub followed: Arc<Followed>,
    /// The streams to follow from the start.
    pub hello: Box<Hello>,
}

/// What it has.
pub struct SessionState {
    context: Arc<SessionContext>,
    id: SessionId,
    rights: Rights,
    device: Option<DeviceId>,
    outbox: Arc<Outbox>,
    followed: Arc<Followed>,
    /// What it said, until that is answered.
    hello: Option<Box<Hello>>,
    /// What it follows.
    following: Vec<Following>,
    /// The client was told that its token ends.
    warned: bool,
}

impl Actor for Session {
    type Msg = SessionMessage;
    type State = SessionState;
    type Arguments = SessionArgs;

    async fn pre_start(
        &self,
        _: ActorRef<SessionMessage>,
        args: SessionArgs,
    ) -> Result<SessionState, ActorProcessingErr> {
        let SessionArgs { context, id, rights, device, outbox, followed, hello } = args;
        let following = Vec::with_capacity(hello.subscribe.len());
        let hello = Some(hello);
        outbox.look_at(rights.expires_at.before(EXPIRING_BEFORE));
        Ok(SessionState { context, id, rights, device, outbox, followed, hello, following, warned: false })
    }

    /// In the session's own task: its supervisor waits for none of the stores.
    async fn post_start(
        &self,
        _: ActorRef<SessionMessage>,
        state: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(hello) = state.hello.take() {
            state.hello(&hello).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<SessionMessage>,
        message: SessionMessage,
        state: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed: an actor keeps the size of the largest future in which it may wait, more than twice, for as long as it
        // lives; and sessions, of which there are thousands, wait for their next message.
        match message {
            SessionMessage::Frames { frames, permit } => Box::pin(state.frames(frames, permit)).await,
            SessionMessage::Tick => Box::pin(state.tick()).await,
            SessionMessage::Gone => {
                Box::pin(state.gone()).await;
                me.stop(None);
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            SessionMessage::Panic => panic!("a fault was put in"),
        }
        Ok(())
    }
}

impl SessionState {
    fn send(&self, sent: &ServerFrame) {
        self.outbox.push(frame::text(&sent.encode()));
    }

    fn refuse(&self, id: Option<Box<str>>, stream: Option<StreamName>, code: Code) {
        self.send(&ServerFrame::Error(ErrorFrame { id, stream, ..ErrorFrame::of(code) }));
    }

    /// Welcomes, then answers each subscription in order, each before anything of its stream.
    async fn hello(&mut self, hello: &Hello) {
        let mut known = Vec::with_capacity(hello.subscribe.len());
        for subscription in &hello.subscribe {
            known.push(self.known(&subscription.stream).await);
        }
        let resumed = known.iter().any(|known| matches!(known, Ok((_, Some(_)))));
        self.send(&ServerFrame::Welcome(Welcome {
            session: self.id,
            user: self.rights.user,
            heartbeat_ms: self.context.heartbeat_ms,
            window: self.context.streams.policy(delivery::Class::Money).window,
            resumed,
        }));
        for (subscription, known) in hello.subscribe.iter().zip(known) {
            self.subscribe(None, subscription, known).await;
        }
    }

    async fn frames(&mut self, frames: Vec<Result<ClientFrame, FrameError>>, permit: Option<OwnedSemaphorePermit>) {
        let permit = permit.map(Arc::new);
        for frame in frames {
            match frame {
                Ok(frame) => self.frame(frame, permit.as_ref()).await,
                Err(error) => {
                    let message = error.message.to_string().into();
                    let refused = ErrorFrame { id: error.id, message, ..ErrorFrame::of(error.code) };
                    self.send(&ServerFrame::Error(refused));
                }
            }
        }
    }

    async fn frame(&mut self, frame: ClientFrame, permit: Option<&Arc<OwnedSemaphorePermit>>) {
        match frame {
            ClientFrame::Hello(_) => self.outbox.close(CloseCode::Policy, "hello comes once"),
            ClientFrame::Auth(auth) => self.auth(auth).await,
            ClientFrame::Subscribe(subscribe) => {
                let Subscribe { id, stream, after, last } = subscribe;
                let subscription = Subscription { stream, after, last };
                let known = self.known(&subscription.stream).await;
                self.subscribe(Some(id), &subscription, known).await;
            }
            ClientFrame::Unsubscribe(unsubscribe) => {
                self.unsubscribe(&unsubscribe.stream).await;
                if let Ok(result) = Json::of(&serde_json::json!({})) {
                    self.send(&ServerFrame::Reply(Reply { id: unsubscribe.id, result }));
                }
            }
            ClientFrame::Ack(ack) => {
                self.followed.ack(&self.context.streams, &ack);
                self.write_places().await;
            }
            ClientFrame::Nack(nack) => self.nack(&nack),
            ClientFrame::Call(call) => {
                let (calling, context, id) = (self.calling(), Arc::clone(&self.context), call.id.clone());
                self.answer(id, async move { context.desk.call(calling, call).await }, permit.cloned());
            }
            ClientFrame::Publish(publish) => {
                let id = publish.id.clone();
                let outcome = self.context.desk.publish(self.calling(), publish).await;
                self.answer(id, outcome, permit.cloned());
            }
            ClientFrame::Signal(signal) => {
                let stream = StreamName::Room(signal.room.to_string().into());
                if self.following(&stream).is_none() {
                    self.refuse(None, Some(stream), Code::StreamUnknown);
                } else if let Err(code) = self.context.desk.signal(self.calling(), signal).await {
                    self.refuse(None, Some(stream), code);
                }
            }
            ClientFrame::Ping(ping) => self.send(&ServerFrame::Pong(Pong { id: ping.id })),
        }
    }

    async fn auth(&mut self, auth: Auth) {
        match self.context.desk.rights(&auth.token).await {
            Ok(rights) if rights.user == self.rights.user => {
                self.rights = rights;
                self.warned = false;
                self.outbox.look_at(rights.expires_at.before(EXPIRING_BEFORE));
            }
            Ok(_) => self.outbox.close(CloseCode::Policy, "the token is another person's"),
            Err(_) => self.outbox.close(CloseCode::SignInAgain, "the token is not valid"),
        }
    }

    fn nack(&mut self, nack: &Nack) {
        let context = Arc::clone(&self.context);
        let Some(following) = self.following(&nack.stream) else { return };
        let nacked = context.streams.nack(&following.follow, nack.offset, nack.after_ms, nack.terminal, &nack.code);
        tracing::debug!(session = %self.id, offset = nack.offset, code = %nack.code, ?nacked, "a message was refused");
    }

    const fn calling(&self) -> Calling {
        Calling { rights: self.rights, session: self.id, device: self.device }
    }

    /// Answers are waited for beside the session, each with a share of the permit of its frame.
    fn answer(
        &self,
        id: Box<str>,
        outcome: impl Future<Output = Result<Json, Box<ErrorFrame>>> + Send + 'static,
        permit: Option<Arc<OwnedSemaphorePermit>>,
    ) {
        let outbox = Arc::clone(&self.outbox);
        tokio::spawn(async move {
            let answer = match outcome.await {
                Ok(result) => ServerFrame::Reply(Reply { id, result }),
                Err(refused) => ServerFrame::Error(ErrorFrame { id: Some(id), ..*refused }),
            };
            outbox.push(frame::text(&answer.encode()));
            drop(permit);
        });
    }

    async fn tick(&mut self) {
        let now = self.context.clock.now();
        let left = self.rights.expires_at.since(now);
        if left.is_zero() {
            self.outbox.finish(CloseCode::SignInAgain, "the token has ended");
        } else if left <= EXPIRING_BEFORE && !self.warned {
            self.warned = true;
            let in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            self.send(&ServerFrame::Expiring(protocol::frame::server::Expiring { in_ms }));
        }
        let next = if self.warned { self.rights.expires_at } else { self.rights.expires_at.before(EXPIRING_BEFORE) };
        self.outbox.look_at(next);
        self.write_places().await;
    }

    /// Writes how far the device is in its streams, where that was not done lately.
    async fn write_places(&mut self) {
        for following in &mut self.following {
            if let Some(cursor) = &mut following.cursor
                && !cursor.write_if_due(&self.context, following.follow.cursor()).await
            {
                // With one of the next ticks.
                self.outbox.look_soon();
            }
        }
    }

    async fn gone(&mut self) {
        for mut following in std::mem::take(&mut self.following) {
            self.followed.remove(&following.follow);
            following.settle(&self.context).await;
            self.context.streams.unfollow(&following.follow);
        }
    }
}

impl Drop for SessionState {
    /// A session that fails is not told that its connection is gone: it must not be followed for ever.
    fn drop(&mut self) {
        for following in &self.following {
            self.context.streams.unfollow(&following.follow);
        }
        if !self.outbox.is_closed() {
            self.outbox.close(CloseCode::SessionFailed, "the session failed");
        }
    }
}
