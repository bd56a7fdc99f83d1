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

use async_trait::async_trait;
use domain::delivery;
use domain::ids::{AccountId, DeviceId, LoginId, SessionId, UserId};
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use protocol::code::Code;
use protocol::frame::client::{Ack, Auth, Call, Hello, Nack, Publish, Signal, Subscribe, Subscription};
use protocol::frame::server::{ErrorFrame, Gap, Pong, Reply, Subscribed, Welcome};
use protocol::frame::{ClientFrame, FrameError, GapReason, Place, ServerFrame, StreamName};
use protocol::json::Json;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::deliveries::Deliveries;
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::WallClock;
use crate::outbox::{CloseCode, Outbox, frame};
use crate::session::cursor::DeviceCursor;
use crate::streams::follow::{Follow, Follower};
use crate::streams::topic::{Topic, Topics};
use crate::streams::{REPLAY_MAX, Streams};

mod cursor;

/// How long before its token ends a client is told.
const EXPIRING_BEFORE: Duration = Duration::from_mins(1);

/// What a token grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// To whom.
    pub user: UserId,
    /// Their account.
    pub account: AccountId,
    /// The login that the token is of.
    pub login: Option<LoginId>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Calling {
    /// What the session's token grants.
    pub rights: Rights,
    /// The connection.
    pub session: SessionId,
    /// The device, if it said its name.
    pub device: Option<DeviceId>,
}

/// What sessions need of the node's edge: tokens, and the commands that HTTP has as well.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// What a token grants now.
    async fn rights(&self, token: &str) -> Result<Rights, Code>;

    /// Does what is called for, and answers as HTTP would.
    async fn call(&self, calling: Calling, call: Call) -> Result<Json, Box<ErrorFrame>>;

    /// Hands a message to its room, and answers with what its outcome is waited for by: messages that are handed one
    /// after another stand in the room in that order.
    async fn publish(&self, calling: Calling, publish: Publish) -> Answering;

    /// Lets a signal out to who follows the room, if the caller may write there.
    async fn signal(&self, calling: Calling, signal: Signal) -> Result<(), Code>;
}

/// An answer that is waited for.
pub type Answering = BoxFuture<'static, Result<Json, Box<ErrorFrame>>>;

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
    /// What it said, until that is answered.
    hello: Option<Box<Hello>>,
    /// What it follows.
    following: Vec<Following>,
    /// The client was told that its token ends.
    warned: bool,
}

