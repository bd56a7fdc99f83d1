//! The sessions of one worker: connected, held, cut, brought back, and asked what they heard.
//!
//! What each session must hear is known without the server's help: a stream's offsets are dense, so
//! whatever is skipped is missed. Everything runs on one thread; nothing here is shared with another.

mod entry;
mod member;
mod publish;
mod settle;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_local;
use tokio::time::{sleep, sleep_until, timeout};

use self::entry::Visit;
use self::member::Member;
use crate::fleet::{Job, Step};
use crate::length::float;
use crate::meter::{Delta, Meter};
use crate::timing::Timing;

/// How long the first connection of a session may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How often what is left of talk is acknowledged.
const ACK_EVERY: Duration = Duration::from_secs(1);
/// In how many parts.
const ACK_PARTS: u32 = 10;

/// The times from due to heard.
pub(crate) const DELIVERY: &str = "delivery";
/// Those since some sessions read nothing.
pub(crate) const DELIVERY_STALLED: &str = "delivery while some read nothing";

/// The sessions of one worker.
pub(crate) struct Crowd {
    job: Job,
    server: Cell<SocketAddr>,
    members: Vec<Rc<Member>>,
    meter: Meter,
    /// Handshakes under way.
    gate: Semaphore,
    /// Whether connections may end now without being missed.
    bracing: Cell<bool>,
    /// How many of the visits that began have ended, one way or the other.
    through: Cell<usize>,
    /// When the last one came in.
    last_in: Cell<Instant>,
    changed: Notify,
    /// What comes too often to be counted one by one.
    heard: Heard,
    heads: RefCell<BTreeMap<String, u64>>,
    /// How many messages were published: each has a key of its own.
    published: Cell<u64>,
}

/// Messages, counted apart from all else.
struct Heard {
    messages: Cell<u64>,
    repeated: Cell<u64>,
    delivery: RefCell<Option<Timing>>,
    /// Under which name.
    timed_as: Cell<&'static str>,
}

impl Crowd {
    /// Sessions that are not connected yet.
    pub(crate) fn of(job: Job) -> Self {
        let members = (0..job.bearers.len()).map(|index| Rc::new(Member::of(index, job.first + index)));
        let delivery = RefCell::new(Timing::new().ok());
        Self {
            server: Cell::new(job.server),
            members: members.collect(),
            meter: Meter::default(),
            gate: Semaphore::new(job.in_flight.max(1)),
            bracing: Cell::new(false),
            through: Cell::new(0),
            last_in: Cell::new(Instant::now()),
            changed: Notify::new(),
            heard: Heard { messages: Cell::new(0), repeated: Cell::new(0), delivery, timed_as: Cell::new(DELIVERY) },
            heads: RefCell::default(),
            published: Cell::default(),
            job,
        }
    }

    /// Takes away what happened since the last time.
    pub(crate) fn take(&self) -> Delta {
        for (name, count) in [("messages", &self.heard.messages), ("repeated", &self.heard.repeated)] {
            if count.get() > 0 {
                self.meter.count_many(name, count.take());
            }
        }
        self.absorb_delivery();
        self.meter.take()
    }

    /// The newest offsets that were told by answers to what was published.
    pub(crate) fn heads(&self) -> BTreeMap<String, u64> {
        self.heads.borrow().clone()
    }

    /// Takes a step, and meanwhile acknowledges each second what was not.
    pub(crate) async fn step(self: &Rc<Self>, step: Step) {
        tokio::select! {
            () = self.take_step(step) => {}
            () = self.acknowledge_each_second() => {}
        }
    }

    /// Does not end. A tenth of the sessions at a time, as clients that came one after another would.
    async fn acknowledge_each_second(&self) {
        for part in (0..ACK_PARTS).cycle() {
            sleep(ACK_EVERY / ACK_PARTS).await;
            for member in self.members.iter().skip(part as usize).step_by(ACK_PARTS as usize) {
                if let Some(line) = member.line() {
                    // The task of a connection that has ended hears of it itself.
                    self.acknowledge(member, &line, 1).ok();
                }
            }
        }
    }

