//! Cursors: how far a device is in a stream.
//!
//! A place is one row an epoch of the stream, stamped with its offset, and keyed also by when it was first kept: one
//! that was forgotten and is kept again is another row, which the removal of the old one does not hide.

use std::collections::{BTreeMap, HashMap};

use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::deliveries::{Cursor, CursorPut, CursorWrite, STREAMS_PER_DEVICE_MAX};
use storage::moving::MovedPlace;
use uuid::Uuid;

use super::devices;
use crate::Cql;
use crate::number::{from_cql, limit, to_cql};
use crate::statements::Named;

/// Rows of one stream read at once: one an epoch, and few that were begun twice.
const ROWS_OF_STREAM_MAX: usize = 64;

/// Rows of one device read at once.
const ROWS_MAX: usize = 4 * STREAMS_PER_DEVICE_MAX;

/// Devices whose cursors are written together, and cursors of one device.
const TOGETHER_MAX: usize = 16;

/// A cursor's row.
#[derive(Clone, Debug)]
struct Row {
    stream: Uuid,
    /// When the place was first kept.
    since: i64,
    cursor: Cursor,
}

type Columns = (Uuid, String, i64, i64, i64);

impl Row {
    fn read((stream, epoch, since, number, at): Columns) -> Result<Self, Error> {
        let cursor = Cursor { epoch, offset: from_cql(number)?, at: Timestamp(from_cql(at)?) };
        Ok(Self { stream, since, cursor })
    }

    /// Whether this place takes the place of another of the same stream.
    fn is_after(&self, other: &Self) -> bool {
        if self.cursor.epoch == other.cursor.epoch {
            self.cursor.offset > other.cursor.offset
        } else {
            self.cursor.at > other.cursor.at
        }
    }
}

/// The rows of one device, by stream, and which of each is its place.
#[derive(Default)]
struct Places {
    rows: HashMap<Uuid, Vec<Row>>,
}

impl Places {
    fn of(rows: Vec<Columns>) -> Result<Self, Error> {
        let mut places = Self::default();
        for row in rows {
            let row = Row::read(row)?;
            places.rows.entry(row.stream).or_default().push(row);
        }
        Ok(places)
    }

    fn current(&self, stream: Uuid) -> Option<&Row> {
        let rows = self.rows.get(&stream)?;
        rows.iter().reduce(|place, row| if row.is_after(place) { row } else { place })
    }

    /// The stream whose place was written longest ago.
    fn oldest(&self) -> Option<Uuid> {
        let places = self.rows.keys().filter_map(|stream| self.current(*stream));
        places.min_by_key(|row| row.cursor.at).map(|row| row.stream)
    }
}

/// Where the device is in the stream.
pub(super) async fn get(cql: &Cql, user: UserId, device: DeviceId, stream: Uuid) -> Result<Option<Cursor>, Error> {
    let places = places_of(cql, user, device, stream).await?;
    Ok(places.current(stream).map(|row| row.cursor.clone()))
}

/// Moves cursors forward. Answers in the order given.
pub(super) async fn put(cql: &Cql, writes: Vec<CursorWrite>) -> Result<Vec<CursorPut>, Error> {
    let mut outcomes = vec![CursorPut::Forgotten; writes.len()];
    let mut by_device: BTreeMap<(UserId, DeviceId), Vec<(usize, CursorWrite)>> = BTreeMap::new();
    for (index, write) in writes.into_iter().enumerate() {
        by_device.entry((write.user, write.device)).or_default().push((index, write));
    }
    let puts = by_device.into_iter().map(|((user, device), writes)| put_device(cql, user, device, writes));
    let puts: Vec<_> = stream::iter(puts).buffer_unordered(TOGETHER_MAX).try_collect().await?;
    for (index, outcome) in puts.into_iter().flatten() {
        if let Some(place) = outcomes.get_mut(index) {
            *place = outcome;
        }
    }
    Ok(outcomes)
}

