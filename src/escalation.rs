//! Telling somebody else that a person does not take their messages: a webhook, a mail.
//!
//! Owns the way out. Each escalation has a task of its own, at most [`UNDER_WAY_MAX`] of them, which ends when every
//! sink has taken it or has given it up; what a sink gave up has a dead letter of its own. What there is no room for,
//! or what a crash cut short, is handed over again by who looks after deadlines. What is told are ids, never a text of
//! a person's.

pub mod address;
mod client;
pub mod config;
mod mail;
pub mod metrics;
mod signature;
mod webhook;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::clock::WallClock;
use actors::deadlines::{Escalate, Escalation};
use async_trait::async_trait;
use storage::deliveries::{DeadLetter, DeadLetterId, Deliveries, Reason};
use storage::identity::Identity;
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use crate::command::failure::Failure;
use crate::config::Profile;
use crate::escalation::config::{EscalationConfig, RetryConfig};
use crate::escalation::mail::Mail;
use crate::escalation::webhook::Webhook;

/// The most escalations under way: each is a small task that mostly waits.
const UNDER_WAY_MAX: usize = 1_024;

/// The most attempts at a time: a sink that hangs holds no more sockets than this.
const ATTEMPTS_AT_A_TIME: usize = 8;

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// Why an attempt failed: a short code, and whether another may do better.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotTaken {
    why: String,
    for_good: bool,
}

impl NotTaken {
    fn for_now(why: impl Into<String>) -> Self {
        Self { why: why.into(), for_good: false }
    }

    fn for_good(why: impl Into<String>) -> Self {
        Self { why: why.into(), for_good: true }
    }
}

/// Where escalations go.
#[async_trait]
trait Sink: Send + Sync + 'static {
    /// Its name in labels and dead letters.
    fn name(&self) -> &'static str;

    /// How often is tried, and the pauses.
    fn retries(&self) -> RetryConfig;

    /// Tells of it once.
    async fn tell(&self, escalation: &Escalation) -> Result<(), NotTaken>;
}

/// Tells of escalations.
pub struct Escalator {
    shared: Arc<Shared>,
    under_way: Arc<Semaphore>,
}

struct Shared {
    sinks: Vec<Box<dyn Sink>>,
    attempts: Semaphore,
    deliveries: Arc<dyn Deliveries>,
    clock: Arc<dyn WallClock>,
}

impl Escalator {
    /// Tells as the configuration says; mail of the development profile is kept under `data`.
    ///
    /// # Errors
    /// A sink cannot be made of what is configured.
    pub fn new(
        config: &EscalationConfig,
        profile: Profile,
        data: &Path,
        identity: Arc<dyn Identity>,
        deliveries: Arc<dyn Deliveries>,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self, Failure> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(webhook) = Webhook::new(&config.webhook, Arc::clone(&clock))? {
            sinks.push(Box::new(webhook));
        }
        if let Some(mail) = Mail::new(&config.mail, profile, data, identity)? {
            sinks.push(Box::new(mail));
        }
        let attempts = Semaphore::new(ATTEMPTS_AT_A_TIME);
        let shared = Arc::new(Shared { sinks, attempts, deliveries, clock });
        Ok(Self { shared, under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)) })
    }
}

impl Escalate for Escalator {
    fn escalate(&self, escalation: Escalation) -> Option<oneshot::Receiver<bool>> {
        let place = Arc::clone(&self.under_way).try_acquire_owned().ok()?;
        let (done, told) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let sinks = shared.sinks.iter().map(|sink| shared.told_by(&**sink, &escalation));
            let told = futures_util::future::join_all(sinks).await;
            // Who asked may have ended; it finds that it must ask again.
            done.send(told.contains(&true)).ok();
            drop(place);
        });
        Some(told)
    }
}

impl Shared {
    /// Has a sink told, again and again. Answers whether it was.
    async fn told_by(&self, sink: &dyn Sink, escalation: &Escalation) -> bool {
        let retries = sink.retries();
        let mut attempt = 1;
        loop {
            let outcome = match self.attempts.acquire().await {
                Ok(_place) => sink.tell(escalation).await,
                Err(_) => return false,
            };
            let Err(error) = outcome else {
                metrics::counted(sink.name(), "told");
                tracing::info!(sink = sink.name(), id = %escalation.id, attempt, "an escalation is told");
                return true;
            };
            if error.for_good || attempt >= retries.attempts {
                metrics::counted(sink.name(), "dead");
                tracing::warn!(sink = sink.name(), id = %escalation.id, attempt, %error, "an escalation is given up");
                self.bury(sink, escalation, attempt, &error).await;
                return false;
            }
            metrics::counted(sink.name(), "retried");
            tokio::time::sleep(pause(retries.backoff_ms, attempt, rand::random())).await;
            attempt += 1;
        }
    }

    /// Writes down that a sink did not take an escalation.
    async fn bury(&self, sink: &dyn Sink, escalation: &Escalation, attempts: u32, error: &NotTaken) {
        let at = self.clock.now();
        let Escalation { id, user, stream, class, offsets: (from, to), .. } = escalation;
        let class = class.as_str();
        let letter = DeadLetter {
            id: letter_id(*id, sink.name(), at.millis()),
            reason: Reason::Escalation,
            class: None,
            // It is no letter of the stream's: what is applied there does not resolve it.
            stream: None,
            user: Some(*user),
            device: None,
            offsets: None,
            transfer: None,
            attempts,
            last_error: error.to_string(),
            detail: format!("sink={} escalation={id} class={class} stream={stream} from={from} to={to}", sink.name()),
            first_at: escalation.at,
            last_at: at,
            redrive: false,
            resolved_at: None,
        };
        if let Err(error) = self.deliveries.put_dead_letter(letter).await {
            tracing::error!(%error, "the dead letter of an escalation cannot be written");
        }
    }
}

/// A UUIDv7 of the time, whose other bits are a hash of what was not told.
fn letter_id(escalation: Uuid, sink: &str, millis: u64) -> DeadLetterId {
    let bytes = Uuid::new_v5(&escalation, sink.as_bytes()).into_bytes();
    let mut rest = [0; 10];
    rest.copy_from_slice(bytes.split_at(10).0);
    DeadLetterId(uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid())
}

/// The pause after an attempt, from 1: doubled each time, between half and one and a half of it.
fn pause(backoff_ms: u64, attempt: u32, jitter: u32) -> Duration {
    let doubled = backoff_ms.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    let share = u64::from(jitter % 1_001) + 500;
    Duration::from_millis(doubled.saturating_mul(share) / 1_000).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_bounds() {
        let ms = |attempt, jitter| pause(1_000, attempt, jitter).as_millis();
        assert_eq!([1, 2, 3].map(|attempt| ms(attempt, 500)), [1_000, 2_000, 4_000]);
        assert_eq!((ms(1, 0), ms(1, 1_000)), (500, 1_500));
        assert_eq!(pause(1_000, u32::MAX, 0), PAUSE_MAX);
    }
}
