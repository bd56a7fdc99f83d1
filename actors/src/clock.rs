//! Time: the wall clock as a port, a shard's own strictly increasing one, and the business day.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::ledger::Now;
use domain::time::{BusinessDay, Timestamp};
use jiff::tz::TimeZone;
use parking_lot::RwLock;

/// The wall clock. The binary reads the real one; a simulation has its own.
pub trait WallClock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A shard's clock: increases with every reading, across takeovers too, whatever the wall clock does.
#[derive(Debug)]
pub struct ShardClock {
    last: AtomicU64,
}

impl ShardClock {
    /// Goes on after `last`.
    pub fn after(last: Timestamp) -> Self {
        Self { last: AtomicU64::new(last.0) }
    }

    /// `max(wall, last + 1 µs)`.
    pub fn tick(&self, wall: Timestamp) -> Timestamp {
        let next = |last: u64| Some(wall.0.max(last.saturating_add(1)));
        // `next` never answers `None`, so both arms hold the time before.
        let (Ok(last) | Err(last)) = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        Timestamp(wall.0.max(last.saturating_add(1)))
    }
}

/// The zone in which business days begin and end. Fixed when a store is created.
#[derive(Debug)]
pub struct BusinessZone {
    zone: TimeZone,
    /// The last day asked for: working out a civil date costs more than a decision.
    today: RwLock<(Timestamp, Timestamp, BusinessDay)>,
}

impl BusinessZone {
    /// The zone of this IANA name.
    pub fn new(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        Some(Self { zone, today: RwLock::new((Timestamp(1), Timestamp(0), BusinessDay(0))) })
    }

    /// The business day of a time.
    pub fn day(&self, at: Timestamp) -> BusinessDay {
        let (start, end, day) = *self.today.read();
        if start <= at && at < end {
            return day;
        }
        let (start, end, day) = self.work_out(at).unwrap_or((Timestamp(1), Timestamp(0), BusinessDay(0)));
        *self.today.write() = (start, end, day);
        day
    }

    fn work_out(&self, at: Timestamp) -> Option<(Timestamp, Timestamp, BusinessDay)> {
        let micros = |time: jiff::Timestamp| u64::try_from(time.as_microsecond()).ok().map(Timestamp);
        let time = jiff::Timestamp::from_microsecond(i64::try_from(at.0).ok()?).ok()?;
        let start = time.to_zoned(self.zone.clone()).start_of_day().ok()?;
        let end = start.tomorrow().ok()?;
        let epoch = jiff::civil::date(1970, 1, 1);
        let days = epoch.until((jiff::Unit::Day, start.date())).ok()?.get_days();
        Some((micros(start.timestamp())?, micros(end.timestamp())?, BusinessDay(days)))
    }

    /// The time as a decision sees it.
    pub fn now(&self, at: Timestamp) -> Now {
        Now { at, day: self.day(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shards_clock_never_stands_still() {
        let clock = ShardClock::after(Timestamp(10));
        let read: Vec<_> = [5, 11, 11, 20, 3].map(|wall| clock.tick(Timestamp(wall)).0).into();
        assert_eq!(read, [11, 12, 13, 20, 21]);
    }

    #[test]
    fn a_business_day_begins_at_the_zones_midnight() {
        let zone = BusinessZone::new("Asia/Kolkata").unwrap();
        let midnight = 20_000 * 86_400 - (5 * 3_600 + 1_800); // 05:30 ahead of UTC
        let day = |seconds: u64| zone.day(Timestamp(seconds * 1_000_000));
        assert_eq!(day(midnight), BusinessDay(20_000));
        assert_eq!(day(midnight - 1), BusinessDay(19_999));
        assert_eq!(day(midnight + 86_399), BusinessDay(20_000));
        assert_eq!(day(midnight + 86_400), BusinessDay(20_001));
        assert!(BusinessZone::new("Mars/Olympus").is_none());
    }
}
