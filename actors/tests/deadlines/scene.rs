//! A node's part that looks after deadlines, over a stream of one person that tests write.

use std::sync::Arc;
use std::time::Duration;

use actors::clock::WallClock;
use actors::config::DeliveryConfig;
use actors::dead_letters::{DeadLetterBox, DeadLetterStore, DeadLetters, DeadLettersArgs, Reported};
use actors::deadlines::calendar::Calendar;
use actors::deadlines::owed::Owed;
use actors::deadlines::{Deadlines, DeadlinesArgs, DeadlinesHandle, Escalate, Escalation};
use actors::outbox::{Outbox, frame};
use actors::streams::Streams;
use actors::streams::follow::{Follow, Follower};
use actors::streams::topic::{Encoded, Source, Topic, Unreadable};
use async_trait::async_trait;
use domain::delivery::{Ack, Class, Stage};
use domain::ids::{DeviceId, OperationId, RoomId, ShardCount, ShardId, UserId};
use domain::ledger::{By, Meta, Origin};
use domain::room::{RoomChange, RoomEvent};
use domain::time::Timestamp;
use parking_lot::Mutex;
use protocol::frame::StreamName;
use ractor::Actor;
use storage::Error;
use storage::deliveries::{Cursor, CursorWrite, Deliveries, Reason};
use storage::encoding::{RoomItem, Writer};
use storage::journal::{Hash, JournalKey, Record, Slot, Space};
use storage::watches::Timeline;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::store::Memory;

pub(crate) const USER: UserId = UserId(Uuid::from_u128(1));
pub(crate) const STREAM: Uuid = Uuid::from_u128(2);
pub(crate) const PHONE: DeviceId = DeviceId(Uuid::from_u128(3));
pub(crate) const TABLET: DeviceId = DeviceId(Uuid::from_u128(4));

/// The deadline of a notice.
pub(crate) const DEADLINE: Duration = Duration::from_mins(15);

const KEY: JournalKey = JournalKey { space: Space::Rooms, shard: ShardId(5) };

/// The wall clock: it goes with the paused one.
struct Clock(tokio::time::Instant);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(1_790_000_000_000_000).after(self.0.elapsed())
    }
}

/// The stream, and the journal that it is in: a record a message.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<Timestamp>>);

#[async_trait]
impl Calendar for Log {
    async fn head(&self, _: Class, _: Uuid) -> Result<u64, Error> {
        Ok(self.0.lock().len() as u64)
    }

    async fn times(&self, _: Class, _: Uuid, after: u64, limit: usize) -> Result<Vec<(u64, Timestamp)>, Error> {
        let log = self.0.lock();
        Ok((1..).zip(log.iter().copied()).filter(|(offset, _)| *offset > after).take(limit).collect())
    }

    async fn records(&self, key: JournalKey, from: Slot, _: usize) -> Result<Vec<Record>, Error> {
        let log = self.0.lock();
        let of_key = (1..).zip(log.iter()).filter(|(slot, _)| key == KEY && *slot >= from.0);
        Ok(of_key.map(|(slot, at)| record(slot, *at)).collect())
    }

    fn start(&self, _: JournalKey) -> Slot {
        Slot(0)
    }
}

fn record(slot: u64, at: Timestamp) -> Record {
    let origin = Origin { operation: OperationId(Uuid::nil()), by: By::SYSTEM, trace: None };
    let (meta, change) = (Meta { at, origin }, RoomChange::Closed);
    let event = RoomEvent { room: RoomId(STREAM), offset: slot, messages: slot, meta, change };
    let mut payload = Writer::default();
    payload.push(&RoomItem::Event(Arc::new(event))).unwrap();
    Record { key: KEY, slot: Slot(slot), term: 1, at, previous: Hash::default(), payload: payload.finish() }
}

#[async_trait]
impl Source for Log {
    async fn head(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(self.0.lock().len() as u64)
    }

    async fn floor(&self, _: Uuid) -> Result<u64, Unreadable> {
        Ok(0)
    }

    async fn after(&self, _: &Topic, _: u64, _: usize) -> Result<Vec<Encoded>, Unreadable> {
        // Connections of these tests are there when a message comes.
        Ok(Vec::new())
    }
}

/// Who is told: remembers, and answers when the test says so.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) all: Mutex<Vec<Escalation>>,
    waiting: Mutex<Vec<oneshot::Sender<bool>>>,
}

impl Told {
    /// The ranges that were told.
    pub(crate) fn ranges(&self) -> Vec<(u64, u64)> {
        self.all.lock().iter().map(|escalation| escalation.offsets).collect()
    }
}

impl Escalate for Told {
    fn escalate(&self, escalation: Escalation) -> Option<oneshot::Receiver<bool>> {
        let (done, told) = oneshot::channel();
        self.all.lock().push(escalation);
        self.waiting.lock().push(done);
        Some(told)
    }
}

struct NoLedger;

#[async_trait]
impl DeadLetterStore for NoLedger {
    async fn keep(&self, _: Reported) -> Result<(), Error> {
        Ok(())
    }
}

