//! What was published and is not looked at yet, and what became of messages and is not written yet.
//!
//! Shards say here what they published, connections what was applied: a lock each and no mail, so that a message costs
//! next to nothing. The actor comes by every few seconds; by then nearly every message is applied, and nothing durable
//! is written for it but where it is looked up by who asks. Bounds: streams and steps that wait; what does not fit is
//! found in the journal again, or counted as let go.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::delivery::{Acked, Class, Millis};
use domain::ids::{DeviceId, ShardCount, ShardId, UserId};
use domain::time::Timestamp;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use storage::Error;
use storage::deliveries::Reason;
use storage::journal::{JournalKey, Slot, Space};
use storage::watches::{Passage, Subscriber, TimelineStep, TimelineWrite, Watches};
use uuid::Uuid;

use crate::clock::WallClock;
use crate::metrics;

/// How many stripes: shards of a few cores rarely meet.
const STRIPES: usize = 16;

/// The most streams that wait on a stripe: with 16 of them and 64 bytes each, 16 MiB in all.
const YOUNG_MAX: usize = 16_384;

/// The most steps that wait to be written: 8 MiB.
const STEPS_MAX: usize = 65_536;

/// The most messages that wait to be looked at because a device gave them up.
const HURRIED_MAX: usize = 4_096;

/// Messages of one stream that were published since the actor came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Young {
    /// The first.
    pub(super) first: u64,
    /// When it was made.
    pub(super) at: Timestamp,
    /// The last.
    pub(super) last: u64,
}

impl Young {
    /// Adds others of the same stream.
    pub(super) fn join(&mut self, other: Self) {
        if other.first < self.first {
            (self.first, self.at) = (other.first, other.at);
        }
        self.last = self.last.max(other.last);
    }
}

/// How far one journal's events have come.
#[derive(Default)]
struct Told {
    /// The last slot of which all events were said here.
    noted: AtomicU64,
    /// Some could not be kept: they are read from the journal.
    lost: AtomicBool,
}

/// What one message came to on one connection, as the connection knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// For whom.
    pub(crate) user: UserId,
    /// On which device, if it said its name.
    pub(crate) device: Option<DeviceId>,
    /// Of which stream.
    pub(crate) stream: Uuid,
}

/// See the module.
pub struct Owed {
    stripes: Vec<Mutex<HashMap<Uuid, Young, RandomState>>>,
    told: [Vec<Told>; Space::ALL.len()],
    steps: Mutex<Vec<TimelineWrite>>,
    hurried: Mutex<Vec<(Subscriber, u64)>>,
    watches: Arc<dyn Watches>,
    clock: Arc<dyn WallClock>,
}

impl Owed {
    /// Nothing yet, of a node with so many shards.
    pub fn new(watches: Arc<dyn Watches>, clock: Arc<dyn WallClock>, shards: ShardCount) -> Arc<Self> {
        let told = Space::ALL.map(|_| shards.shards().map(|_| Told::default()).collect());
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Arc::new(Self { stripes, told, steps: Mutex::default(), hurried: Mutex::default(), watches, clock })
    }

    /// The store.
    pub(super) const fn watches(&self) -> &Arc<dyn Watches> {
        &self.watches
    }

