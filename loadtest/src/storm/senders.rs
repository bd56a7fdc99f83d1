//! Money that moves while a storm passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::course::Course;
use crate::http::{Client, Target};
use crate::length::float;
use crate::meter::Meter;
use crate::transfers::{Sent, transfer};
use crate::who::{Bearer, Bearers};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before a server that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// Payees are spread by this many people, so that a share of all hear of money, not only a few.
const STRIDE: usize = 97;

/// People who send money until they are stopped.
pub(super) struct Senders {
    tasks: JoinSet<()>,
    stopping: Arc<AtomicBool>,
    meter: Arc<Meter>,
}

impl Senders {
    /// Starts so many, who send at a rate together.
    pub(super) fn start(
        target: &Target,
        run: &str,
        bearers: &Bearers,
        sessions: usize,
        count: usize,
        rate: u32,
    ) -> Self {
        // Those who are connected, so that each transfer is heard of.
        let people: Arc<[Bearer]> = bearers.all.iter().take(sessions).cloned().collect();
        let mut senders = Self { tasks: JoinSet::new(), stopping: Arc::default(), meter: Arc::default() };
        let count = count.min(people.len());
        for number in 0..if people.len() < 2 { 0 } else { count } {
            let sender = Sender {
                target: target.clone(),
                run: run.to_owned(),
                people: Arc::clone(&people),
                number,
                every: Duration::from_secs(1).mul_f64(float(count as u64) / f64::from(rate)),
                stopping: Arc::clone(&senders.stopping),
                meter: Arc::clone(&senders.meter),
            };
            senders.tasks.spawn(sender.send());
        }
        senders
    }

    /// Stops them once what they have under way is known.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Each notices after its answer or its patience; the settling that follows waits for the rest.
        sleep(AGAIN * 2).await;
    }

    /// Waits for all; answers how many transfers were made.
    pub(super) async fn finish(mut self, course: &mut Course) -> anyhow::Result<u64> {
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let delta = self.meter.take();
        let sent = delta.count("sent");
        course.add(&delta)?;
        Ok(sent)
    }
}

struct Sender {
    target: Target,
    run: String,
    people: Arc<[Bearer]>,
    number: usize,
    every: Duration,
    stopping: Arc<AtomicBool>,
    meter: Arc<Meter>,
}

impl Sender {
    /// Pays one after the other, each under one key until its outcome is known.
    async fn send(self) {
        let mut client = Client::new(self.target.clone(), PATIENCE);
        let mut ticks = interval(self.every.max(Duration::from_micros(1)));
        let mut round = 0_usize;
        while !self.stopping.load(Ordering::Relaxed) {
            ticks.tick().await;
            round += 1;
            let payee = (self.number + 1 + (round * STRIDE) % (self.people.len() - 1)) % self.people.len();
            let (Some(payer), Some(payee)) = (self.people.get(self.number), self.people.get(payee)) else { return };
            let key = format!("{}-storm-{}-{round}", self.run, self.number);
            loop {
                match transfer(&mut client, payer, payee.id, &key, false).await {
                    Sent::Done { .. } => {
                        self.meter.count("sent");
                        break;
                    }
                    Sent::Refused(code) if code != "busy" && code != "draining" => {
                        self.meter.count(format!("refused {code}"));
                        break;
                    }
                    Sent::Refused(_) | Sent::Unanswered if self.stopping.load(Ordering::Relaxed) => return,
                    Sent::Refused(_) | Sent::Unanswered => sleep(AGAIN).await,
                }
            }
        }
    }
}
