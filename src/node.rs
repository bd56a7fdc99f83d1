//! A node: its stores, its actors and its sockets, put together, started and stopped.
//!
//! [`Assembly`] is a node without sockets, which the command line uses too when no node is running; [`serve`] is one
//! that listens.

pub mod cql;
pub mod dead_letters;
pub mod readiness;
pub mod root;
pub mod serve;
pub mod shared;
pub mod store;
pub mod stores;
pub mod unfinished;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use actors::clock::{BusinessZone, WallClock};
use actors::dead_letters::{DeadLetterBox, DeadLettersArgs};
use actors::deadlines::calendar::NodeCalendar;
use actors::deadlines::owed::Owed;
use actors::deadlines::publishing::Noting;
use actors::deadlines::{DeadlinesArgs, DeadlinesHandle};
use actors::ledger::Ledger;
use actors::node::{LocalLink, Node, Opening, Publisher, Stores, Unopened};
use actors::presence::Presences;
use actors::rooms::chat::Chat;
use actors::rooms::hall::{Hall, RoomPublisher, RoomStores};
use actors::rooms::{RoomsArgs, RoomsMessage};
use actors::shards::ShardsMessage;
use actors::streams::Streams;
use domain::ids::ShardId;
use domain::ledger::Event;
use domain::room::RoomEvent;
use metrics_exporter_prometheus::PrometheusHandle;
use ractor::{Actor, ActorRef};
use storage::journal::{Slot, Space};
use storage::sealing::Sealer;
use storage_cql::Pulse;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::SystemClock;
use crate::command::Context;
use crate::command::failure::Failure;
use crate::config::{Config, Keys};
use crate::escalation::Escalator;
use crate::http::auth::Access;
use crate::http::auth::tokens::Tokens;
use crate::live::SessionsHandle;
use crate::live::admission::Admission;
use crate::node::dead_letters::LedgerDeadLetters;
use crate::node::readiness::Readiness;
use crate::node::root::{Root, RootArgs, RootMessage};
use crate::node::shared::SharedStores;
use crate::node::store::{Layout, Store};
use crate::node::stores::{PeopleStores, SpaceStores, Watcher};
use crate::present::people::People;
use crate::wallet::statement::newest::Newest;

/// How long writing what is owed to persons may take as the node ends.
const DEADLINES_PATIENCE: Duration = Duration::from_millis(500);

/// Who hears of durable events while no stream of this node has followers: nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFollowers;

impl Publisher for NoFollowers {
    fn publish(&self, _: ShardId, _: Slot, _: &[Arc<Event>]) {}
}

impl RoomPublisher for NoFollowers {
    fn publish(&self, _: ShardId, _: Slot, _: &[Arc<RoomEvent>]) {}
}

/// Who hears of durable events.
#[derive(Clone)]
pub struct Publishers {
    /// Of accounts.
    pub accounts: Arc<dyn Publisher>,
    /// Of rooms.
    pub rooms: Arc<dyn RoomPublisher>,
}

impl Publishers {
    /// Nobody.
    pub fn none() -> Self {
        Self { accounts: Arc::new(NoFollowers), rooms: Arc::new(NoFollowers) }
    }
}

/// A node without sockets.
pub struct Assembly {
    /// What its edge sees.
    pub app: Arc<App>,
    /// The journal of the ledger and its views.
    pub stores: Arc<SpaceStores>,
    /// The same of rooms.
    pub room_stores: Arc<SpaceStores>,
    /// The stores of people.
    pub people: Arc<PeopleStores>,
    /// The locked store.
    pub store: Arc<Store>,
    /// Whether a store on CQL answers: somebody must let it ask.
    pub pulse: Option<Arc<Pulse>>,
    /// Cancelled when the node is of no use any more.
    pub broken: CancellationToken,
    root: ActorRef<RootMessage>,
    shards: ActorRef<ShardsMessage>,
    rooms: ActorRef<RoomsMessage>,
    deadlines: DeadlinesHandle,
}