/// Moves the cursors of one device.
async fn put_device(
    cql: &Cql,
    user: UserId,
    device: DeviceId,
    writes: Vec<(usize, CursorWrite)>,
) -> Result<Vec<(usize, CursorPut)>, Error> {
    let known = devices::of_user(cql, user).await?.into_iter().find(|row| row.id == device);
    let at = writes.iter().map(|(_, write)| write.cursor.at).max().unwrap_or_default();
    let is_there = match known {
        Some(mut row) => devices::touch(cql, user, &mut row, at).await?,
        None => false,
    };
    if !is_there {
        return Ok(writes.into_iter().map(|(index, _)| (index, CursorPut::Forgotten)).collect());
    }
    let mut places = match &writes[..] {
        [(_, write)] => places_of(cql, user, device, write.stream).await?,
        _ => places_of_device(cql, user, device).await?,
    };
    let is_all = writes.len() > 1;
    if !is_all && places.rows.is_empty() {
        // Once a stream in a device's life.
        places = places_of_device(cql, user, device).await?;
    }
    let mut outcomes = Vec::with_capacity(writes.len());
    let mut rows = BTreeMap::new();
    for (index, write) in writes {
        let (stream, new) = (write.stream, write.cursor);
        let mut row = Row { stream, since: to_cql(new.at.0)?, cursor: new };
        if let Some(old) = places.current(stream) {
            if !row.is_after(old) {
                outcomes.push((index, CursorPut::Behind));
                continue;
            }
            if old.cursor.epoch == row.cursor.epoch {
                row.since = old.since;
            }
        } else if places.rows.len() >= STREAMS_PER_DEVICE_MAX
            && let Some(oldest) = places.oldest()
        {
            forget(cql, user, device, places.rows.remove(&oldest).unwrap_or_default()).await?;
            rows.retain(|(of, _, _), _| *of != oldest);
        }
        let of_stream = places.rows.entry(stream).or_default();
        of_stream.retain(|other| (other.since, &other.cursor.epoch) != (row.since, &row.cursor.epoch));
        of_stream.push(row.clone());
        // Several of one stream in one call: the last one written is the furthest.
        rows.insert((stream, row.cursor.epoch.clone(), row.since), row);
        outcomes.push((index, CursorPut::Written));
    }
    let writes = rows.into_values().map(|row| write(cql, user, device, row));
    stream::iter(writes).buffer_unordered(TOGETHER_MAX).try_collect::<()>().await?;
    Ok(outcomes)
}

/// All places of a device, to be moved.
pub(super) async fn all_places(cql: &Cql, user: UserId, device: DeviceId) -> Result<Vec<MovedPlace>, Error> {
    let places = places_of_device(cql, user, device).await?;
    let current = places.rows.keys().filter_map(|stream| places.current(*stream));
    Ok(current
        .map(|row| {
            let Cursor { epoch, offset, at } = row.cursor.clone();
            MovedPlace { stream: row.stream, epoch, offset, at }
        })
        .collect())
}

/// Writes a place that was moved. Again it is the same row.
pub(super) async fn put_place(cql: &Cql, user: UserId, device: DeviceId, place: MovedPlace) -> Result<(), Error> {
    let cursor = Cursor { epoch: place.epoch, offset: place.offset, at: place.at };
    write(cql, user, device, Row { stream: place.stream, since: to_cql(place.at.0)?, cursor }).await
}

async fn write(cql: &Cql, user: UserId, device: DeviceId, row: Row) -> Result<(), Error> {
    let (number, at) = (to_cql(row.cursor.offset)?, to_cql(row.cursor.at.0)?);
    // Nothing is stamped 0: a store may take it for no stamp.
    let stamp = number.saturating_add(1);
    let values = (user.0, device.0, row.stream, row.cursor.epoch, row.since, number, at, stamp);
    cql.write(Named::CursorPut, values).await
}

async fn forget(cql: &Cql, user: UserId, device: DeviceId, rows: Vec<Row>) -> Result<(), Error> {
    for row in rows {
        let values = (user.0, device.0, row.stream, row.cursor.epoch, row.since);
        cql.write(Named::CursorRemove, values).await?;
    }
    Ok(())
}

async fn places_of(cql: &Cql, user: UserId, device: DeviceId, stream: Uuid) -> Result<Places, Error> {
    let values = (user.0, device.0, stream, limit(ROWS_OF_STREAM_MAX));
    Places::of(cql.rows::<Columns>(Named::CursorRead, values).await?)
}

async fn places_of_device(cql: &Cql, user: UserId, device: DeviceId) -> Result<Places, Error> {
    Places::of(cql.rows::<Columns>(Named::CursorsOfDevice, (user.0, device.0, limit(ROWS_MAX))).await?)
}
