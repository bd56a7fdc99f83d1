//! Revocations that all nodes hear: a stream of the newest [`KEPT_MAX`], and a channel on which each is a hint to read
//! it.
//!
//! What is published while nobody is subscribed is lost; the stream is not. So a node reads the stream from the last
//! entry that it has seen: after each hint, after each reconnect, and now and then ([`follower`]). If that entry is not
//! there any more, Redis has forgotten more than the node has heard, and the node hears [`Heard::Missed`].
//!
//! **When Redis is away** what this node tells waits here, at most [`WAITING_MAX`], and is told when Redis is back.

mod follower;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use metrics::counter;
use parking_lot::Mutex;
use redis::Script;
use storage::Error;
use storage::revocations::{Heard, Revocation, Revocations};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::Redis;
use crate::metrics as names;
use follower::Follower;

/// How many the stream keeps, about: some 100 bytes each. A node that was away for longer has missed some.
const KEPT_MAX: u32 = 10_000;

/// How many wait for Redis; beyond it the oldest are let go, and what other nodes remember of them ends with its time.
const WAITING_MAX: usize = 4_096;

/// How many heard ones wait for their node; beyond it the stream is not read on.
const HEARD_MAX: usize = 256;

/// Adds to the stream and hints on the channel.
const TELL: &str = "
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'r', ARGV[2])
redis.call('PUBLISH', ARGV[3], id)
return id
";

/// Revocations on Redis.
pub struct RedisRevocations {
    shared: Arc<Shared>,
    heard: tokio::sync::Mutex<mpsc::Receiver<Heard>>,
    follower: JoinHandle<()>,
}

/// What telling and following share.
struct Shared {
    redis: Arc<Redis>,
    /// This node, so that it does not hear itself.
    me: u64,
    tell: Script,
    /// What could not be told, the oldest first.
    waiting: Mutex<VecDeque<Vec<u8>>>,
}

impl RedisRevocations {
    /// Joins the nodes over a server: what is told from now on is heard.
    pub async fn join(redis: Arc<Redis>) -> Self {
        let shared = Arc::new(Shared { redis, me: rand::random(), tell: Script::new(TELL), waiting: Mutex::default() });
        let (hear, heard) = mpsc::channel(HEARD_MAX);
        let follower = Follower::new(Arc::clone(&shared), hear).await;
        Self { shared, heard: tokio::sync::Mutex::new(heard), follower: tokio::spawn(follower.run()) }
    }
}

impl Drop for RedisRevocations {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

#[async_trait]
impl Revocations for RedisRevocations {
    async fn tell(&self, revocation: Revocation) -> Result<(), Error> {
        let entry = postcard::to_stdvec(&(self.shared.me, revocation))
            .map_err(|error| Error::Unknown(format!("a revocation cannot be told: {error}")))?;
        let told = self.shared.add(&entry).await;
        if told.is_err() {
            self.shared.wait(entry);
        }
        told.map(drop)
    }

    async fn heard(&self) -> Heard {
        match self.heard.lock().await.recv().await {
            Some(heard) => heard,
            // The follower ends with this.
            None => std::future::pending().await,
        }
    }
}

impl Shared {
    fn stream(&self) -> String {
        self.redis.key("revocations", "stream")
    }

    fn channel(&self) -> String {
        self.redis.key("revocations", "hints")
    }

    /// Adds an entry, and answers its id.
    async fn add(&self, entry: &[u8]) -> Result<String, Error> {
        let mut script = self.tell.key(self.stream());
        script.arg(KEPT_MAX).arg(entry).arg(self.channel());
        self.redis.run("revoke", &script).await
    }

    fn wait(&self, entry: Vec<u8>) {
        let mut waiting = self.waiting.lock();
        waiting.push_back(entry);
        if waiting.len() > WAITING_MAX {
            waiting.pop_front();
            counter!(names::REVOCATIONS_DROPPED).increment(1);
        }
    }
}
