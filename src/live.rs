//! What is live on a node: who is connected, and who hears of what.
//!
//! Owns the wiring of sessions and streams to the edge and to what HTTP has as well: [`door`] lets clients in, so many
//! at a time ([`admission`]),
//! [`desk`] does what they call for, [`presenter`] says what events look like, [`supervisor`] keeps the two
//! supervisors alive.

pub mod admission;
mod bucket;
mod desk;
mod door;
mod presenter;
mod supervisor;
mod topics;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actors::node::Publisher;
use actors::outbox::frame;
use actors::rooms::hall::RoomPublisher;
use actors::session::SessionContext;
use actors::sessions::SessionsMessage;
use actors::streams::account::AccountStreams;
use actors::streams::presence::TellerArgs;
use actors::streams::publishing::{StreamEvent, StreamsArgs, StreamsPublisher};
use actors::streams::room::RoomStreams;
use domain::ids::{LoginId, ShardId, UserId};
use domain::ledger::Event;
use domain::room::RoomEvent;
use parking_lot::RwLock;
use protocol::frame::ServerFrame;
use protocol::frame::server::Drain;
use ractor::{Actor, ActorRef};
use storage::journal::Slot;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::command::failure::Failure;
use crate::edge::gate::Gate;
use crate::edge::websocket::WebSockets;
use crate::live::door::LiveDoor;
use crate::live::supervisor::{Supervisor, SupervisorArgs};
use crate::live::topics::AppTopics;
use crate::node::Publishers;

/// How long after the notice of a drain clients may take to reconnect elsewhere, at random.
const DRAIN_SPREAD: Duration = Duration::from_secs(2);

/// How long it may take to find the connections that are to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Publishers that publish to nobody until the streams are there: shards open before.
#[derive(Default)]
pub struct LatePublishers {
    accounts: Arc<Late<Event>>,
    rooms: Arc<Late<RoomEvent>>,
}

impl LatePublishers {
    /// As the actors are given them.
    pub fn publishers(&self) -> Publishers {
        Publishers { accounts: Arc::clone(&self.accounts) as _, rooms: Arc::clone(&self.rooms) as _ }
    }
}

/// One of them. Set once: a node starts its live part once.
struct Late<E: StreamEvent>(OnceLock<Arc<StreamsPublisher<E>>>);

impl<E: StreamEvent> Default for Late<E> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl Publisher for Late<Event> {
    fn publish(&self, shard: ShardId, slot: Slot, events: &[Arc<Event>]) {
        if let Some(publisher) = self.0.get() {
            Publisher::publish(&**publisher, shard, slot, events);
        }
    }
}

impl RoomPublisher for Late<RoomEvent> {
    fn publish(&self, shard: ShardId, slot: Slot, events: &[Arc<RoomEvent>]) {
        if let Some(publisher) = self.0.get() {
            RoomPublisher::publish(&**publisher, shard, slot, events);
        }
    }
}

/// The supervisor of sessions, whichever life it is in.
#[derive(Clone, Default)]
pub struct SessionsHandle {
    actor: Arc<RwLock<Option<ActorRef<SessionsMessage>>>>,
}

impl SessionsHandle {
    /// The supervisor is alive.
    fn open(&self, actor: ActorRef<SessionsMessage>) {
        *self.actor.write() = Some(actor);
    }

    /// Mails the supervisor. `false` if there is none.
    fn cast(&self, message: SessionsMessage) -> bool {
        self.actor.read().as_ref().is_some_and(|actor| actor.cast(message).is_ok())
    }

    /// Ends the connections of a person: one, those of one login, or all.
    pub fn close(&self, user: UserId, which: Option<Uuid>) {
        // Without a supervisor there are no sessions.
        self.cast(SessionsMessage::Close { user, which, reply: None });
    }

