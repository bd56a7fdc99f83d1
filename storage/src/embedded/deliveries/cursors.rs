//! Cursors: how far a device is in a stream. They only move forward.

use std::ops::RangeInclusive;

use domain::ids::{DeviceId, UserId};
use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::devices;
use super::records::{CURSORS, CursorRecord};
use crate::deliveries::{Cursor, CursorPut, CursorWrite, STREAMS_PER_DEVICE_MAX};
use crate::embedded::database::{Failed, Stored};

/// The key of a cursor: user, device, stream.
type Key = (u128, u128, u128);

/// Where the device is in the stream.
pub(super) fn get(
    table: &impl ReadableTable<Key, &'static [u8]>,
    user: UserId,
    device: DeviceId,
    stream: Uuid,
) -> Result<Option<Cursor>, Failed> {
    Ok(read(table, (user.0.as_u128(), device.0.as_u128(), stream.as_u128()))?.map(Cursor::from))
}

/// Moves a cursor forward.
pub(super) fn put(txn: &WriteTransaction, write: &CursorWrite) -> Result<CursorPut, Failed> {
    let (user, device, new) = (write.user, write.device, &write.cursor);
    if !devices::touch(txn, user, device, new.at)? {
        return Ok(CursorPut::Forgotten);
    }
    let key = (user.0.as_u128(), device.0.as_u128(), write.stream.as_u128());
    let mut table = txn.open_table(CURSORS)?;
    match read(&table, key)? {
        Some(old) if old.epoch == new.epoch && old.offset >= new.offset => return Ok(CursorPut::Behind),
        Some(old) if old.epoch != new.epoch && old.at >= new.at => return Ok(CursorPut::Behind),
        Some(_) => {}
        None => make_room(&mut table, user, device)?,
    }
    let record = CursorRecord { epoch: new.epoch.clone(), offset: new.offset, at: new.at };
    table.insert(key, record.encode()?.as_slice())?;
    Ok(CursorPut::Written)
}

/// Forgets all cursors of a device.
pub(super) fn forget(txn: &WriteTransaction, user: UserId, device: DeviceId) -> Result<(), Failed> {
    Ok(txn.open_table(CURSORS)?.retain_in(all(user, device), |_, _| false)?)
}

/// Forgets the cursor written longest ago if there is no room for another.
///
/// Reads all of the device's, which is once a stream in a device's life.
fn make_room(table: &mut redb::Table<'_, Key, &'static [u8]>, user: UserId, device: DeviceId) -> Result<(), Failed> {
    let mut count = 0_usize;
    let mut oldest = None;
    for row in table.range(all(user, device))? {
        let (key, bytes) = row?;
        let at = CursorRecord::decode(bytes.value())?.at;
        count = count.saturating_add(1);
        if oldest.is_none_or(|(oldest, _)| at < oldest) {
            oldest = Some((at, key.value()));
        }
    }
    if count >= STREAMS_PER_DEVICE_MAX
        && let Some((_, key)) = oldest
    {
        table.remove(key)?;
    }
    Ok(())
}

fn read(table: &impl ReadableTable<Key, &'static [u8]>, key: Key) -> Result<Option<CursorRecord>, Failed> {
    table.get(key)?.map(|bytes| CursorRecord::decode(bytes.value())).transpose()
}

/// The keys of a device's cursors.
fn all(user: UserId, device: DeviceId) -> RangeInclusive<Key> {
    let (user, device) = (user.0.as_u128(), device.0.as_u128());
    (user, device, 0)..=(user, device, u128::MAX)
}
