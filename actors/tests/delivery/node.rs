//! One life of a node: streams, their sweeper, dead letters and sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::clock::WallClock;
use actors::config::DeliveryConfig;
use actors::dead_letters::{DeadLetterBox, DeadLetterStore, DeadLetters, DeadLettersArgs, Reported};
use actors::outbox::Outbox;
use actors::session::{Answering, Calling, Desk, Rights, Session, SessionArgs, SessionContext, SessionMessage};
use actors::streams::Streams;
use actors::streams::publishing::{StreamEvent, StreamsActor, StreamsArgs, StreamsMessage, StreamsPublisher};
use actors::streams::sweeper::{Sweeper, SweeperMessage};
use async_trait::async_trait;
use domain::ids::{AccountId, DeviceId, SessionId, UserId};
use domain::ledger::Event;
use domain::room::RoomEvent;
use domain::time::Timestamp;
use protocol::code::Code;
use protocol::frame::Subscription;
use protocol::frame::client::{Call, Hello, Publish, Signal};
use protocol::frame::server::ErrorFrame;
use protocol::json::Json;
use ractor::{Actor, ActorRef};
use uuid::Uuid;

use crate::log::{Log, LogEncode, STREAMS};
use crate::store::{Disk, Handle};

/// The person of whom this world is.
pub(crate) const USER: UserId = UserId(Uuid::from_u128(7));

/// A life of a node.
pub(crate) struct Node {
    streams: Arc<Streams>,
    pub(crate) accounts: StreamsArgs<Event>,
    pub(crate) rooms: StreamsArgs<RoomEvent>,
    publishing: (ActorRef<StreamsMessage>, ActorRef<StreamsMessage>),
    context: Arc<SessionContext>,
    sweeper: ActorRef<SweeperMessage>,
    letters: DeadLettersArgs,
    gone: Arc<AtomicBool>,
}

/// A clock that goes with tokio's.
struct Clock(tokio::time::Instant);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(1_790_000_000_000_000).after(self.0.elapsed())
    }
}

/// No ledger, no tokens.
struct Nothing;

#[async_trait]
impl DeadLetterStore for Nothing {
    async fn keep(&self, _: Reported) -> Result<(), storage::Error> {
        Ok(())
    }
}

#[async_trait]
impl Desk for Nothing {
    async fn rights(&self, _: &str) -> Result<Rights, Code> {
        Err(Code::TokenInvalid)
    }

    async fn call(&self, _: Calling, _: Call) -> Result<Json, Box<ErrorFrame>> {
        Json::of(&()).map_err(|_| unreachable!("a unit is JSON"))
    }

    async fn publish(&self, _: Calling, _: Publish) -> Answering {
        Box::pin(std::future::ready(Json::of(&()).map_err(|_| unreachable!("a unit is JSON"))))
    }

    async fn signal(&self, _: Calling, _: Signal) -> Result<(), Code> {
        Err(Code::StreamUnknown)
    }
}

impl Node {
    pub(crate) async fn start(log: &Arc<Log>, disk: &Arc<Disk>, seed: u64) -> Self {
        let gone = Arc::new(AtomicBool::new(false));
        let deliveries = Arc::new(Handle { disk: Arc::clone(disk), gone: Arc::clone(&gone) });
        let (post, clock) = (DeadLetterBox::default(), Arc::new(Clock(tokio::time::Instant::now())));
        let mut config = DeliveryConfig::default();
        (config.money.window, config.notice.window) = (8, 4);
        let streams = Streams::new("e".to_owned(), config, post.clone(), seed);
        let (sweeper, _) = Actor::spawn(None, Sweeper, Arc::clone(&streams)).await.unwrap();
        let letters = DeadLettersArgs {
            store: Arc::new(Nothing),
            deliveries: Arc::clone(&deliveries) as _,
            streams: Arc::clone(&streams),
            clock: Arc::clone(&clock) as _,
            post,
        };
        Actor::spawn(None, DeadLetters, letters.clone()).await.unwrap();
        let context = Arc::new(SessionContext {
            topics: log.topics(),
            streams: Arc::clone(&streams),
            deliveries,
            desk: Arc::new(Nothing),
            clock,
            heartbeat_ms: 25_000,
        });
        let (accounts, rooms) = (args(&streams), args(&streams));
        let publishing = (publish(&accounts).await, publish(&rooms).await);
        Self { streams, accounts, rooms, publishing, context, sweeper, letters, gone }
    }

    /// The actor that publishes one of the streams fails, and with it its mail: what is appended while it is dead.
    pub(crate) async fn fail_streams(&mut self, number: usize, log: &Log, count: u64) {
        match number {
            0 => self.publishing.0.cast(StreamsMessage::Panic).unwrap(),
            _ => self.publishing.1.cast(StreamsMessage::Panic).unwrap(),
        }
        for _ in 0..count {
            log.append(self, number);
        }
        settle().await;
        match number {
            0 => self.publishing.0 = publish(&self.accounts).await,
            _ => self.publishing.1 = publish(&self.rooms).await,
        }
    }

    /// A device connects and follows both streams.
    pub(crate) async fn connect(&self, device: DeviceId) -> (ActorRef<SessionMessage>, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(256 << 10));
        let subscribe = STREAMS.map(|(stream, _)| Subscription { stream, after: None, last: None }).into();
        let rights = Rights { user: USER, account: AccountId(USER.0), login: None, expires_at: Timestamp(u64::MAX) };
        let args = SessionArgs {
            context: Arc::clone(&self.context),
            id: SessionId(Uuid::nil()),
            rights,
            device: Some(device),
            outbox: Arc::clone(&outbox),
            followed: Arc::default(),
            hello: Box::new(Hello { token: "t".into(), device: None, subscribe }),
        };
        (Actor::spawn(None, Session, args).await.unwrap().0, outbox)
    }

    pub(crate) async fn fail_dead_letters(&self) {
        self.letters.post.fail();
        settle().await;
        Actor::spawn(None, DeadLetters, self.letters.clone()).await.unwrap();
    }

    pub(crate) async fn fail_sweeper(&mut self) {
        self.sweeper.cast(SweeperMessage::Panic).unwrap();
        settle().await;
        self.sweeper = Actor::spawn(None, Sweeper, Arc::clone(&self.streams)).await.unwrap().0;
    }

    /// Nothing of this life reaches the disk any more.
    pub(crate) fn crash(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.sweeper.kill();
    }
}

fn args<E: StreamEvent>(streams: &Arc<Streams>) -> StreamsArgs<E> {
    let publisher = StreamsPublisher::new(Arc::clone(streams));
    StreamsArgs { streams: Arc::clone(streams), encode: Arc::new(LogEncode), publisher }
}

async fn publish<E: StreamEvent>(args: &StreamsArgs<E>) -> ActorRef<StreamsMessage> {
    Actor::spawn(None, StreamsActor::default(), args.clone()).await.unwrap().0
}

/// Lets everything happen that waits for no time to pass.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