impl Assembly {
    /// Opens the store and all its shards. `make` allows to make a store where there is none.
    ///
    /// # Errors
    /// The store is in use or damaged, a key is missing, or a shard does not open.
    pub async fn open(
        config: Arc<Config>,
        metrics: PrometheusHandle,
        publishers: Publishers,
        make: bool,
        watch: Watcher<'_>,
    ) -> Result<Self, Failure> {
        let clock: Arc<dyn WallClock> = Arc::new(SystemClock);
        let store = Store::open(&config, make, clock.now()).await?;
        let layout = Layout::of(&config.data);
        let keys = Keys::load(&config.keys, config.profile, &layout.keys(), store.is_new)?;
        let tokens = Tokens::load(&config.auth, &keys).map_err(|error| Failure::usage(error.to_string()))?;
        let tokens = Arc::new(tokens);
        // Opening blocks on the disk. Nothing else runs yet that it could hold up.
        let open = |space| tokio::task::block_in_place(|| SpaceStores::open(&store, &config, space)).map(Arc::new);
        let (stores, room_stores) = (open(Space::Ledger)?, open(Space::Rooms)?);
        let people = Arc::new(tokio::task::block_in_place(|| PeopleStores::open(&store, &keys))?);
        let shared = SharedStores::open(&config.redis, &keys).await?;
        stores.catch_up(&store, &config, watch).await?;
        room_stores.catch_up(&store, &config, watch).await?;

        let zone = BusinessZone::new(&store.founding.business_zone)
            .ok_or_else(|| Failure::damaged(format!("{}: an unknown business zone", layout.founding().display())))?;
        let post = DeadLetterBox::default();
        let owed = Owed::new(people.watches(), Arc::clone(&clock), store.shards);
        let (epoch, delivery) = (store.founding.epoch.clone(), config.delivery.clone());
        let streams = Streams::with(epoch, delivery, post.clone(), Some(Arc::clone(&owed)), rand::random());
        let node = Arc::new(Node::new(
            store.shards,
            config.ledger.clone(),
            zone,
            Arc::clone(&clock),
            Stores { journal: stores.journal(), views: stores.views() },
            Arc::new(LocalLink),
            Arc::new(Noting::new(Arc::clone(&owed), publishers.accounts)),
            post.clone(),
        ));
        let hall = Arc::new(Hall::new(
            store.shards,
            config.rooms.clone(),
            Arc::clone(&clock),
            RoomStores { journal: room_stores.journal(), views: room_stores.views() },
            Arc::new(Noting::new(Arc::clone(&owed), publishers.rooms)),
            post.clone(),
        ));
        let retention = Some(room_stores.retention());
        let rooms = RoomsArgs { hall: Arc::clone(&hall), retention };
        let broken = CancellationToken::new();
        let dead_letters = DeadLettersArgs {
            store: Arc::new(LedgerDeadLetters::new(people.deliveries())),
            deliveries: people.deliveries(),
            streams: Arc::clone(&streams),
            clock: Arc::clone(&clock),
            post: post.clone(),
        };
        let (ledger, chat) = (Ledger::new(Arc::clone(&node)), Chat::new(Arc::clone(&hall)));
        let (people_known, letters) = (people.identity(), people.deliveries());
        let (sinks, profile) = (&config.escalation, config.profile);
        let escalator = Escalator::new(sinks, profile, layout.data(), people_known, letters, Arc::clone(&clock))?;
        let deadlines = DeadlinesArgs {
            owed: Arc::clone(&owed),
            deliveries: people.deliveries(),
            streams: Arc::clone(&streams),
            calendar: Arc::new(NodeCalendar { ledger: ledger.clone(), chat: chat.clone() }),
            dead_letters: post.clone(),
            escalate: Arc::new(escalator),
            clock: Arc::clone(&clock),
            handle: DeadlinesHandle::default(),
        };
        let looking = deadlines.handle.clone();
        let args = RootArgs { node: Arc::clone(&node), rooms, dead_letters, deadlines, broken: broken.clone() };
        let failed =
            |error: &dyn std::fmt::Display| Failure::failed(format!("the node's actors do not start: {error}"));
        let (root, _) = Actor::spawn(None, Root, args).await.map_err(|error| failed(&error))?;
        let all = usize::from(store.shards.get());
        let shards = opened(&root, |reply| RootMessage::StartShards { reply }, &node.opening, all).await?;
        let rooms = opened(&root, |reply| RootMessage::StartRooms { reply }, &hall.opening, all).await?;

        let access = tokio::task::block_in_place(|| Access::new(&config.auth, people.identity()))
            .map_err(|_| Failure::failed("the system has no random bytes"))?;
        let pulse = store.cql.as_ref().map(|cql| Arc::new(Pulse::new(Arc::clone(cql), &config.storage.cql)));
        let dead_letters_max = config.delivery.dead_letters_per_minute_max;
        let readiness = Readiness::new(node, hall, pulse.clone(), shared.redis, dead_letters_max);
        let app = Arc::new(App {
            access: Arc::new(access),
            people: Arc::new(People::new(people.identity())),
            ledger,
            chat,
            identity: people.identity(),
            deliveries: people.deliveries(),
            owed,
            watches: people.watches(),
            newest: Arc::new(Newest::new(&store.founding.epoch, shared.cache)),
            revocations: shared.revocations,
            rate_limits: shared.rate_limits,
            sealer: Arc::new(Sealer::new(people.identity())),
            tokens,
            presences: Presences::new(shared.presence, Arc::clone(&clock), config.presence),
            admission: Admission::new(&config.edge.websocket),
            clock,
            epoch: store.founding.epoch.clone(),
            currency: store.currency,
            sessions: SessionsHandle::default(),
            streams,
            dead_letters: post,
            readiness: Arc::new(readiness),
            config,
            metrics,
        });
        let store = Arc::new(store);
        Ok(Self { app, stores, room_stores, people, store, pulse, broken, root, shards, rooms, deadlines: looking })
    }

