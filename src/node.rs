//! A node: its stores, its actors and its sockets, put together, started and stopped.
//!
//! [`Assembly`] is a node without sockets, which the command line uses too when no node is running; [`serve`] is one
//! that listens.

pub mod dead_letters;
pub mod readiness;
pub mod room_stores;
pub mod root;
pub mod serve;
pub mod store;
pub mod stores;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use actors::clock::{BusinessZone, WallClock};
use actors::dead_letters::DeadLetterBox;
use actors::ledger::Ledger;
use actors::node::{LocalLink, Node, Publisher, Stores};
use actors::rooms::chat::Chat;
use actors::rooms::hall::Hall;
use actors::rooms::{RoomsArgs, RoomsMessage};
use actors::shards::ShardsMessage;
use domain::ids::ShardId;
use domain::ledger::Event;
use metrics_exporter_prometheus::PrometheusHandle;
use ractor::{Actor, ActorRef};
use storage::embedded::rate_limits::EmbeddedRateLimits;
use storage::sealing::Sealer;
use tokio::sync::oneshot;
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
use crate::node::room_stores::RoomStores;
use crate::node::root::{Root, RootArgs, RootMessage};
use crate::node::store::{Layout, Store};
use crate::node::stores::{LedgerStores, PeopleStores, Watcher};
use crate::present::people::People;
use crate::rooms::publisher::LateRoomPublisher;

/// Who hears of durable events while no stream of this node has followers: nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFollowers;

impl Publisher for NoFollowers {
    fn publish(&self, _: ShardId, _: &[Arc<Event>]) {}
}

/// A node without sockets.
pub struct Assembly {
    /// What its edge sees.
    pub app: Arc<App>,
    /// The journal and the views.
    pub stores: Arc<LedgerStores>,
    /// The locked store.
    pub store: Store,
    /// Cancelled when the node is of no use any more.
    pub broken: CancellationToken,
    /// Who hears of durable events of rooms.
    pub room_publisher: LateRoomPublisher,
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
        publisher: Arc<dyn Publisher>,
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
        let stores = Arc::new(tokio::task::block_in_place(|| LedgerStores::open(&store, &config))?);
        let people = tokio::task::block_in_place(|| PeopleStores::open(&store, &keys))?;
        stores.catch_up(&store, &config, watch).await?;
        let room_stores = tokio::task::block_in_place(|| RoomStores::open(&store, &config))?;
        room_stores.catch_up(&store, &config).await?;

        let zone = BusinessZone::new(&store.founding.business_zone)
            .ok_or_else(|| Failure::damaged(format!("{}: an unknown business zone", layout.founding().display())))?;
        let node = Arc::new(Node::new(
            store.shards,
            config.ledger.clone(),
            zone,
            Arc::clone(&clock),
            Stores { journal: Arc::clone(&stores.journal) as _, views: Arc::clone(&stores.views) as _ },
            Arc::new(LocalLink),
            publisher,
            DeadLetterBox::default(),
        ));
        let broken = CancellationToken::new();
        let dead_letters = Arc::new(LedgerDeadLetters::new(people.deliveries()));
        let args = RootArgs { node: Arc::clone(&node), dead_letters, broken: broken.clone() };
        let failed =
            |error: &dyn std::fmt::Display| Failure::failed(format!("the node's actors do not start: {error}"));
        let (root, _) = Actor::spawn(None, Root, args).await.map_err(|error| failed(&error))?;
        let shards = open_shards(&root, &node).await?;
        let room_publisher = LateRoomPublisher::default();
        let hall = Arc::new(Hall::new(
            store.shards,
            config.rooms.clone(),
            Arc::clone(&clock),
            room_stores.ports(),
            Arc::new(room_publisher.clone()),
        ));
        let args = RoomsArgs { hall: Arc::clone(&hall), retention: Some(room_stores.retention()) };
        let rooms = open_rooms(&root, args).await?;

        let access = tokio::task::block_in_place(|| Access::new(&config.auth, people.identity()))
            .map_err(|_| Failure::failed("the system has no random bytes"))?;
        let app = Arc::new(App {
            access: Arc::new(access),
            people: Arc::new(People::new(people.identity())),
            ledger: Ledger::new(Arc::clone(&node)),
            chat: Chat::new(hall),
            identity: people.identity(),
            deliveries: people.deliveries(),
            rate_limits: Arc::new(EmbeddedRateLimits::default()),
            sealer: Arc::new(Sealer::new(people.identity())),
            tokens,
            clock,
            epoch: store.founding.epoch.clone(),
            currency: store.currency,
            sessions: SessionsHandle::default(),
            readiness: Arc::new(Readiness::new(node)),
            config,
            metrics,
        });
        Ok(Self { app, stores, store, broken, room_publisher, root, shards, rooms })
    }

    /// What operations work with.
    pub fn context(&self) -> Context {
        Context { app: Arc::clone(&self.app), stores: Arc::clone(&self.stores), shards: self.store.shards }
    }

    /// Appends what is in flight, gives the shards up and ends the actors, within `patience`.
    pub async fn close(self, patience: Duration) {
        let (reply, closed) = oneshot::channel();
        let asked = self.shards.cast(ShardsMessage::Close { reply }).is_ok();
        let (reply, rooms_closed) = oneshot::channel();
        let rooms_asked = self.rooms.cast(RoomsMessage::Close { reply }).is_ok();
        let both = async { closed.await.is_ok() && rooms_closed.await.is_ok() };
        if !asked || !rooms_asked || tokio::time::timeout(patience, both).await != Ok(true) {
            // What was answered is durable; what was not is found again from the journal.
            tracing::warn!(?patience, "the shards did not close in time");
        }
        self.root.stop(None);
    }
}

/// Opens all shards, or says why one does not open.
async fn open_shards(root: &ActorRef<RootMessage>, node: &Node) -> Result<ActorRef<ShardsMessage>, Failure> {
    let ended = || Failure::failed("the node's actors ended while its shards were opened");
    let mut opening = node.opening.subscribe();
    let (reply, started) = oneshot::channel();
    root.cast(RootMessage::StartShards { reply }).map_err(|_| ended())?;
    let shards = started.await.map_err(|_| ended())?;
    let all = usize::from(node.shards.get());
    let state = opening.wait_for(|opening| opening.open == all || opening.error.is_some()).await;
    let error = state.map_err(|_| ended())?.error.clone();
    match error {
        Some(error) => Err(Failure::failed(format!("a shard does not open: {error}"))),
        None => Ok(shards),
    }
}

/// Opens all shards of rooms, or says why one does not open.
async fn open_rooms(root: &ActorRef<RootMessage>, args: RoomsArgs) -> Result<ActorRef<RoomsMessage>, Failure> {
    let ended = || Failure::failed("the node's actors ended while its rooms were opened");
    let mut opening = args.hall.opening.subscribe();
    let all = usize::from(args.hall.shards.get());
    let (reply, started) = oneshot::channel();
    root.cast(RootMessage::StartRooms { args, reply }).map_err(|_| ended())?;
    let rooms = started.await.map_err(|_| ended())?;
    let state = opening.wait_for(|opening| opening.open == all || opening.error.is_some()).await;
    let error = state.map_err(|_| ended())?.error.clone();
    match error {
        Some(error) => Err(Failure::failed(format!("a shard of rooms does not open: {error}"))),
        None => Ok(rooms),
    }
}