    /// Each is bounded in time.
    async fn take_step(self: &Rc<Self>, step: Step) {
        match step {
            Step::Connect { rate } => self.connect(rate).await,
            Step::Hold { millis } => sleep(Duration::from_millis(millis)).await,
            Step::Brace => self.bracing.set(true),
            Step::Resume { server, spread_ms, patience_ms } => {
                self.resume(server, Duration::from_millis(spread_ms), Duration::from_millis(patience_ms)).await;
            }
            Step::Publish { rate, millis, bytes, publishers } => {
                self.publish(rate, Duration::from_millis(millis), bytes, publishers).await;
            }
            Step::Stall { from } => self.stall(from),
            Step::Settle { patience_ms, heads } => self.settle(Duration::from_millis(patience_ms), &heads).await,
            Step::Close => self.close(),
        }
    }

    /// Connects all, each when it is due. How long each takes counts from when it was due, however
    /// long it waited for its turn.
    async fn connect(self: &Rc<Self>, rate: Option<f64>) {
        self.through.set(0);
        let start = Instant::now();
        for (index, member) in self.members.iter().enumerate() {
            let due = if let Some(rate) = rate {
                let due = start + Duration::from_secs(1).mul_f64(float(index as u64) / rate);
                if due > Instant::now() {
                    sleep_until(due.into()).await;
                }
                due
            } else {
                // The place is taken by the visit itself; here only is waited until there is one.
                drop(self.gate.acquire().await);
                Instant::now()
            };
            self.begin(member, due, Visit { first: true, due, patience: CONNECT_PATIENCE });
            if rate.is_none() {
                tokio::task::yield_now().await;
            }
        }
        self.all_through(CONNECT_PATIENCE * 2).await;
        self.meter.time("all in", self.last_in.get().saturating_duration_since(start));
    }

    /// Cuts all, then has all come back.
    async fn resume(self: &Rc<Self>, server: SocketAddr, spread: Duration, patience: Duration) {
        self.server.set(server);
        self.bracing.set(true);
        for member in &self.members {
            member.cut();
        }
        self.bracing.set(false);
        self.through.set(0);
        let start = Instant::now();
        for member in &self.members {
            let at = start + spread.mul_f64(rand::rng().random_range(0.0..1.0));
            self.begin(member, at, Visit { first: false, due: start, patience });
        }
        self.all_through(patience).await;
    }

    /// Begins a visit at its time, as a task of its own.
    fn begin(self: &Rc<Self>, member: &Rc<Member>, at: Instant, visit: Visit) {
        let (crowd, visitor) = (Rc::clone(self), Rc::clone(member));
        let task = spawn_local(async move {
            if at > Instant::now() {
                sleep_until(at.into()).await;
            }
            crowd.visit(&visitor, visit).await;
        });
        member.runs(task.abort_handle());
    }

    /// A visit has come through: it is in, or it is given up.
    fn is_through(&self) {
        self.through.set(self.through.get() + 1);
        if self.through.get() >= self.members.len() {
            self.changed.notify_one();
        }
    }

    async fn all_through(&self, patience: Duration) {
        let all = async {
            while self.through.get() < self.members.len() {
                self.changed.notified().await;
            }
        };
        if timeout(patience, all).await.is_err() {
            let missing = self.members.len() - self.through.get();
            self.meter.fault("overdue", || format!("{missing} sessions of a worker were not through in {patience:?}"));
        }
    }

    /// Has sessions read nothing any more; what is heard from now on is timed under a name of its own.
    fn stall(&self, from: usize) {
        self.members.iter().filter(|member| member.number >= from).for_each(|member| member.stall());
        self.absorb_delivery();
        self.heard.timed_as.set(DELIVERY_STALLED);
    }

    fn absorb_delivery(&self) {
        if let Some(delivery) = self.heard.delivery.borrow_mut().as_mut()
            && let Err(error) = self.meter.absorb(self.heard.timed_as.get(), delivery)
        {
            self.meter.fault("untimed", || error.to_string());
        }
    }

    /// Says goodbye to all.
    fn close(&self) {
        self.bracing.set(true);
        for member in &self.members {
            if let Some(line) = member.line() {
                line.close();
            }
            member.cut();
        }
    }
}

#[cfg(test)]
mod tests;
