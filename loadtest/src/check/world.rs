//! What the workers and devices of one run share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::http::user::Party;
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::rooms::RoomPlan;
use crate::http::Target;
use crate::person::Person;

/// The most open holds and refundable transfers that are remembered; older ones are let be.
const POOL_MAX: usize = 1_000;
/// The most faults of form that are remembered.
const FOREIGN_MAX: usize = 100;

/// The shared part of a run.
pub(crate) struct World {
    /// Where the server is.
    pub(crate) target: Target,
    /// Where devices find it: the same, or a proxy before it.
    pub(crate) live: Target,
    /// A name for this run, so that it can be run twice against one server.
    pub(crate) run: String,
    /// The people's handles, by number.
    pub(crate) handles: Vec<String>,
    /// The rooms, by number.
    pub(crate) rooms: Vec<RoomPlan>,
    /// How many devices were closed for their silence.
    pub(crate) silenced: AtomicU64,
    /// The start of the run; times in the history count from here.
    pub(crate) start: Instant,
    /// How many operations may still be made.
    pub(crate) budget: AtomicUsize,
    /// How many operations have an outcome.
    pub(crate) done: AtomicU64,
    /// How often something was sent again because its outcome was not known.
    pub(crate) retries: AtomicU64,
    /// The highest offset that each person has been told of, on any way.
    known: Vec<AtomicU64>,
    stopping: AtomicBool,
    give_up: Mutex<Option<Instant>>,
    pool: Mutex<Pool>,
    /// Holds that were made to run out soon.
    pub(crate) short_holds: Mutex<HashSet<Uuid>>,
    foreign: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Pool {
    holds: Vec<OpenHold>,
    transfers: Vec<Refundable>,
}

/// A hold that somebody may still resolve.
#[derive(Clone, Copy)]
pub(crate) struct OpenHold {
    /// The id.
    pub(crate) id: Uuid,
    /// Whose money it is.
    pub(crate) payer: usize,
    /// Who may take it.
    pub(crate) payee: usize,
    /// How much.
    pub(crate) amount: i64,
}

/// A transfer that its payee may give back.
#[derive(Clone, Copy)]
pub(crate) struct Refundable {
    /// The id.
    pub(crate) id: Uuid,
    /// Who got it.
    pub(crate) payee: usize,
    /// How much.
    pub(crate) amount: i64,
}

impl World {
    /// A world of these people and rooms.
    pub(crate) fn new(
        target: Target,
        live: Target,
        run: String,
        people: &[Person],
        rooms: Vec<RoomPlan>,
        budget: usize,
    ) -> Self {
        let handles: Vec<String> = people.iter().map(|person| person.handle.clone()).collect();
        Self {
            target,
            live,
            run,
            rooms,
            silenced: AtomicU64::new(0),
            known: handles.iter().map(|_| AtomicU64::new(0)).collect(),
            handles,
            start: Instant::now(),
            budget: AtomicUsize::new(budget),
            done: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            give_up: Mutex::default(),
            pool: Mutex::default(),
            short_holds: Mutex::default(),
            foreign: Mutex::default(),
        }
    }

    /// Microseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes one operation out of the budget.
    pub(crate) fn may_operate(&self) -> bool {
        !self.stopping()
            && self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// No new operations; those without an outcome have `patience` to learn it.
    pub(crate) fn stop(&self, patience: Duration) {
        *self.give_up.lock() = Instant::now().checked_add(patience);
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the run comes to its end.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether an outcome that is not known now will not be asked for again.
    pub(crate) fn given_up(&self) -> bool {
        self.give_up.lock().is_some_and(|at| Instant::now() >= at)
    }

    /// The person was told of this offset.
    pub(crate) fn told(&self, person: usize, offset: u64) {
        if let Some(known) = self.known.get(person) {
            known.fetch_max(offset, Ordering::AcqRel);
        }
    }

    /// The highest offset that the person was told of.
    pub(crate) fn known(&self, person: usize) -> u64 {
        self.known.get(person).map_or(0, |known| known.load(Ordering::Acquire))
    }

    /// The rooms that the person is in from beginning to end: number and id.
    pub(crate) fn rooms_of(&self, person: usize) -> impl Iterator<Item = (usize, String)> + '_ {
        let rooms = self.rooms.iter().enumerate().filter(move |(_, room)| room.members.contains(&person));
        rooms.map(|(number, room)| (number, room.id.to_string()))
    }

    /// The number of somebody, as others see them.
    pub(crate) fn person_of(&self, party: &Party) -> Option<usize> {
        let handle = party.quickpe_id?.to_string();
        self.handles.iter().position(|known| *known == handle)
    }

    /// A device was closed for its silence.
    pub(crate) fn silenced(&self) {
        self.silenced.fetch_add(1, Ordering::Relaxed);
    }

    /// Something came that is not of the protocol.
    pub(crate) fn foreign(&self, what: String) {
        let mut foreign = self.foreign.lock();
        if foreign.len() < FOREIGN_MAX {
            foreign.push(what);
        }
    }

    /// Takes what came that is not of the protocol.
    pub(crate) fn take_foreign(&self) -> Vec<String> {
        std::mem::take(&mut self.foreign.lock())
    }

    /// Remembers a hold.
    pub(crate) fn opened(&self, hold: OpenHold) {
        push(&mut self.pool.lock().holds, hold);
    }

    /// Remembers a transfer.
    pub(crate) fn transferred(&self, transfer: Refundable) {
        push(&mut self.pool.lock().transfers, transfer);
    }

    /// Picks a hold that fits. It stays a while with one in four, so that people contend for it.
    pub(crate) fn pick_hold(&self, rng: &mut StdRng, fits: impl Fn(&OpenHold) -> bool) -> Option<OpenHold> {
        pick(&mut self.pool.lock().holds, rng, fits)
    }

    /// Picks a transfer that fits, likewise.
    pub(crate) fn pick_transfer(&self, rng: &mut StdRng, fits: impl Fn(&Refundable) -> bool) -> Option<Refundable> {
        pick(&mut self.pool.lock().transfers, rng, fits)
    }
}

fn push<T>(pool: &mut Vec<T>, one: T) {
    if pool.len() == POOL_MAX {
        pool.swap_remove(0);
    }
    pool.push(one);
}

fn pick<T: Copy>(pool: &mut Vec<T>, rng: &mut StdRng, fits: impl Fn(&T) -> bool) -> Option<T> {
    let fitting: Vec<usize> = pool.iter().enumerate().filter(|(_, one)| fits(one)).map(|(index, _)| index).collect();
    let index = *fitting.get(rng.random_range(0..fitting.len().max(1)))?;
    if rng.random_bool(0.25) { pool.get(index).copied() } else { Some(pool.swap_remove(index)) }
}
