//! A node with rooms alone, on the embedded stores, and what people ask of it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use actors::clock::WallClock;
use actors::dead_letters::DeadLetterBox;
use actors::rooms::call::RoomOutcome;
use actors::rooms::chat::Chat;
use actors::rooms::config::RoomsConfig;
use actors::rooms::hall::{Hall, RoomPublisher, RoomStores};
use actors::rooms::{Rooms, RoomsArgs, RoomsMessage};
use bytes::Bytes;
use domain::ids::{OperationId, RoomId, ShardCount, ShardId, UserId};
use domain::ledger::{By, Fingerprint, Origin, Principal, Via};
use domain::room::{Access, MessageKey, RoomClass, RoomCommand, RoomEvent, RoomKind, RoomRequest};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, Known, OpenFrom, SEGMENT_BYTES_MIN};
use storage::embedded::lock::StoreLock;
use storage::embedded::views::{EmbeddedViews, Opening, PayloadReader, ViewsConfig};
use storage::journal::{Place, Slot, Space};
use tokio::sync::oneshot;
use uuid::Uuid;

pub(crate) const ANNA: UserId = UserId(Uuid::from_u128(1));
pub(crate) const BEN: UserId = UserId(Uuid::from_u128(2));

/// A clock that stands where it is put.
pub(crate) struct Clock(AtomicU64);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire))
    }
}

/// Lets the views read from a journal that is opened after them.
#[derive(Default)]
struct LateReader(OnceLock<Arc<EmbeddedJournal>>);

impl PayloadReader for LateReader {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, Error> {
        self.0.get().unwrap().read_bytes(place, at, len)
    }
}

/// Hears what is published.
#[derive(Default)]
pub(crate) struct Ear(pub Mutex<Vec<Arc<RoomEvent>>>);

impl RoomPublisher for Ear {
    fn publish(&self, _: ShardId, _: Slot, events: &[Arc<RoomEvent>]) {
        self.0.lock().extend(events.iter().cloned());
    }
}

/// A node.
pub(crate) struct Node {
    pub chat: Chat,
    pub journal: Arc<EmbeddedJournal>,
    pub views: Arc<EmbeddedViews>,
    pub ear: Arc<Ear>,
    pub dead_letters: DeadLetterBox,
    supervisor: ActorRef<RoomsMessage>,
}

/// The journal and the views of rooms under `dir`; `views` names the views' folder.
pub(crate) fn stores(dir: &Path, views: &str) -> (Arc<EmbeddedJournal>, Arc<EmbeddedViews>) {
    let store = Uuid::from_u128(1);
    let reader = Arc::new(LateReader::default());
    let opened = EmbeddedViews::open(&dir.join(views), &ViewsConfig::of(store), reader.clone()).unwrap();
    let Opening::Ready(views) = opened else { panic!("the views are of no use") };
    let positions = views.positions().unwrap();
    let known: Vec<_> = positions
        .iter()
        .map(|(key, position)| Known { key: *key, slot: position.through, hash: position.hash })
        .collect();
    let mut config = JournalConfig::new(Space::Rooms, store, shards());
    config.segment_bytes = SEGMENT_BYTES_MIN;
    config.segments_ahead = 1;
    let lock = Arc::new(StoreLock::acquire(dir).unwrap());
    let journal = Arc::new(EmbeddedJournal::open(lock, &config, OpenFrom::Last(0), &known).unwrap());
    assert!(reader.0.set(Arc::clone(&journal)).is_ok());
    (journal, Arc::new(views))
}

pub(crate) fn shards() -> ShardCount {
    ShardCount::few(2).unwrap()
}

impl Node {
    pub(crate) async fn open(dir: &Path, config: RoomsConfig) -> Self {
        let (journal, views) = stores(dir, "views-rooms");
        let stores = RoomStores { journal: Arc::clone(&journal) as _, views: Arc::clone(&views) as _ };
        let ear = Arc::new(Ear::default());
        let clock = Arc::new(Clock(AtomicU64::new(1_780_000_000_000_000)));
        let dead_letters = DeadLetterBox::default();
        let hall = Arc::new(Hall::new(shards(), config, clock, stores, Arc::clone(&ear) as _, dead_letters.clone()));
        let args = RoomsArgs { hall: Arc::clone(&hall), retention: None };
        let (supervisor, _) = Actor::spawn(None, Rooms, args).await.unwrap();
        let mut opening = hall.opening.subscribe();
        opening.wait_for(|opening| opening.open == 2).await.unwrap();
        Self { chat: Chat::new(hall), journal, views, ear, dead_letters, supervisor }
    }

    pub(crate) async fn close(self) {
        let (reply, closed) = oneshot::channel();
        self.supervisor.cast(RoomsMessage::Close { reply }).unwrap();
        closed.await.unwrap();
        self.supervisor.stop_and_wait(None, None).await.unwrap();
    }

    pub(crate) async fn ask(
        &self,
        who: Principal,
        room: RoomId,
        kind: Option<RoomKind>,
        request: RoomRequest,
    ) -> RoomOutcome {
        let by = By { principal: who, session: None, device: None, via: Via::Http };
        let origin = Origin { operation: OperationId(Uuid::from_u128(9)), by, trace: None };
        self.chat.submit(room, RoomCommand { origin, kind, request }).await
    }

    pub(crate) async fn person(&self, who: UserId, room: RoomId, request: RoomRequest) -> RoomOutcome {
        self.ask(Principal::Person(who), room, None, request).await
    }

    /// A group that Anna made, with Ben in it.
    pub(crate) async fn group(&self, name: &str) -> RoomId {
        let room = RoomId::made(ANNA.0, name);
        let create = RoomRequest::Create { class: RoomClass::Chat, access: Access::Open, name: None };
        self.ask(Principal::Person(ANNA), room, Some(RoomKind::Group), create).await.unwrap();
        self.person(BEN, room, RoomRequest::Join).await.unwrap();
        room
    }
}

/// A message of some bytes under a key.
pub(crate) fn message(room: RoomId, key: &str, bytes: usize) -> RoomRequest {
    let key = MessageKey::of(room, BEN.0, key);
    RoomRequest::Publish {
        body: Sealed { owner: BEN, bytes: vec![3; bytes].into() },
        key: Some(key),
        fingerprint: Some(Fingerprint(key.0)),
        lasts: None,
    }
}
