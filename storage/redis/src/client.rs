//! The client: one connection that all requests share, a deadline for each, and the breaker before them.

use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use parking_lot::Mutex;
use redis::aio::PubSub;
use redis::{Cmd, FromRedisValue, RedisResult, ScriptInvocation};
use storage::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, error::Elapsed, timeout};

use crate::breaker::{Breaker, State};
use crate::config::RedisConfig;
use crate::endpoint::{Endpoint, Link};
use crate::error::{Reason, failed};
use crate::{keeper, metrics as names};

/// Redis, as the adapters ask it. One a node.
pub struct Redis {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

/// What requests and the keeper of the connection share.
pub(crate) struct Shared {
    pub(crate) config: RedisConfig,
    pub(crate) endpoint: Endpoint,
    breaker: Mutex<Breaker>,
    /// There while the breaker is closed.
    link: Mutex<Option<Link>>,
    state: watch::Sender<State>,
    /// The breaker has opened.
    pub(crate) opened: Notify,
}

impl Redis {
    /// Connects in the background, and waits for the first try: a node starts without Redis too, degraded.
    ///
    /// # Errors
    /// [`Error::Misconfigured`]: the configuration cannot be used.
    pub async fn open(config: &RedisConfig) -> Result<Arc<Self>, Error> {
        let shared = Arc::new(Shared {
            config: config.clone(),
            endpoint: Endpoint::new(config)?,
            breaker: Mutex::default(),
            link: Mutex::default(),
            state: watch::Sender::new(State::HalfOpen),
            opened: Notify::new(),
        });
        let mut tried = shared.state.subscribe();
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&shared)));
        // The sender lives in `shared`.
        tried.wait_for(|state| *state != State::HalfOpen).await.ok();
        Ok(Arc::new(Self { shared, keeper }))
    }

    /// Where the breaker is.
    pub fn state(&self) -> State {
        *self.shared.state.borrow()
    }

    /// Where the breaker is, from now on.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// The configuration.
    pub fn config(&self) -> &RedisConfig {
        &self.shared.config
    }

    /// A key of ours.
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.shared.config.prefix)
    }

    /// Asks a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, call: &'static str, command: &Cmd) -> Result<T, Error> {
        self.shared.ask(call, command).await
    }

    /// Runs a script, which the server keeps after the first time.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        call: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let mut link = self.shared.link(call)?;
        let began = Instant::now();
        let answer = timeout(self.shared.config.request_timeout(), script.invoke_async(&mut link)).await;
        self.shared.judge(call, began, answer)
    }

    /// A connection that hears what is published on a channel.
    pub(crate) async fn listen(&self, channel: &str) -> Result<PubSub, Error> {
        let subscribing = async {
            let mut connection = self.shared.endpoint.listen().await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        match timeout(self.shared.config.connect_timeout(), subscribing).await {
            Ok(subscribed) => subscribed.map_err(|error: redis::RedisError| failed("subscribing", &error)),
            Err(late) => Err(failed("subscribing", &late)),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    /// The connection, while there is one.
    fn link(&self, call: &'static str) -> Result<Link, Error> {
        let link = self.link.lock().clone();
        link.ok_or_else(|| {
            counter!(names::SPARED).increment(1);
            failed(call, &"it is away")
        })
    }

    /// Asks a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, call: &'static str, command: &Cmd) -> Result<T, Error> {
        let mut link = self.link(call)?;
        let began = Instant::now();
        let answer = timeout(self.config.request_timeout(), command.query_async(&mut link)).await;
        self.judge(call, began, answer)
    }

    fn judge<T>(
        &self,
        call: &'static str,
        began: Instant,
        answer: Result<RedisResult<T>, Elapsed>,
    ) -> Result<T, Error> {
        histogram!(names::REQUEST_SECONDS, names::CALL => call).record(began.elapsed());
        let (reason, error) = match answer {
            Ok(Ok(answer)) => {
                self.breaker.lock().answered();
                return Ok(answer);
            }
            Ok(Err(error)) => (Reason::of(&error), failed(call, &error)),
            Err(late) => (Reason::Timeout, failed(call, &late)),
        };
        counter!(names::FAILURES, names::REASON => reason.name()).increment(1);
        if self.breaker.lock().failed(reason == Reason::Broken) {
            tracing::warn!(%error, "Redis is away: what nodes share is kept by each for itself");
            counter!(names::OPENED).increment(1);
            *self.link.lock() = None;
            self.tell();
            self.opened.notify_one();
        }
        Err(error)
    }

    /// A new connection is tried.
    pub(crate) fn half_open(&self) {
        self.breaker.lock().half_open();
        self.tell();
    }

    /// The server has answered on a new connection.
    pub(crate) fn close(&self, link: Link) {
        *self.link.lock() = Some(link);
        self.breaker.lock().close();
        self.tell();
    }

    /// The server has not answered: how long until the next try.
    pub(crate) fn reopen(&self) -> std::time::Duration {
        let pause = self.breaker.lock().reopen();
        self.tell();
        pause
    }

    fn tell(&self) {
        let state = self.breaker.lock().state();
        gauge!(names::BREAKER).set(f64::from(state.number()));
        self.state.send_replace(state);
    }
}