    /// Ends one connection of a person, or those of one login. Answers how many there were.
    pub async fn close_one(&self, user: UserId, which: Uuid) -> usize {
        let (reply, closed) = oneshot::channel();
        self.cast(SessionsMessage::Close { user, which: Some(which), reply: Some(reply) });
        tokio::time::timeout(CLOSE_PATIENCE, closed).await.ok().and_then(Result::ok).unwrap_or(0)
    }

    /// Of which people's sign-ins there are connections.
    pub async fn logins(&self) -> Vec<(UserId, LoginId)> {
        let (reply, answered) = oneshot::channel();
        self.cast(SessionsMessage::Logins { reply });
        tokio::time::timeout(CLOSE_PATIENCE, answered).await.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// The live part of a node.
pub struct Live {
    websockets: Arc<WebSockets<LiveDoor>>,
}

impl Live {
    /// Starts streams and sessions, and lets `late` publish.
    ///
    /// # Errors
    /// The actors do not start.
    pub async fn start(
        app: &Arc<App>,
        late: &LatePublishers,
        gate: Arc<Gate>,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let delivery = &app.config.delivery;
        let streams = Arc::clone(&app.streams);
        let presenter = Arc::new(presenter::AppPresenter(Arc::clone(app)));
        let accounts =
            AccountStreams::new(app.ledger.clone(), Arc::clone(&presenter) as _, app.epoch.clone(), &delivery.money);
        let (chat, clock) = (app.chat.clone(), Arc::clone(&app.clock));
        let rooms = RoomStreams::new(chat, presenter, clock, app.epoch.clone(), &delivery.notice);
        let websocket = &app.config.edge.websocket;
        let topics = AppTopics { app: Arc::clone(app), accounts: Arc::clone(&accounts), rooms: Arc::clone(&rooms) };
        let desk = desk::AppDesk { app: Arc::clone(app), streams: Arc::clone(&streams) };
        let context = Arc::new(SessionContext {
            topics: Arc::new(topics),
            streams: Arc::clone(&streams),
            deliveries: Arc::clone(&app.deliveries),
            desk: Arc::new(desk),
            clock: Arc::clone(&app.clock),
            heartbeat_ms: websocket.heartbeat_ms.into(),
        });
        let of_accounts = StreamsPublisher::new(Arc::clone(&streams));
        let of_rooms = StreamsPublisher::new(Arc::clone(&streams));
        let args = SupervisorArgs {
            accounts: StreamsArgs {
                streams: Arc::clone(&streams),
                encode: accounts,
                publisher: Arc::clone(&of_accounts),
            },
            rooms: StreamsArgs { streams: Arc::clone(&streams), encode: rooms, publisher: Arc::clone(&of_rooms) },
            presence: Arc::clone(&app.presences),
            room_presence: TellerArgs {
                streams,
                attendance: Arc::new(presenter::AppAttendance(Arc::clone(app))),
                config: app.config.presence,
            },
            sessions: app.sessions.clone(),
            clock: Arc::clone(&app.clock),
        };
        let failed = |error: ractor::SpawnErr| Failure::failed(format!("streams and sessions do not start: {error}"));
        Actor::spawn(None, Supervisor, args).await.map_err(failed)?;
        late.accounts.0.set(of_accounts).ok();
        late.rooms.0.set(of_rooms).ok();
        let door = LiveDoor::new(Arc::clone(app), context);
        let websockets = WebSockets::new(door, websocket.clone(), gate, &app.config.edge.listener, stop.clone());
        tokio::spawn(websockets.heartbeats().run(stop));
        Ok(Self { websockets })
    }

    /// The route `/ws`.
    pub fn router(&self) -> axum::Router {
        self.websockets.router()
    }

    /// Tells clients to reconnect elsewhere, then closes their connections.
    pub async fn drain(&self, grace: Duration) {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let notice = ServerFrame::Drain(Drain { after_ms: 0, spread_ms: ms(DRAIN_SPREAD.min(grace)) });
        self.websockets.drain(frame::text(&notice.encode()), grace).await;
    }
}