    /// Messages of the stream are owed to the person from now on: durable when answered.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn subscribe(&self, user: UserId, stream: Uuid, class: Class) -> Result<(), Error> {
        self.watches.subscribe(Subscriber { user, stream, class }).await
    }

    /// Events became durable, the last of them in `slot`.
    pub fn note(&self, key: JournalKey, slot: Slot, events: impl Iterator<Item = (Uuid, u64, Timestamp)>) {
        let Some(told) = self.of(key) else { return };
        for (stream, offset, at) in events {
            if !self.keep(stream, offset, at) {
                told.lost.store(true, Ordering::Release);
            }
        }
        // After the events: who reads the slot finds them.
        told.noted.fetch_max(slot.0, Ordering::AcqRel);
    }

    fn keep(&self, stream: Uuid, offset: u64, at: Timestamp) -> bool {
        let mut stripe = self.stripe(stream).lock();
        let new = Young { first: offset, at, last: offset };
        if let Some(young) = stripe.get_mut(&stream) {
            young.join(new);
            return true;
        }
        let fits = stripe.len() < YOUNG_MAX;
        if fits {
            stripe.insert(stream, new);
        }
        fits
    }

    fn of(&self, key: JournalKey) -> Option<&Told> {
        let [ledger, rooms] = &self.told;
        let told = match key.space {
            Space::Ledger => ledger,
            Space::Rooms => rooms,
        };
        told.get(usize::from(key.shard.0))
    }

    /// All journals.
    pub(super) fn journals(&self) -> impl Iterator<Item = JournalKey> + '_ {
        let shards = self.told[0].len();
        let keys = move |space| (0..shards).filter_map(move |shard| Some((space, u16::try_from(shard).ok()?)));
        Space::ALL.into_iter().flat_map(keys).map(|(space, shard)| JournalKey { space, shard: ShardId(shard) })
    }

    /// The last slot of a journal of which all events were said here.
    pub(super) fn noted(&self, key: JournalKey) -> Slot {
        Slot(self.of(key).map_or(0, |told| told.noted.load(Ordering::Acquire)))
    }

    /// Whether events of a journal were lost here since this was asked.
    pub(super) fn take_lost(&self, key: JournalKey) -> bool {
        self.of(key).is_some_and(|told| told.lost.swap(false, Ordering::AcqRel))
    }

    /// What was published since this was asked, a stream each.
    pub(super) fn take_young(&self) -> HashMap<Uuid, Young> {
        self.stripes.iter().flat_map(|stripe| std::mem::take(&mut *stripe.lock())).collect()
    }

    /// What was published of a stream since [`Self::take_young`].
    pub(super) fn young(&self, stream: Uuid) -> Option<Young> {
        self.stripe(stream).lock().get(&stream).copied()
    }

    fn stripe(&self, stream: Uuid) -> &Mutex<HashMap<Uuid, Young, RandomState>> {
        // The last byte of an id is a hash's or random.
        &self.stripes[usize::from(stream.as_bytes()[15]) % STRIPES]
    }

    /// A device gave a message up: whether it is dead for the person is to be looked at soon.
    pub(crate) fn hurry(&self, subscriber: Subscriber, offset: u64) {
        let mut hurried = self.hurried.lock();
        // What does not fit is found at its deadline.
        if hurried.len() < HURRIED_MAX {
            hurried.push((subscriber, offset));
        }
    }

    pub(super) fn take_hurried(&self) -> Vec<(Subscriber, u64)> {
        std::mem::take(&mut *self.hurried.lock())
    }

    /// A device applied messages. `now` is when, on the clock that they were sent by.
    pub(crate) fn applied(&self, of: Step, acked: &[Acked], now: Millis) {
        let at = self.clock.now();
        self.write(acked.iter().map(|acked| {
            let passage = Passage {
                device: of.device,
                sent_at: before(at, acked.took_ms),
                attempts: acked.attempts,
                received_at: acked.received_at.map(|received| before(at, now.since(received))),
                applied_at: Some(at),
                dead: None,
            };
            TimelineWrite {
                user: of.user,
                stream: of.stream,
                offset: acked.offset,
                at,
                step: TimelineStep::Passed(passage),
            }
        }));
    }

    /// A device gave a message up.
    pub(crate) fn gave_up(&self, of: Step, offset: u64, (sent_at, attempts): (Timestamp, u32), reason: Reason) {
        let at = self.clock.now();
        let passage = Passage {
            device: of.device,
            sent_at,
            attempts,
            received_at: None,
            applied_at: None,
            dead: Some((at, reason.number())),
        };
        let step = TimelineStep::Passed(passage);
        self.write(std::iter::once(TimelineWrite { user: of.user, stream: of.stream, offset, at, step }));
    }

    /// Steps of messages wait to be written.
    pub(super) fn write(&self, writes: impl Iterator<Item = TimelineWrite>) {
        let mut steps = self.steps.lock();
        let mut gone = 0;
        for write in writes {
            if steps.len() < STEPS_MAX {
                steps.push(write);
            } else {
                gone += 1;
            }
        }
        drop(steps);
        if gone > 0 {
            metrics::timelines_dropped(gone);
        }
    }

    /// Steps that wait, at most `max`.
    pub(super) fn take_steps(&self, max: usize) -> Vec<TimelineWrite> {
        let mut steps = self.steps.lock();
        let count = max.min(steps.len());
        let rest = steps.split_off(count);
        std::mem::replace(&mut *steps, rest)
    }

    /// What became of a message for a person, steps that wait included.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn timeline(&self, user: UserId, stream: Uuid, offset: u64) -> Result<storage::watches::Timeline, Error> {
        // Those that wait first: what leaves them meanwhile is in the store that is read after.
        let waiting: Vec<_> = (self.steps.lock().iter())
            .filter(|step| step.offset == offset && step.stream == stream && step.user == user)
            .map(|step| step.step)
            .collect();
        let mut timeline = self.watches.timeline(user, stream, offset).await?.unwrap_or_default();
        for step in &waiting {
            timeline.add(step);
        }
        Ok(timeline)
    }

    /// Milliseconds of a connection's clock as a time of day, where `now` is both.
    pub fn time_of(&self, at: Millis, now: Millis) -> Timestamp {
        before(self.clock.now(), now.since(at))
    }
}

/// The time `ms` before another.
fn before(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp(at.0.saturating_sub(ms.saturating_mul(1_000)))
}
