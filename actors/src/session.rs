//! `Session`: one connection of one device: its rights, its subscriptions, its cursor.
//!
//! The edge hands it the client's frames, with a permit each batch; it answers into the connection's
//! outbox. Streams push messages there by themselves. Calls run beside it, so that a slow one holds up
//! neither acknowledgements nor other calls.
//!
//! Bounds: frames in flight by permits, subscriptions by the protocol's limit. When it dies its
//! supervisor closes the connection with 1012, and the client resumes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{AccountId, DeviceId, LoginId, SessionId, UserId};
use domain::time::Timestamp;
use protocol::code::Code;
use protocol::frame::client::{Ack, Auth, Call, Hello, Subscription};
use protocol::frame::server::{ErrorFrame, Gap, Pong, Reply, Subscribed, Welcome};
use protocol::frame::{ClientFrame, FrameError, GapReason, Place, ServerFrame, Stage, StreamName};
use protocol::json::Json;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::deliveries::Deliveries;
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::WallClock;
use crate::ledger::Ledger;
use crate::outbox::{CloseCode, Outbox, frame};
use crate::session::cursor::DeviceCursor;
use crate::streams::Streams;
use crate::streams::follow::Follow;

mod cursor;

/// The most messages that are replayed on a subscription. Beyond it the client is told of a gap and
/// pages by HTTP.
const REPLAY_MAX: u64 = 1_000;

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
}

/// What all sessions of a node share.
pub struct SessionContext {
    /// The way to the accounts.
    pub ledger: Ledger,
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
    /// Messages that a stream may have unacknowledged, which clients are told.
    pub window: u32,
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
    /// Its own money, if it follows it.
    account: Option<Arc<Follow>>,
    cursor: Option<DeviceCursor>,
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
        let SessionArgs { context, id, rights, device, outbox, hello } = args;
        let hello = Some(hello);
        Ok(SessionState { context, id, rights, device, outbox, hello, account: None, cursor: None, warned: false })
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
        let mut places = Vec::with_capacity(hello.subscribe.len());
        for subscription in &hello.subscribe {
            places.push(match subscription.stream {
                StreamName::Account => self.remembered().await,
                _ => Ok(None),
            });
        }
        let resumed = places.iter().any(|place| matches!(place, Ok(Some(_))));
        self.send(&ServerFrame::Welcome(Welcome {
            session: self.id,
            user: self.rights.user,
            heartbeat_ms: self.context.heartbeat_ms,
            window: self.context.window,
            resumed,
        }));
        for (subscription, remembered) in hello.subscribe.iter().zip(places) {
            match remembered {
                Ok(remembered) => self.subscribe(None, subscription, remembered).await,
                Err(code) => self.refuse(None, Some(subscription.stream.clone()), code),
            }
        }
    }

    /// The device's place in the account's stream, if the server knows one.
    async fn remembered(&self) -> Result<Option<Place>, Code> {
        let Some(device) = self.device else { return Ok(None) };
        let cursor = self.context.deliveries.cursor(self.rights.user, device, self.rights.account.0).await;
        match cursor {
            Ok(cursor) => Ok(cursor.map(|cursor| Place { epoch: cursor.epoch.into(), offset: cursor.offset })),
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
                let subscription = Subscription { stream: subscribe.stream, after: subscribe.after };
                match self.remembered().await {
                    Ok(remembered) => self.subscribe(Some(subscribe.id), &subscription, remembered).await,
                    Err(code) => self.refuse(Some(subscribe.id), Some(subscription.stream), code),
                }
            }
            ClientFrame::Unsubscribe(unsubscribe) => {
                self.unsubscribe(&unsubscribe.stream);
                if let Ok(result) = Json::of(&serde_json::json!({})) {
                    self.send(&ServerFrame::Reply(Reply { id: unsubscribe.id, result }));
                }
            }
            ClientFrame::Ack(ack) => self.ack(&ack).await,
            // Sending again and giving up come with windows: until then a message stays unacknowledged.
            ClientFrame::Nack(nack) => {
                tracing::debug!(session = %self.id, offset = nack.offset, code = %nack.code, "a message was refused");
            }
            ClientFrame::Call(call) => self.call(call, permit.cloned()),
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

    /// Follows a stream: from `after`, else from the place remembered, else from its head.
    async fn subscribe(&mut self, id: Option<Box<str>>, subscription: &Subscription, remembered: Option<Place>) {
        if subscription.stream != StreamName::Account {
            self.refuse(id, Some(subscription.stream.clone()), Code::StreamUnknown);
            return;
        }
        self.unsubscribe(&StreamName::Account);
        let account = self.rights.account;
        // Followed first, and the head read after: what is durable later is buffered, what was before is
        // at or below the head.
        let follow = Follow::after(account, self.rights.user, Arc::clone(&self.outbox), 0);
        self.context.streams.follow(&follow);
        let Ok(state) = self.context.ledger.account(account).await else {
            self.context.streams.unfollow(&follow);
            self.refuse(id, Some(StreamName::Account), Code::Busy);
            return;
        };
        let head = state.head;
        let epoch = self.context.streams.epoch();
        let (from, gap) = start(epoch, head, subscription.after.as_ref().or(remembered.as_ref()));
        if let Some(device) = self.device {
            let mut cursor = DeviceCursor::new(self.rights.user, device, account.0, epoch.to_owned());
            if remembered.is_none() && cursor.begin(&self.context, from).await.is_err() {
                self.context.streams.unfollow(&follow);
                self.refuse(id, Some(StreamName::Account), Code::Busy);
                return;
            }
            self.cursor = Some(cursor);
        }
        let subscribed = Subscribed { id, stream: StreamName::Account, epoch: epoch.into(), head, from };
        self.send(&ServerFrame::Subscribed(subscribed));
        if let Some((from, to, reason)) = gap {
            self.send(&ServerFrame::Gap(Gap { stream: StreamName::Account, from, to, reason }));
        }
        follow.start_after(from);
        self.account = Some(Arc::clone(&follow));
        self.context.streams.bring_up(self.context.ledger.clone(), follow);
    }

    fn unsubscribe(&mut self, stream: &StreamName) {
        if *stream == StreamName::Account
            && let Some(follow) = self.account.take()
        {
            self.context.streams.unfollow(&follow);
        }
    }

    async fn ack(&mut self, ack: &Ack) {
        let Some(follow) = self.account.as_ref().filter(|_| ack.stream == StreamName::Account) else { return };
        if ack.stage != Stage::Applied {
            return;
        }
        // What was never sent cannot be applied.
        let upto = ack.upto.min(follow.heard());
        if let Some(cursor) = &mut self.cursor {
            cursor.applied(&self.context, upto).await;
        }
    }

    /// Calls run beside the session, each with a share of the permit of its frame.
    fn call(&self, call: Call, permit: Option<Arc<OwnedSemaphorePermit>>) {
        let calling = Calling { rights: self.rights, session: self.id, device: self.device };
        let (context, outbox) = (Arc::clone(&self.context), Arc::clone(&self.outbox));
        tokio::spawn(async move {
            let id = call.id.clone();
            let answer = match context.desk.call(calling, call).await {
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
        if let Some(cursor) = &mut self.cursor {
            cursor.write_if_due(&self.context).await;
        }
    }

    async fn gone(&mut self) {
        self.unsubscribe(&StreamName::Account);
        if let Some(cursor) = &mut self.cursor {
            cursor.write(&self.context).await;
        }
    }
}

impl Drop for SessionState {
    /// A session that fails is not told that its connection is gone: it must not be followed for ever.
    fn drop(&mut self) {
        self.unsubscribe(&StreamName::Account);
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