/// A stream that a session follows.
struct Following {
    follow: Arc<Follow>,
    /// The device's place in it, if the client said its name.
    cursor: Option<DeviceCursor>,
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
        let SessionArgs { context, id, rights, device, outbox, hello } = args;
        let hello = Some(hello);
        Ok(SessionState { context, id, rights, device, outbox, hello, following: Vec::new(), warned: false })
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
        match message {
            SessionMessage::Frames { frames, permit } => state.frames(frames, permit).await,
            SessionMessage::Tick => state.tick().await,
            SessionMessage::Gone => {
                state.gone().await;
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

    /// The stream of this name, and the device's place in it if the server knows one.
    async fn known(&self, name: &StreamName) -> Result<(Arc<Topic>, Option<Place>), Code> {
        let topic = self.context.topics.topic(&self.rights, name).await?;
        let Some(device) = self.device else { return Ok((topic, None)) };
        match self.context.deliveries.cursor(self.rights.user, device, topic.stream).await {
            Ok(cursor) => {
                let place = cursor.map(|cursor| Place { epoch: cursor.epoch.into(), offset: cursor.offset });
                Ok((topic, place))
            }
            Err(error) => {
                tracing::error!(%error, "a cursor cannot be read");
                Err(Code::Busy)
            }
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
            ClientFrame::Ack(ack) => self.ack(&ack).await,
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
            }
            Ok(_) => self.outbox.close(CloseCode::Policy, "the token is another person's"),
            Err(_) => self.outbox.close(CloseCode::SignInAgain, "the token is not valid"),
        }
    }

    /// Follows a stream: from `after`, else from the place remembered, else from its head. Following what is followed
    /// already begins it anew.
    async fn subscribe(
        &mut self,
        id: Option<Box<str>>,
        subscription: &Subscription,
        known: Result<(Arc<Topic>, Option<Place>), Code>,
    ) {
        let name = subscription.stream.clone();
        let followed = match known {
            Ok((topic, remembered)) => {
                self.unsubscribe(&name).await;
                self.follow(id.clone(), topic, subscription, remembered.as_ref()).await
            }
            Err(code) => Err(code),
        };
        match followed {
            Ok(following) => self.following.push(following),
            Err(code) => self.refuse(id, Some(name), code),
        }
    }

    async fn follow(
        &self,
        id: Option<Box<str>>,
        topic: Arc<Topic>,
        subscription: &Subscription,
        remembered: Option<&Place>,
    ) -> Result<Following, Code> {
        let streams = &self.context.streams;
        let follower = Follower { user: self.rights.user, device: self.device };
        // Followed first, and the head read after: what is durable later is buffered, what was before is
        // at or below the head.
        let follow = streams.follow(Arc::clone(&topic), follower, Arc::clone(&self.outbox));
        let follow = follow.ok_or(Code::TooManyStreams)?;
        let begun = self.place(&topic, subscription, remembered).await;
        let (head, from, gap, cursor) = begun.inspect_err(|_| streams.unfollow(&follow))?;
        let epoch = streams.epoch().into();
        self.send(&ServerFrame::Subscribed(Subscribed { id, stream: topic.name.clone(), epoch, head, from }));
        if let Some((from, to, reason)) = gap {
            self.send(&ServerFrame::Gap(Gap { stream: topic.name.clone(), from, to, reason }));
        }
        streams.begin(&follow, from, head);
        self.offer_again(&follow).await;
        Ok(Following { follow, cursor })
    }

    /// Dead letters that tell of the stream: those that are redriven are offered now.
    async fn offer_again(&self, follow: &Arc<Follow>) {
        if !follow.class().is_tracked() {
            return;
        }
        let streams = &self.context.streams;
        match self.context.deliveries.open_dead_letters(self.rights.user, follow.topic().stream).await {
            Ok(letters) if letters.is_empty() => {}
            Ok(letters) => {
                streams.mark_dead(self.rights.user, follow.topic().stream);
                letters.iter().filter(|letter| letter.redrive).for_each(|letter| streams.offer_to(follow, letter));
            }
            // They are offered at the next connection.
            Err(error) => tracing::warn!(%error, "dead letters cannot be read"),
        }
    }

    /// Where a subscription begins: the stream's head, the offset after which messages follow, what is skipped, and
    /// the place of the device, durable if it is its first.
    async fn place(
        &self,
        topic: &Topic,
        subscription: &Subscription,
        remembered: Option<&Place>,
    ) -> Result<(u64, u64, Option<Skipped>, Option<DeviceCursor>), Code> {
        let epoch = self.context.streams.epoch();
        let head = topic.source.head(topic.stream).await.map_err(|error| {
            tracing::warn!(%error, "a stream's head cannot be read");
            Code::Busy
        })?;
        let (from, gap) = match (&subscription.after, subscription.last) {
            (Some(after), _) => start(epoch, head, Some(after)),
            (None, Some(last)) => (head.saturating_sub(u64::from(last).min(REPLAY_MAX)), None),
            (None, None) => start(epoch, head, remembered),
        };
        let Some(device) = self.device else { return Ok((head, from, gap, None)) };
        let mut cursor = DeviceCursor::new(self.rights.user, device, topic.stream, epoch.to_owned());
        if remembered.is_some() {
            cursor.resume(from);
        } else {
            cursor.begin(&self.context, from).await.map_err(|_| Code::Busy)?;
        }
        Ok((head, from, gap, Some(cursor)))
    }

    /// Follows a stream no more. What was acknowledged of it is written.
    async fn unsubscribe(&mut self, stream: &StreamName) {
        let Some(index) = self.following.iter().position(|other| other.follow.topic().name == *stream) else { return };
        let mut following = self.following.swap_remove(index);
        following.settle(&self.context).await;
        self.context.streams.unfollow(&following.follow);
    }

    fn following(&mut self, stream: &StreamName) -> Option<&mut Following> {
        self.following.iter_mut().find(|following| following.follow.topic().name == *stream)
    }

    async fn ack(&mut self, ack: &Ack) {
        let context = Arc::clone(&self.context);
        let Some(following) = self.following(&ack.stream) else { return };
        let progress =
            context.streams.ack(&following.follow, delivery::Ack { upto: ack.upto, also: &ack.also, stage: ack.stage });
        if let (Some((_, upto)), Some(cursor)) = (progress.cursor, &mut following.cursor) {
            cursor.applied(&context, upto).await;
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
        for following in &mut self.following {
            // Dead messages that were passed move it as well, and no frame says so.
            if let (Some(upto), Some(cursor)) = (following.follow.cursor(), &mut following.cursor) {
                cursor.applied(&self.context, upto).await;
            }
        }
    }

    async fn gone(&mut self) {
        for mut following in std::mem::take(&mut self.following) {
            following.settle(&self.context).await;
            self.context.streams.unfollow(&following.follow);
        }
    }
}

impl Following {
    /// Writes how far the device is.
    async fn settle(&mut self, context: &SessionContext) {
        if let Some(cursor) = &mut self.cursor {
            cursor.write(context, self.follow.cursor()).await;
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

/// A range of offsets that will not come, and why.
type Skipped = (u64, u64, GapReason);

/// The offset after which a subscription begins, and what it skips.
fn start(epoch: &str, head: u64, place: Option<&Place>) -> (u64, Option<Skipped>) {
    let Some(place) = place else { return (head, None) };
    if *place.epoch != *epoch {
        return (head, Some((1.min(head), head, GapReason::Epoch)));
    }
    if place.offset > head {
        return (head, Some((head.saturating_add(1), place.offset, GapReason::Ahead)));
    }
    if head - place.offset > REPLAY_MAX {
        return (head, Some((place.offset + 1, head, GapReason::Behind)));
    }
    (place.offset, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_begins_where_it_should() {
        let at = |epoch: &str, offset| Some(Place { epoch: epoch.into(), offset });
        let cases = [
            (10, None, (10, None)),
            (10, at("e", 10), (10, None)),
            (10, at("e", 4), (4, None)),
            (0, at("e", 0), (0, None)),
            (10, at("e", 11), (10, Some((11, 11, GapReason::Ahead)))),
            (10, at("other", 4), (10, Some((1, 10, GapReason::Epoch)))),
            (1_000, at("e", 0), (0, None)),
            (1_001, at("e", 0), (1_001, Some((1, 1_001, GapReason::Behind)))),
        ];
        for (head, place, expected) in cases {
            assert_eq!(start("e", head, place.as_ref()), expected, "head {head}, {place:?}");
        }
    }
}
