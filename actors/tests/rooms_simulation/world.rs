//! What survives a crash: the journal, the views, and time; and all chance, from one seed.

use std::time::Duration;

use actors::clock::WallClock;
use domain::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::stores::{Log, Rows};

/// When the simulated clock begins: some day in 2026, in µs.
const BEGINNING: u64 = 1_780_000_000_000_000;

/// Chance from a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub u64);

impl Chance {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `count - 1`.
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.draw() % count.max(1)
    }

    /// Whether something happens that happens `percent` of the times.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What is behind the lock of the world.
pub(crate) struct State {
    pub chance: Chance,
    pub logs: Vec<Log>,
    pub rows: Rows,
    /// Appends take up to this, in ms.
    pub append_ms: u64,
    /// Appends whose outcome is not told, percent.
    pub unknown: u64,
    /// Calls to views that take up to this, in ms; 0: they answer at once.
    pub views_ms: u64,
    /// Reads of views that answer an error, percent.
    pub unavailable: u64,
    /// A hash of all that became durable, in order.
    pub trace: u64,
}

/// A world.
pub(crate) struct World {
    state: Mutex<State>,
    /// When this life began on tokio's clock, and what the wall clock said then.
    life: Mutex<(Option<Instant>, Timestamp)>,
}

impl World {
    pub(crate) fn new(seed: u64, shards: u16) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let state = State {
            append_ms: chance.pick(&[1, 10, 60]),
            unknown: chance.pick(&[0, 5, 20]),
            views_ms: chance.pick(&[0, 0, 5, 80]),
            unavailable: chance.pick(&[0, 0, 3]),
            chance,
            logs: (0..shards).map(|_| Log::default()).collect(),
            rows: Rows::default(),
            trace: seed,
        };
        Self { state: Mutex::new(state), life: Mutex::new((None, Timestamp(BEGINNING))) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A life begins: time goes on from where the last one ended.
    pub(crate) fn begin(&self) {
        self.life.lock().0 = Some(Instant::now());
    }

    /// A life has ended at `now`, in the middle of whatever was under way.
    pub(crate) fn crash(&self, now: Timestamp) {
        *self.life.lock() = (None, now);
        let mut state = self.lock();
        let State { chance, logs, rows, trace, .. } = &mut *state;
        for log in logs {
            log.crash(chance, trace);
        }
        rows.crash(chance);
    }

    pub(crate) async fn pass(&self, ms: u64) {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

impl WallClock for World {
    fn now(&self) -> Timestamp {
        let (began, at) = *self.life.lock();
        // Timers end on whole milliseconds of a start that lies somewhere between two of them: what is
        // left of one is no part of the seed.
        began.map_or(at, |began| at.after(Duration::from_millis(began.elapsed().as_millis() as u64)))
    }
}
