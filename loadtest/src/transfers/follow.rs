//! Payees who listen: how long it takes until they hear of their money.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use protocol::event::{EventName, TransactionNew};
use protocol::frame::{ServerFrame, StreamName, Subscription};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::send::Due;
use crate::http::Target;
use crate::meter::Meter;
use crate::socket::{Socket, hello};
use crate::who::Bearer;

/// The most messages whose time is kept.
const HEARD_MAX: usize = 4_000_000;
/// How many messages are acknowledged at once; a fraction of every server's window.
const ACK_EVERY: u64 = 8;
/// How long the subscription may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// When each transfer was heard of.
type Times = Arc<Mutex<HashMap<Uuid, Instant>>>;

/// Listening payees: the first of the people.
pub(crate) struct Followers {
    tasks: JoinSet<String>,
    count: usize,
    times: Times,
}

impl Followers {
    /// Connects the first `count` people and subscribes them to their accounts.
    pub(crate) async fn start(target: &Target, people: &[Bearer], count: usize) -> anyhow::Result<Self> {
        ensure!(count <= people.len(), "{count} followers of {} people", people.len());
        let mut followers = Self { tasks: JoinSet::new(), count, times: Times::default() };
        for payee in people.iter().take(count) {
            let subscription = Subscription { stream: StreamName::Account, after: None, last: None };
            let mut socket = Socket::open(target, hello(&payee.token, None, vec![subscription])).await?;
            match timeout(PATIENCE, socket.next()).await.context("not subscribed in time")? {
                Ok(ServerFrame::Subscribed(_)) => {}
                other => bail!("not subscribed: {other:?}"),
            }
            followers.tasks.spawn(listen(socket, Arc::clone(&followers.times)));
        }
        Ok(followers)
    }

    /// How many listen.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Ends, and compares when each transfer was due with when it was heard of. Answers why connections
    /// ended before their time.
    pub(crate) fn finish(mut self, sent: Option<&Due>, meter: &Meter) -> anyhow::Result<Vec<String>> {
        let mut ended = Vec::new();
        while let Some(one) = self.tasks.try_join_next() {
            ended.push(one?);
        }
        self.tasks.abort_all();
        let times = self.times.lock();
        for (id, due) in sent.map(|sent| std::mem::take(&mut *sent.lock())).unwrap_or_default() {
            match times.get(&id) {
                Some(at) => meter.time("message", at.saturating_duration_since(due)),
                None => meter.count("missing"),
            }
        }
        Ok(ended)
    }
}

/// Hears until the connection ends; answers why it did.
async fn listen(mut socket: Socket, times: Times) -> String {
    let mut since_ack = 0;
    loop {
        match socket.next().await {
            Ok(ServerFrame::Message(message)) => {
                let at = Instant::now();
                if message.event == EventName::TransactionNew
                    && let Ok(new) = message.data.read::<TransactionNew>()
                {
                    let mut times = times.lock();
                    if times.len() < HEARD_MAX {
                        times.entry(new.transaction.id.0).or_insert(at);
                    }
                }
                since_ack += 1;
                if since_ack >= ACK_EVERY {
                    since_ack = 0;
                    if let Err(error) = socket.ack(StreamName::Account, message.offset).await {
                        return error.to_string();
                    }
                }
            }
            Ok(_) => {}
            Err(ended) => return ended.to_string(),
        }
    }
}