/// One life of the node.
pub(crate) struct Scene {
    pub(crate) store: Arc<Memory>,
    pub(crate) log: Arc<Log>,
    pub(crate) told: Arc<Told>,
    clock: Arc<dyn WallClock>,
    streams: Arc<Streams>,
    owed: Arc<Owed>,
    args: DeadlinesArgs,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Clock(tokio::time::Instant::now()));
        Self::over(Arc::default(), Arc::default(), Arc::default(), clock).await
    }

    async fn over(store: Arc<Memory>, log: Arc<Log>, told: Arc<Told>, clock: Arc<dyn WallClock>) -> Self {
        let post = DeadLetterBox::default();
        let owed = Owed::new(Arc::clone(&store) as _, Arc::clone(&clock), ShardCount::new(64).unwrap());
        let config = DeliveryConfig::default();
        let streams = Streams::with("e".to_owned(), config, post.clone(), Some(Arc::clone(&owed)), 7);
        let letters = DeadLettersArgs {
            store: Arc::new(NoLedger),
            deliveries: Arc::clone(&store) as _,
            streams: Arc::clone(&streams),
            clock: Arc::clone(&clock),
            post: post.clone(),
        };
        Actor::spawn(None, DeadLetters, letters).await.unwrap();
        let args = DeadlinesArgs {
            owed: Arc::clone(&owed),
            deliveries: Arc::clone(&store) as _,
            streams: Arc::clone(&streams),
            calendar: Arc::clone(&log) as _,
            dead_letters: post,
            escalate: Arc::clone(&told) as _,
            clock: Arc::clone(&clock),
            handle: DeadlinesHandle::default(),
        };
        Actor::spawn(None, Deadlines, args.clone()).await.unwrap();
        let scene = Self { store, log, told, clock, streams, owed, args };
        scene.pass(Duration::from_secs(1)).await;
        scene
    }

    /// The node ends without a word, and another begins over what is durable.
    pub(crate) async fn crash(self) -> Self {
        let Self { store, log, told, clock, args, .. } = self;
        args.handle.fail();
        Self::over(store, log, told, clock).await
    }

    /// The actor alone fails, and another takes its place.
    pub(crate) async fn fail(&self) {
        self.args.handle.fail();
        self.pass(Duration::from_secs(1)).await;
        Actor::spawn(None, Deadlines, self.args.clone()).await.unwrap();
    }

    /// Time passes.
    pub(crate) async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// The device subscribed when the stream was here, and is not connected.
    pub(crate) async fn subscribed(&self, device: DeviceId, offset: u64) {
        let at = self.clock.now();
        self.store.device(USER, "", device, at).await.unwrap();
        let cursor = Cursor { epoch: "e".to_owned(), offset, at };
        let write = CursorWrite { user: USER, device, stream: STREAM, cursor };
        self.store.put_cursors(vec![write]).await.unwrap();
        self.streams.subscribe(&self.topic()).await.unwrap();
    }

    fn topic(&self) -> Arc<Topic> {
        let (class, source) = (Class::Notice, Arc::clone(&self.log) as _);
        Arc::new(Topic { stream: STREAM, name: StreamName::User, class, owner: Some(USER), source })
    }

    /// A message becomes durable, and is published.
    pub(crate) async fn message(&self) -> u64 {
        let offset = self.message_unpublished();
        let at = self.log.0.lock()[usize::try_from(offset).unwrap() - 1];
        self.owed.note(KEY, Slot(offset), std::iter::once((STREAM, offset, at)));
        self.streams.publish(STREAM, offset, frame::text("{}")).await;
        offset
    }

    /// A message becomes durable, and the node ends before it is published.
    pub(crate) fn message_unpublished(&self) -> u64 {
        let mut log = self.log.0.lock();
        log.push(self.clock.now());
        log.len() as u64
    }

    /// A device connects at the stream's head, where it subscribed or was.
    pub(crate) async fn connect(&self, device: Option<DeviceId>) -> Arc<Follow> {
        let (follower, outbox) = (Follower { user: USER, device }, Arc::new(Outbox::new(256 << 10)));
        let follow = self.streams.follow(self.topic(), follower, outbox).unwrap();
        let head = Source::head(&*self.log, STREAM).await.unwrap();
        self.streams.begin(&follow, head, head);
        follow
    }

    /// It goes away without a word.
    pub(crate) fn cut(&self, follow: &Arc<Follow>) {
        self.streams.unfollow(follow);
    }

    pub(crate) fn ack(&self, follow: &Arc<Follow>, upto: u64, also: &[u64]) {
        self.streams.ack(follow, Ack { upto, also, stage: Stage::Applied });
    }

    pub(crate) fn refuse(&self, follow: &Arc<Follow>, offset: u64) {
        self.streams.nack(follow, offset, None, true, "no");
    }

    /// The open letter for the person: its range.
    pub(crate) fn dead(&self) -> Option<(u64, u64)> {
        let open =
            |reason| self.store.letters().into_iter().filter(move |letter| letter.is_open() && letter.reason == reason);
        let letters: Vec<_> = open(Reason::Deadline).collect();
        assert!(letters.len() <= 1, "one open letter a person and stream: {letters:?}");
        letters.first().and_then(|letter| letter.offsets)
    }

    /// The escalation under way is done with.
    pub(crate) async fn done(&self, told: bool) {
        let waiting: Vec<_> = self.told.waiting.lock().drain(..).collect();
        for done in waiting {
            // A node that has crashed does not wait any more.
            done.send(told).ok();
        }
        self.pass(Duration::from_secs(1)).await;
    }

    pub(crate) async fn timeline(&self, offset: u64) -> Timeline {
        self.owed.timeline(USER, STREAM, offset).await.unwrap()
    }
}
