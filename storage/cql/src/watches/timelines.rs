//! What became of messages: a row a step, by person and the day on which it was written down.
//!
//! A step that is written again is the same row, and steps are joined when they are read. Rows expire by themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::UserId;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::watches::{TIMELINE_AGE_MAX, Timeline, TimelineMark, TimelinePage, TimelineWrite};
use uuid::Uuid;

use crate::Cql;
use crate::error::unreadable;
use crate::number::{from_cql, limit, to_cql};
use crate::statements::Named;

/// Rows of one request: short, and of one partition.
const REQUEST_ROWS: usize = 20;

/// Requests in flight.
const TOGETHER_MAX: usize = 16;

/// Days of one person: rows expire after 32.
const DAYS_MAX: usize = 64;

/// Steps of one message in a day: a device makes few.
const STEPS_MAX: usize = 500;

/// Rows of one page: more than there are of one message.
const PAGE_ROWS: usize = 1_024;
const _: () = assert!(PAGE_ROWS > STEPS_MAX);

/// The version of a step's stored form.
const VERSION: u8 = 1;

/// Microseconds of a day.
const DAY: Duration = Duration::from_hours(24);

/// Writes steps down.
pub(super) async fn put(cql: &Cql, newest: &AtomicU64, writes: Vec<TimelineWrite>) -> Result<(), Error> {
    let mut by_day: BTreeMap<(UserId, i64), Vec<TimelineWrite>> = BTreeMap::new();
    for write in writes {
        newest.fetch_max(write.at.0, Ordering::Relaxed);
        by_day.entry((write.user, day(write.at)?)).or_default().push(write);
    }
    for (user, day) in by_day.keys() {
        // First what they are found by.
        cql.write(Named::TimelineDayPut, (user.0, *day)).await?;
    }
    let mut requests = Vec::new();
    for ((user, day), writes) in by_day {
        for chunk in writes.chunks(REQUEST_ROWS) {
            let rows = chunk.iter().map(|write| Ok((Named::TimelinePut, row(user, day, write)?)));
            requests.push(rows.collect::<Result<Vec<_>, Error>>()?);
        }
    }
    let writing = stream::iter(requests).map(|request| cql.write_all(request));
    writing.buffer_unordered(TOGETHER_MAX).try_collect().await
}

/// A row: person, day, stream, offset, the step's own hash, when it was written down, the step.
type Row = (Uuid, i64, Uuid, i64, Vec<u8>, i64, Vec<u8>);

fn row(user: UserId, day: i64, write: &TimelineWrite) -> Result<Row, Error> {
    let mut step = Timeline::default();
    step.add(&write.step);
    let bytes = postcard::to_extend(&step, vec![VERSION]).map_err(|error| unreadable("a timeline", error))?;
    let hash = blake3::hash(&bytes).as_bytes().split_at(16).0.to_vec();
    Ok((user.0, day, write.stream, to_cql(write.offset)?, hash, to_cql(write.at.0)?, bytes))
}

/// What became of one message.
pub(super) async fn get(
    cql: &Cql,
    newest: &AtomicU64,
    user: UserId,
    stream: Uuid,
    offset: u64,
) -> Result<Option<Timeline>, Error> {
    let age = u64::try_from(TIMELINE_AGE_MAX.as_micros()).unwrap_or(u64::MAX);
    let begin = newest.load(Ordering::Relaxed).saturating_sub(age);
    let mut timeline = None;
    for (day,) in cql.rows::<(i64,)>(Named::TimelineDays, (user.0, limit(DAYS_MAX))).await? {
        let values = (user.0, day, stream, to_cql(offset)?, limit(STEPS_MAX));
        for (at, bytes) in cql.rows::<(i64, Vec<u8>)>(Named::TimelineRead, values).await? {
            if from_cql(at)? >= begin {
                timeline.get_or_insert_with(Timeline::default).join(&decode(&bytes)?);
            }
        }
    }
    Ok(timeline)
}

/// A row of a page: stream, offset, when it was written down, the step.
type PageRow = (Uuid, i64, i64, Vec<u8>);

/// A page of what became of a person's messages.
pub(super) async fn page(cql: &Cql, user: UserId, after: Option<TimelineMark>) -> Result<TimelinePage, Error> {
    let mut days: Vec<_> = cql.rows::<(i64,)>(Named::TimelineDays, (user.0, limit(DAYS_MAX))).await?;
    days.sort_unstable();
    for (day,) in days {
        let number = from_cql(day)?;
        let mark = after.filter(|mark| mark.day == number);
        if after.is_some_and(|after| number < after.day) {
            continue;
        }
        let rows = rows(cql, user, day, mark).await?;
        if !rows.is_empty() {
            return of_rows(user, number, rows);
        }
    }
    Ok(TimelinePage::default())
}

/// Rows of one day after a mark.
async fn rows(cql: &Cql, user: UserId, day: i64, mark: Option<TimelineMark>) -> Result<Vec<PageRow>, Error> {
    let most = limit(PAGE_ROWS);
    let Some(TimelineMark { stream, number, .. }) = mark else {
        return cql.rows(Named::TimelinesOfDay, (user.0, day, most)).await;
    };
    let rest = cql.rows::<PageRow>(Named::TimelinesOfStream, (user.0, day, stream, to_cql(number)?, most)).await?;
    if !rest.is_empty() {
        return Ok(rest);
    }
    cql.rows(Named::TimelinesAfter, (user.0, day, stream, most)).await
}

/// Rows as a page. Of a full reading the last message comes again, because not all of it may have been read.
fn of_rows(user: UserId, day: u64, mut rows: Vec<PageRow>) -> Result<TimelinePage, Error> {
    let last = rows.last().map(|(stream, number, ..)| (*stream, *number));
    if rows.len() >= PAGE_ROWS {
        rows.retain(|(stream, number, ..)| Some((*stream, *number)) != last);
    }
    let mut page = TimelinePage::default();
    for (stream, number, at, bytes) in rows {
        let (offset, at) = (from_cql(number)?, Timestamp(from_cql(at)?));
        page.steps.extend(decode(&bytes)?.steps().map(|step| TimelineWrite { user, stream, offset, at, step }));
        page.next = Some(TimelineMark { day, stream, number: offset });
    }
    Ok(page)
}

/// Forgets what became of a person's messages.
pub(super) async fn forget(cql: &Cql, user: UserId) -> Result<(), Error> {
    for (day,) in cql.rows::<(i64,)>(Named::TimelineDays, (user.0, limit(DAYS_MAX))).await? {
        cql.write(Named::TimelinesRemove, (user.0, day)).await?;
        cql.write(Named::TimelineDayRemove, (user.0, day)).await?;
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Timeline, Error> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| unreadable("a timeline", error)),
        _ => Err(unreadable("a timeline", "it is of a version that this build does not know")),
    }
}

fn day(at: Timestamp) -> Result<i64, Error> {
    to_cql(at.0 / u64::try_from(DAY.as_micros()).unwrap_or(u64::MAX))
}
