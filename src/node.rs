//! A node: its stores, its actors and its sockets, put together, started and stopped.
//!
//! [`Assembly`] is a node without sockets, which the command line uses too when no node is running; [`serve`] is one
//! that listens.

pub mod dead_letters;
pub mod readiness;
pub mod root;
pub mod serve;
pub mod store;
pub mod stores;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use actors::clock::{BusinessZone, WallClock};
use actors::dead_letters::{DeadLetterBox, DeadLettersArgs};
use actors::ledger::Ledger;
use actors::node::{LocalLink, Node, Opening, Publisher, Stores, Unopened};
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
use storage::embedded::rate_limits::EmbeddedRateLimits;
use storage::journal::Space;
use storage::sealing::Sealer;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::SystemClock;
use crate::command::Context;
use crate::command::failure::Failure;
use crate::config::{Config, Keys};
use crate::http::auth::Access;
use crate::http::auth::tokens::Tokens;
use crate::live::SessionsHandle;
use crate::node::dead_letters::LedgerDeadLetters;
use crate::node::readiness::Readiness;
use crate::node::root::{Root, RootArgs, RootMessage};
use crate::node::store::{Layout, Store};
use crate::node::stores::{PeopleStores, SpaceStores, Watcher};
use crate::present::people::People;

/// Who hears of durable events while no stream of this node has followers: nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFollowers;

impl Publisher for NoFollowers {
    fn publish(&self, _: ShardId, _: &[Arc<Event>]) {}
}

impl RoomPublisher for NoFollowers {
    fn publish(&self, _: ShardId, _: &[Arc<RoomEvent>]) {}
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
    /// The locked store.
    pub store: Store,
    /// Cancelled when the node is of no use any more.
    pub broken: CancellationToken,
    root: ActorRef<RootMessage>,
    shards: ActorRef<ShardsMessage>,
    rooms: ActorRef<RoomsMessage>,
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
        let store = Store::open(&config.data, &config.storage, make, clock.now())?;
        let layout = Layout::of(&config.data);
        let keys = Keys::load(&config.keys, config.profile, &layout.keys(), store.is_new)?;
        let tokens = Tokens::load(&config.auth, &keys).map_err(|error| Failure::usage(error.to_string()))?;
        let tokens = Arc::new(tokens);
        // Opening blocks on the disk. Nothing else runs yet that it could hold up.
        let open = |space| tokio::task::block_in_place(|| SpaceStores::open(&store, &config, space)).map(Arc::new);
        let (stores, room_stores) = (open(Space::Ledger)?, open(Space::Rooms)?);
        let people = tokio::task::block_in_place(|| PeopleStores::open(&store, &keys))?;
        stores.catch_up(&store, &config, watch).await?;
        room_stores.catch_up(&store, &config, watch).await?;

        let zone = BusinessZone::new(&store.founding.business_zone)
            .ok_or_else(|| Failure::damaged(format!("{}: an unknown business zone", layout.founding().display())))?;
        let post = DeadLetterBox::default();
        let streams = Streams::new(store.founding.epoch.clone(), config.delivery.clone(), post.clone(), rand::random());
        let node = Arc::new(Node::new(
            store.shards,
            config.ledger.clone(),
            zone,
            Arc::clone(&clock),
            Stores { journal: Arc::clone(&stores.journal) as _, views: Arc::clone(&stores.views) as _ },
            Arc::new(LocalLink),
            publishers.accounts,
            post.clone(),
        ));
        let hall = Arc::new(Hall::new(
            store.shards,
            config.rooms.clone(),
            Arc::clone(&clock),
            RoomStores { journal: Arc::clone(&room_stores.journal) as _, views: Arc::clone(&room_stores.views) as _ },
            publishers.rooms,
        ));
        let retention = Some(Arc::clone(&room_stores.journal) as _);
        let rooms = RoomsArgs { hall: Arc::clone(&hall), retention };
        let broken = CancellationToken::new();
        let dead_letters = DeadLettersArgs {
            store: Arc::new(LedgerDeadLetters::new(people.deliveries())),
            deliveries: people.deliveries(),
            streams: Arc::clone(&streams),
            clock: Arc::clone(&clock),
            post: post.clone(),
        };
        let args = RootArgs { node: Arc::clone(&node), rooms, dead_letters, broken: broken.clone() };
        let failed =
            |error: &dyn std::fmt::Display| Failure::failed(format!("the node's actors do not start: {error}"));
        let (root, _) = Actor::spawn(None, Root, args).await.map_err(|error| failed(&error))?;
        let all = usize::from(store.shards.get());
        let shards = opened(&root, |reply| RootMessage::StartShards { reply }, &node.opening, all).await?;
        let rooms = opened(&root, |reply| RootMessage::StartRooms { reply }, &hall.opening, all).await?;

        let access = tokio::task::block_in_place(|| Access::new(&config.auth, people.identity()))
            .map_err(|_| Failure::failed("the system has no random bytes"))?;
        let app = Arc::new(App {
            access: Arc::new(access),
            people: Arc::new(People::new(people.identity())),
            ledger: Ledger::new(Arc::clone(&node)),
            chat: Chat::new(Arc::clone(&hall)),
            identity: people.identity(),
            deliveries: people.deliveries(),
            rate_limits: Arc::new(EmbeddedRateLimits::default()),
            sealer: Arc::new(Sealer::new(people.identity())),
            tokens,
            clock,
            epoch: store.founding.epoch.clone(),
            currency: store.currency,
            sessions: SessionsHandle::default(),
            streams,
            dead_letters: post,
            readiness: Arc::new(Readiness::new(node, hall, config.delivery.dead_letters_per_minute_max)),
            config,
            metrics,
        });
        Ok(Self { app, stores, room_stores, store, broken, root, shards, rooms })
    }

    /// What operations work with.
    pub fn context(&self) -> Context {
        let (stores, room_stores) = (Arc::clone(&self.stores), Arc::clone(&self.room_stores));
        Context { app: Arc::clone(&self.app), stores, room_stores, shards: self.store.shards }
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
