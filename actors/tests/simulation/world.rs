//! The world that a simulated node lives in: chance, time, crashes, and what was found wrong.
//!
//! Everything that survives a crash is in here. All chance comes from one seed.

use std::time::Duration;

use actors::clock::WallClock;
use domain::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::disk::Disk;
use crate::model::Model;
use crate::rows::Rows;

/// When the simulated clock begins: some day in 2026, in µs.
const BEGINNING: u64 = 1_780_000_000_000_000;

/// Chance from a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

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

    /// `low` to `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Whether something happens that happens `percent` of the times.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(usize::try_from(self.below(of.len() as u64)).unwrap_or(0)) }
    }
}

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Appends take from this, in ms,
    pub append_least_ms: u64,
    /// to this.
    pub append_ms: u64,
    /// Appends whose outcome is not told, percent.
    pub unknown: u64,
    /// Reads of views that take time, percent.
    pub slow: u64,
    /// From this much, in ms,
    pub slow_least_ms: u64,
    /// to this much.
    pub slow_ms: u64,
    /// Calls to views that answer an error, percent.
    pub unavailable: u64,
    /// Messages between shards that are lost, and as many that come twice, percent.
    pub lost: u64,
    /// How late they come, at most, in ms.
    pub late_ms: u64,
    /// Messages between shards that find accounts about to go, percent.
    pub passivate: u64,
    /// Views write row by row instead of a batch at once.
    pub torn: bool,
}

impl Weather {
    /// Nothing goes wrong, and everything takes a millisecond.
    pub(crate) const FINE: Self = Self {
        append_least_ms: 1,
        append_ms: 1,
        unknown: 0,
        slow: 0,
        slow_least_ms: 0,
        slow_ms: 0,
        unavailable: 0,
        lost: 0,
        late_ms: 0,
        passivate: 0,
        torn: false,
    };

    pub(crate) fn of(chance: &mut Chance) -> Self {
        Self {
            append_least_ms: 1,
            append_ms: *chance.pick(&[2, 10, 40, 300]).unwrap_or(&2),
            unknown: *chance.pick(&[0, 3, 15]).unwrap_or(&0),
            slow: *chance.pick(&[0, 30, 90]).unwrap_or(&0),
            slow_least_ms: 1,
            slow_ms: *chance.pick(&[3, 40, 400]).unwrap_or(&3),
            unavailable: *chance.pick(&[0, 0, 2]).unwrap_or(&0),
            lost: *chance.pick(&[0, 5, 25]).unwrap_or(&0),
            late_ms: *chance.pick(&[0, 10, 200, 1_500]).unwrap_or(&0),
            passivate: *chance.pick(&[0, 30]).unwrap_or(&0),
            torn: chance.happens(40),
        }
    }
}

/// What is behind the lock of the world.
pub(crate) struct State {
    pub chance: Chance,
    pub weather: Weather,
    pub disk: Disk,
    pub rows: Rows,
    pub model: Model,
    /// What was found wrong.
    pub wrong: Vec<String>,
    /// Everything that was decided, folded into one number.
    pub trace: u64,
    /// How many points were passed at which it may crash.
    pub points: u64,
    crash_at: Option<u64>,
    over: bool,
    time: u64,
    began: Option<Instant>,
}

impl State {
    /// If it is to crash at all, it crashes at the next point.
    pub(crate) fn crash_soon(&mut self) {
        if self.crash_at.is_some() {
            self.crash_at = Some(self.points + 1);
        }
    }
}

/// The world.
pub(crate) struct World {
    state: Mutex<State>,
    ended: Notify,
}

impl World {
    pub(crate) fn new(seed: u64, shards: u16, weather: Weather) -> Self {
        let state = State {
            chance: Chance::new(seed),
            weather,
            disk: Disk::new(shards),
            rows: Rows::default(),
            model: Model::new(shards),
            wrong: Vec::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            points: 0,
            crash_at: None,
            over: false,
            time: BEGINNING,
            began: None,
        };
        Self { state: Mutex::new(state), ended: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A process begins. It ends at the `crash_in`th point from now, if at all.
    pub(crate) fn begin(&self, crash_in: Option<u64>) {
        let mut state = self.lock();
        state.crash_at = crash_in.map(|points| state.points + points);
        state.over = false;
        state.began = Some(Instant::now());
    }

    /// It ends: the clock stands until the next one, and may be set back a little.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        let lasted = state.began.take().map_or(0, |began| micros(began.elapsed()));
        let down = state.chance.below(2_000_000);
        let back = if state.chance.happens(20) { state.chance.below(3_000_000) } else { 0 };
        state.time = state.time + lasted + down - back;
        let State { disk, rows, model, chance, wrong, trace, weather, .. } = &mut *state;
        disk.crash(chance, model, wrong, trace);
        rows.crash(chance, weather.torn);
    }

    /// No more faults, and no more crashes.
    pub(crate) fn clear_up(&self) {
        let mut state = self.lock();
        state.crash_at = None;
        state.weather = Weather { torn: state.weather.torn, ..Weather::FINE };
    }

    /// When the process began.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.lock().began
    }

    /// Something must not be as it is. Ends the run.
    pub(crate) fn wrong(&self, what: String) {
        self.lock().wrong.push(what);
        self.ended.notify_one();
    }

    /// Waits for the crash, or for something wrong.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// The process has crashed: nothing that happens now counts.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// A point at which it may crash. Whether it has.
    pub(crate) fn point(&self) -> bool {
        let mut state = self.lock();
        state.points += 1;
        if state.crash_at == Some(state.points) {
            state.over = true;
        }
        if state.over || !state.wrong.is_empty() {
            self.ended.notify_one();
        }
        state.over
    }

    /// Passes a point at which it may crash, and takes some time.
    pub(crate) async fn pass(&self, time: Duration) {
        if self.point() {
            std::future::pending::<()>().await;
        }
        if !time.is_zero() {
            tokio::time::sleep(time).await;
            if self.point() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// 0 to `most` milliseconds.
    pub(crate) fn some_ms(&self, most: u64) -> Duration {
        Duration::from_millis(self.lock().chance.below(most + 1))
    }

    /// Folds something into the trace.
    pub(crate) fn note(&self, what: &[u8]) {
        let mut state = self.lock();
        note(&mut state.trace, what);
    }
}

/// Folds bytes into a trace (FNV-1a).
pub(crate) fn note(trace: &mut u64, what: &[u8]) {
    for byte in what {
        *trace = (*trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
}

impl WallClock for World {
    fn now(&self) -> Timestamp {
        let state = self.lock();
        Timestamp(state.time + state.began.map_or(0, |began| micros(began.elapsed())))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
