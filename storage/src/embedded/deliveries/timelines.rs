//! Timelines: what became of messages, by the day on which it was written down.
//!
//! A row holds a block of neighbouring messages: what a busy stream comes to in two seconds is a row or two. The day
//! comes first in the key, so that what is too old, or too much, is the beginning of the table and goes without an
//! index. One message may be in rows of several days; who reads joins them.

use std::time::Duration;

use domain::ids::UserId;
use domain::time::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use uuid::Uuid;

use super::records::{TIMELINES, TimelinesRecord};
use crate::embedded::database::{Failed, Stored};
use crate::watches::{TIMELINE_AGE_MAX, Timeline, TimelineMark, TimelinePage, TimelineStep, TimelineWrite};

/// The messages of a row.
const BLOCK: u64 = 16;

/// The most rows: at 70 to 700 bytes each, some hundred MiB.
const ROWS_MAX: u64 = 512 << 10;

/// How many rows go at most for each step that comes: more than one, so that a store that is too full becomes less so.
const GONE_PER_STEP: usize = 4;

/// From how many steps on a page is full: one more row does not make it longer than a page may be.
const PAGE_STEPS: usize = 1_024;

const DAY: Duration = Duration::from_hours(24);

/// The key of a row: day, user, stream, block.
type Key = (u32, u128, u128, u64);

/// The day of a time.
fn day(at: Timestamp) -> u32 {
    u32::try_from(at.since(Timestamp::EPOCH).as_secs() / DAY.as_secs()).unwrap_or(u32::MAX)
}

/// How many days are kept.
fn days_max() -> u32 {
    u32::try_from(TIMELINE_AGE_MAX.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX)
}

/// The block of a message, and its place there.
fn place(offset: u64) -> (u64, u8) {
    (offset / BLOCK, u8::try_from(offset % BLOCK).unwrap_or(0))
}

/// Adds steps, and lets go of what is too old or too much.
pub(super) fn put(txn: &WriteTransaction, writes: &[TimelineWrite]) -> Result<(), Failed> {
    let mut table = txn.open_table(TIMELINES)?;
    let key =
        |write: &TimelineWrite| (day(write.at), write.user.0.as_u128(), write.stream.as_u128(), place(write.offset).0);
    let mut sorted: Vec<_> = writes.iter().collect();
    sorted.sort_by_key(|write| key(write));
    for row in sorted.chunk_by(|one, other| key(one) == key(other)) {
        let Some(first) = row.first() else { continue };
        add(&mut table, key(first), row.iter().map(|write| (place(write.offset).1, &write.step)))?;
    }
    let newest = sorted.last().map_or(0, |write| day(write.at));
    for _ in 0..writes.len().saturating_mul(GONE_PER_STEP) {
        let Some(oldest) = table.first()?.map(|(key, _)| key.value()) else { break };
        let is_kept = oldest.0.saturating_add(days_max()) >= newest && table.len()? <= ROWS_MAX;
        if is_kept {
            break;
        }
        table.remove(oldest)?;
    }
    Ok(())
}

/// Adds steps to a row.
fn add<'a>(
    table: &mut Table<'_, Key, &'static [u8]>,
    key: Key,
    steps: impl Iterator<Item = (u8, &'a TimelineStep)>,
) -> Result<(), Failed> {
    let known = table.get(key)?.map(|bytes| TimelinesRecord::decode(bytes.value())).transpose()?;
    let TimelinesRecord(mut timelines) = known.unwrap_or_default();
    for (place, step) in steps {
        if let Some((_, timeline)) = timelines.iter_mut().find(|(known, _)| *known == place) {
            timeline.add(step);
        } else {
            let mut timeline = Timeline::default();
            timeline.add(step);
            timelines.push((place, timeline));
        }
    }
    table.insert(key, TimelinesRecord(timelines).encode()?.as_slice())?;
    Ok(())
}

/// What became of one message.
pub(super) fn get(
    table: &impl ReadableTable<Key, &'static [u8]>,
    user: UserId,
    stream: Uuid,
    offset: u64,
) -> Result<Option<Timeline>, Failed> {
    let Some((first, last)) = days(table)? else { return Ok(None) };
    let (block, place) = place(offset);
    let mut found: Option<Timeline> = None;
    for day in first..=last {
        if let Some(bytes) = table.get((day, user.0.as_u128(), stream.as_u128(), block))? {
            let TimelinesRecord(timelines) = TimelinesRecord::decode(bytes.value())?;
            for (_, timeline) in timelines.iter().filter(|(known, _)| *known == place) {
                found.get_or_insert_default().join(timeline);
            }
        }
    }
    Ok(found)
}

/// A page of what became of a person's messages.
pub(super) fn page(
    table: &impl ReadableTable<Key, &'static [u8]>,
    user: UserId,
    after: Option<TimelineMark>,
) -> Result<TimelinePage, Failed> {
    let mut page = TimelinePage::default();
    let Some((first, last)) = days(table)? else { return Ok(page) };
    let whose = user.0.as_u128();
    let begun = after.and_then(|mark| Some((u32::try_from(mark.day).ok()?, mark)));
    for day in begun.map_or(first, |(day, _)| day.max(first))..=last {
        let mark = begun.filter(|(begun, _)| *begun == day).map(|(_, mark)| (mark.stream.as_u128(), mark.number));
        let (stream, block) = mark.unwrap_or_default();
        let at = Timestamp::EPOCH.after(DAY.saturating_mul(day));
        for row in table.range((day, whose, stream, block)..=(day, whose, u128::MAX, u64::MAX))? {
            let (key, bytes) = row?;
            let (_, _, stream, block) = key.value();
            if mark == Some((stream, block)) {
                continue;
            }
            let TimelinesRecord(timelines) = TimelinesRecord::decode(bytes.value())?;
            let stream = Uuid::from_u128(stream);
            for (place, timeline) in &timelines {
                let offset = block.saturating_mul(BLOCK).saturating_add(u64::from(*place));
                page.steps.extend(timeline.steps().map(|step| TimelineWrite { user, stream, offset, at, step }));
            }
            if page.steps.len() >= PAGE_STEPS {
                page.next = Some(TimelineMark { day: u64::from(day), stream, number: block });
                return Ok(page);
            }
        }
    }
    Ok(page)
}

/// The first and last day that there are rows of. Days without any between them cost a look each, of which there are
/// no more than are kept.
fn days(table: &impl ReadableTable<Key, &'static [u8]>) -> Result<Option<(u32, u32)>, Failed> {
    let (Some(first), Some(last)) = (table.first()?, table.last()?) else { return Ok(None) };
    let (first, last) = (first.0.value().0, last.0.value().0);
    Ok(Some((first.max(last.saturating_sub(days_max())), last)))
}

/// Forgets all of a person.
pub(super) fn forget(txn: &WriteTransaction, user: UserId) -> Result<(), Failed> {
    let mut table = txn.open_table(TIMELINES)?;
    let Some((first, last)) = days(&table)? else { return Ok(()) };
    let user = user.0.as_u128();
    for day in first..=last {
        table.retain_in((day, user, 0, 0)..=(day, user, u128::MAX, u64::MAX), |_, _| false)?;
    }
    Ok(())
}
