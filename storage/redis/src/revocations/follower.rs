//! The follower: reads the stream of revocations from the last entry seen, whenever there may be more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use metrics::counter;
use storage::Error;
use storage::revocations::{Heard, Revocation};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::breaker::State;
use crate::error::failed;
use crate::metrics as names;
use crate::revocations::Shared;

/// How often the stream is read without a hint: one that is lost holds nothing up for longer.
const LOOK: Duration = Duration::from_secs(1);

/// How long until it is tried again after something failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Entries read at once.
const READ_MAX: u32 = 500;

/// Before the first entry of a stream.
const BEGINNING: &str = "0-0";

/// An entry that says nothing.
const MARK: &[u8] = b"";

/// An entry: its id, and the names and values of its fields in turn.
type Entry = (String, Vec<Vec<u8>>);

pub(super) struct Follower {
    shared: Arc<Shared>,
    hear: mpsc::Sender<Heard>,
    /// The id of the last entry seen; nothing while Redis has not answered yet.
    last: Option<String>,
}

impl Follower {
    /// Begins with a mark of its own in the stream: without it, a stream that is empty now and one that was emptied
    /// later look the same.
    pub(super) async fn new(shared: Arc<Shared>, hear: mpsc::Sender<Heard>) -> Self {
        let last = shared.add(MARK).await.ok();
        Self { shared, hear, last }
    }

    pub(super) async fn run(mut self) {
        let mut state = self.shared.redis.watch();
        loop {
            // The sender lives as long as the client, which `shared` holds.
            state.wait_for(|state| *state == State::Closed).await.ok();
            let away = {
                let mut state = state.clone();
                async move { state.wait_for(|state| *state != State::Closed).await.map(drop) }
            };
            tokio::select! {
                // The subscription may be silent for ever then.
                _ = away => {}
                followed = self.follow() => {
                    if let Err(error) = followed {
                        tracing::debug!(%error, "revocations of other nodes are not heard now");
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Hears until something fails. Cancel safe: what was heard is not read again.
    async fn follow(&mut self) -> Result<(), Error> {
        let hints = self.shared.redis.listen(&self.shared.channel()).await?;
        let mut hints = hints.into_on_message();
        loop {
            // First: between the last reading and the subscription, hints were lost.
            self.catch_up().await?;
            self.tell_waiting().await?;
            tokio::select! {
                hint = hints.next() => {
                    hint.ok_or_else(|| failed("following", &"the subscription has ended"))?;
                }
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Hears what is in the stream after the last entry seen.
    async fn catch_up(&mut self) -> Result<(), Error> {
        loop {
            let Some(last) = self.last.clone() else {
                // This node remembers things already, and does not know which it should not.
                self.last = Some(self.shared.add(MARK).await?);
                self.missed().await;
                continue;
            };
            let mut read = redis::cmd("XRANGE");
            read.arg(self.shared.stream()).arg(&last).arg("+").arg("COUNT").arg(READ_MAX);
            let entries: Vec<Entry> = self.shared.redis.ask("revocations", &read).await?;
            let seen = entries.iter().take_while(|(id, _)| *id == last).count();
            if seen == 0 && last != BEGINNING {
                // Trimmed away, or Redis has begun anew: all that is there is heard.
                self.missed().await;
                self.last = Some(BEGINNING.to_owned());
                continue;
            }
            if entries.len() == seen {
                if last != BEGINNING {
                    return Ok(());
                }
                self.shared.add(MARK).await?;
                continue;
            }
            for (id, fields) in entries.into_iter().skip(seen) {
                self.entry(&fields).await;
                self.last = Some(id);
            }
        }
    }

    async fn entry(&mut self, fields: &[Vec<u8>]) {
        let said = fields.get(1).filter(|entry| *entry != MARK);
        match said.map(|entry| postcard::from_bytes::<(u64, Revocation)>(entry)) {
            None => {}
            Some(Ok((by, _))) if by == self.shared.me => {}
            Some(Ok((_, revocation))) => self.say(Heard::Revoked(revocation)).await,
            // Of a newer build.
            Some(Err(_)) => self.missed().await,
        }
    }

    async fn missed(&self) {
        counter!(names::REVOCATIONS_MISSED).increment(1);
        self.say(Heard::Missed).await;
    }

    async fn say(&self, heard: Heard) {
        // Nobody hears any more: this ends too.
        self.hear.send(heard).await.ok();
    }

    /// Cancel safe: what is not told yet goes on waiting.
    async fn tell_waiting(&self) -> Result<(), Error> {
        loop {
            let next = self.shared.waiting.lock().front().cloned();
            let Some(entry) = next else { return Ok(()) };
            self.shared.add(&entry).await?;
            let mut waiting = self.shared.waiting.lock();
            // Others may have been let go meanwhile, and this one with them.
            if waiting.front() == Some(&entry) {
                waiting.pop_front();
            }
        }
    }
}
