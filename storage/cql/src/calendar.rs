//! What falls due when: rows by day and time, swept from the first day that has any.
//!
//! A row is only a note that something may be due. What is due is decided by the thing itself: a login that was used
//! since has a later note, and the old one is passed over and removed.

use std::collections::VecDeque;
use std::time::Duration;

use domain::time::Timestamp;
use storage::Error;
use uuid::Uuid;

use crate::Cql;
use crate::number::{bound, from_cql, limit, to_cql};
use crate::statements::Named;

/// Days looked at in one sweep.
const DAYS_MAX: usize = 400;

/// Notes read at once.
const PAGE_ROWS: usize = 500;

/// Microseconds of a day, which need not be anybody's calendar day.
const DAY: Duration = Duration::from_hours(24);

/// What falls due. The number is stored and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Purpose {
    /// A login expires.
    Login = 1,
    /// A device was not seen for long.
    Device = 2,
    /// A dead letter was resolved long ago.
    DeadLetter = 3,
    /// Somebody must look after a person's messages.
    Watch = 4,
}

/// A note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Since when.
    pub(crate) at: Timestamp,
    /// Whose.
    pub(crate) owner: Uuid,
    /// What of theirs.
    pub(crate) item: Uuid,
}

/// Notes what falls due.
pub(crate) async fn note(cql: &Cql, purpose: Purpose, due: Due) -> Result<(), Error> {
    let day = day(due.at)?;
    cql.write(Named::DueDayPut, (number(purpose), day)).await?;
    cql.write(Named::DuePut, (number(purpose), day, to_cql(due.at.0)?, due.owner, due.item)).await
}

/// Removes a note.
pub(crate) async fn forget(cql: &Cql, purpose: Purpose, due: Due) -> Result<(), Error> {
    cql.write(Named::DueRemove, (number(purpose), day(due.at)?, to_cql(due.at.0)?, due.owner, due.item)).await
}

/// What is noted before a time, the longest ago first, at most `max`. It stays noted.
pub(crate) async fn noted(cql: &Cql, purpose: Purpose, now: Timestamp, max: usize) -> Result<Vec<Due>, Error> {
    let today = day(now)?;
    let mut notes = Vec::new();
    for (day,) in cql.rows::<(i64,)>(Named::DueDays, (number(purpose), today, limit(DAYS_MAX))).await? {
        let left = max.saturating_sub(notes.len());
        if left == 0 {
            break;
        }
        let values = (number(purpose), day, bound(now.0), limit(left));
        let rows = cql.rows::<(i64, Uuid, Uuid)>(Named::DueRead, values).await?;
        if rows.is_empty() && day < today {
            cql.write(Named::DueDayRemove, (number(purpose), day)).await?;
        }
        for (at, owner, item) in rows {
            notes.push(Due { at: Timestamp(from_cql(at)?), owner, item });
        }
    }
    Ok(notes)
}

/// A walk along what is noted before a time, the longest ago first. Who walks removes each note that was looked at.
pub(crate) struct Sweep<'a> {
    cql: &'a Cql,
    purpose: Purpose,
    now: Timestamp,
    days: VecDeque<i64>,
    notes: VecDeque<Due>,
}

impl<'a> Sweep<'a> {
    /// Begins with the first day that has any.
    pub(crate) async fn begin(cql: &'a Cql, purpose: Purpose, now: Timestamp) -> Result<Self, Error> {
        let values = (number(purpose), day(now)?, limit(DAYS_MAX));
        let days = cql.rows::<(i64,)>(Named::DueDays, values).await?.into_iter().map(|(day,)| day).collect();
        Ok(Self { cql, purpose, now, days, notes: VecDeque::new() })
    }

    /// The next note.
    pub(crate) async fn next(&mut self) -> Result<Option<Due>, Error> {
        while self.notes.is_empty() {
            let Some(today) = self.days.front().copied() else { return Ok(None) };
            let values = (number(self.purpose), today, bound(self.now.0), limit(PAGE_ROWS));
            for (at, owner, item) in self.cql.rows::<(i64, Uuid, Uuid)>(Named::DueRead, values).await? {
                self.notes.push_back(Due { at: Timestamp(from_cql(at)?), owner, item });
            }
            if self.notes.is_empty() {
                // Whatever is noted is later than its writing: nobody writes to a day that is over.
                if today < day(self.now)? {
                    self.cql.write(Named::DueDayRemove, (number(self.purpose), today)).await?;
                }
                self.days.pop_front();
            }
        }
        Ok(self.notes.pop_front())
    }

    /// Removes a note that was looked at.
    pub(crate) async fn done(&self, due: Due) -> Result<(), Error> {
        forget(self.cql, self.purpose, due).await
    }
}

/// The stored number.
#[allow(clippy::as_conversions, reason = "the number that the purpose is declared with")]
const fn number(purpose: Purpose) -> i8 {
    purpose as i8
}

/// The day of a time.
fn day(at: Timestamp) -> Result<i64, Error> {
    let micros = u64::try_from(DAY.as_micros()).unwrap_or(u64::MAX);
    to_cql(at.0 / micros)
}