    /// Looks after what is owed to persons from now on. A command that opens the store for a moment leaves that to the
    /// next node: it is found in the journals.
    pub fn look_after_deadlines(&self) {
        // A root that has ended has cancelled `broken`.
        self.root.cast(RootMessage::StartDeadlines).ok();
    }

    /// What operations work with.
    pub fn context(&self) -> Context {
        let (stores, room_stores) = (Arc::clone(&self.stores), Arc::clone(&self.room_stores));
        let (people, store) = (Arc::clone(&self.people), Arc::clone(&self.store));
        Context { app: Arc::clone(&self.app), stores, room_stores, people, store }
    }

    /// The stores of each space.
    pub fn spaces(&self) -> [Arc<SpaceStores>; 2] {
        [Arc::clone(&self.stores), Arc::clone(&self.room_stores)]
    }

    /// Appends what is in flight, gives the shards up and ends the actors, within `patience`.
    pub async fn close(self, patience: Duration) {
        let (ledger, ledger_closed) = oneshot::channel();
        let (rooms, rooms_closed) = oneshot::channel();
        let asked = self.shards.cast(ShardsMessage::Close { reply: ledger }).is_ok()
            && self.rooms.cast(RoomsMessage::Close { reply: rooms }).is_ok();
        let closed = async { (ledger_closed.await, rooms_closed.await) };
        if !asked || tokio::time::timeout(patience, closed).await.is_err() {
            // What was answered is durable; what was not is found again from the journal.
            tracing::warn!(?patience, "the shards did not close in time");
        }
        // After the shards: all that was published is looked at. What is not is read at the next start.
        tokio::time::timeout(DEADLINES_PATIENCE, self.deadlines.close()).await.ok();
        self.root.stop(None);
    }
}

/// Opens `all` shards of a space, or says why one does not open.
async fn opened<T>(
    root: &ActorRef<RootMessage>,
    start: impl FnOnce(oneshot::Sender<ActorRef<T>>) -> RootMessage,
    opening: &watch::Sender<Opening>,
    all: usize,
) -> Result<ActorRef<T>, Failure> {
    let ended = || Failure::failed("the node's actors ended while its shards were opened");
    let mut opening = opening.subscribe();
    let (reply, started) = oneshot::channel();
    root.cast(start(reply)).map_err(|_| ended())?;
    let shards = started.await.map_err(|_| ended())?;
    let state = opening.wait_for(|opening| opening.open == all || opening.error.is_some()).await;
    let error = state.map_err(|_| ended())?.error.clone();
    match error {
        Some(Unopened { shard, error, damaged }) => {
            let message = format!("shard {shard} does not open: {error}");
            Err(if damaged { Failure::damaged(message) } else { Failure::failed(message) })
        }
        None => Ok(shards),
    }
}
