//! Devices: who calls itself what, when it was seen, and forgetting it.

use std::ops::RangeInclusive;
use std::time::Duration;

use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::cursors;
use super::records::{DEVICE_NAMES, DEVICES, DEVICES_BY_AGE, DeviceRecord};
use crate::deliveries::{DEVICE_AGE_MAX, DEVICES_PER_USER_MAX, Device, Seen};
use crate::embedded::database::{Failed, Stored};

/// How exact `last_seen` is. It decides after 90 days: once an hour is enough, and saves the write.
const SEEN_STEP: Duration = Duration::from_hours(1);

/// What is kept of a device's name. A client may have made it of anything, a person's name included.
pub(super) fn hashed(user: UserId, name: &str) -> u128 {
    let mut hasher = blake3::Hasher::new_derive_key("quickpe 2026 name of a device");
    hasher.update(user.0.as_bytes());
    hasher.update(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hasher.finalize().as_bytes().split_at(16).0);
    u128::from_be_bytes(bytes)
}

/// Whether a device seen at `now` is to be written as seen.
pub(super) fn stale(last_seen: Timestamp, now: Timestamp) -> bool {
    now.since(last_seen) >= SEEN_STEP
}

/// The device with this name.
pub(super) fn known(txn: &ReadTransaction, user: UserId, name: u128) -> Result<Option<Device>, Failed> {
    let Some(id) = txn.open_table(DEVICE_NAMES)?.get((key(user), name))? else { return Ok(None) };
    let id = DeviceId(Uuid::from_u128(id.value()));
    Ok(read(&txn.open_table(DEVICES)?, user, id)?.map(|record| record.device(id)))
}

/// The device with this name, seen now; made if it is new.
pub(super) fn seen(
    txn: &WriteTransaction,
    user: UserId,
    name: u128,
    candidate: DeviceId,
    at: Timestamp,
) -> Result<Seen, Failed> {
    let id = txn.open_table(DEVICE_NAMES)?.get((key(user), name))?.map(|id| DeviceId(Uuid::from_u128(id.value())));
    if let Some(id) = id
        && touch(txn, user, id, at)?
        && let Some(record) = read(&txn.open_table(DEVICES)?, user, id)?
    {
        return Ok(Seen { device: record.device(id), is_new: false, forgotten: None });
    }
    let mut devices = of_user(&txn.open_table(DEVICES)?, user)?;
    devices.sort_by_key(|device| device.last_seen);
    let surplus = devices.len().saturating_add(1).saturating_sub(DEVICES_PER_USER_MAX);
    for device in devices.iter().take(surplus) {
        forget(txn, user, device.id)?;
    }
    let record = DeviceRecord { name, first_seen: at, last_seen: at };
    txn.open_table(DEVICE_NAMES)?.insert((key(user), name), candidate.0.as_u128())?;
    put(txn, user, candidate, &record)?;
    Ok(Seen {
        device: record.device(candidate),
        is_new: true,
        forgotten: devices.first().copied().filter(|_| surplus > 0),
    })
}

/// Notes that a device was heard of; `false` if it is not known.
pub(super) fn touch(txn: &WriteTransaction, user: UserId, id: DeviceId, at: Timestamp) -> Result<bool, Failed> {
    let Some(mut record) = read(&txn.open_table(DEVICES)?, user, id)? else { return Ok(false) };
    if stale(record.last_seen, at) {
        txn.open_table(DEVICES_BY_AGE)?.remove((record.last_seen.0, key(user), id.0.as_u128()))?;
        record.last_seen = at;
        put(txn, user, id, &record)?;
    }
    Ok(true)
}

/// All devices of a person, at most [`DEVICES_PER_USER_MAX`].
pub(super) fn of_user(
    table: &impl ReadableTable<(u128, u128), &'static [u8]>,
    user: UserId,
) -> Result<Vec<Device>, Failed> {
    let mut found = Vec::new();
    for row in table.range(all(user))? {
        let (device, bytes) = row?;
        let id = DeviceId(Uuid::from_u128(device.value().1));
        found.push(DeviceRecord::decode(bytes.value())?.device(id));
    }
    Ok(found)
}

/// Forgets devices not seen for too long.
pub(super) fn sweep(txn: &WriteTransaction, now: Timestamp, max: usize) -> Result<usize, Failed> {
    let age_max = u64::try_from(DEVICE_AGE_MAX.as_micros()).unwrap_or(u64::MAX);
    let mut old = Vec::new();
    for row in txn.open_table(DEVICES_BY_AGE)?.range(..(now.0.saturating_sub(age_max), 0, 0))?.take(max) {
        let (_, user, device) = row?.0.value();
        old.push((UserId(Uuid::from_u128(user)), DeviceId(Uuid::from_u128(device))));
    }
    for (user, device) in &old {
        forget(txn, *user, *device)?;
    }
    Ok(old.len())
}

/// Forgets all devices of a person.
pub(super) fn forget_all(txn: &WriteTransaction, user: UserId) -> Result<(), Failed> {
    let devices = of_user(&txn.open_table(DEVICES)?, user)?;
    devices.iter().try_for_each(|device| forget(txn, user, device.id))
}

/// Removes a device, its index rows and its cursors.
fn forget(txn: &WriteTransaction, user: UserId, id: DeviceId) -> Result<(), Failed> {
    cursors::forget(txn, user, id)?;
    let record = read(&txn.open_table(DEVICES)?, user, id)?;
    if let Some(record) = record {
        txn.open_table(DEVICES)?.remove((key(user), id.0.as_u128()))?;
        txn.open_table(DEVICE_NAMES)?.remove((key(user), record.name))?;
        txn.open_table(DEVICES_BY_AGE)?.remove((record.last_seen.0, key(user), id.0.as_u128()))?;
    }
    Ok(())
}

fn read(
    table: &impl ReadableTable<(u128, u128), &'static [u8]>,
    user: UserId,
    id: DeviceId,
) -> Result<Option<DeviceRecord>, Failed> {
    table.get((key(user), id.0.as_u128()))?.map(|bytes| DeviceRecord::decode(bytes.value())).transpose()
}

/// Writes a device's record and its place in the order of age.
fn put(txn: &WriteTransaction, user: UserId, id: DeviceId, record: &DeviceRecord) -> Result<(), Failed> {
    txn.open_table(DEVICES)?.insert((key(user), id.0.as_u128()), record.encode()?.as_slice())?;
    txn.open_table(DEVICES_BY_AGE)?.insert((record.last_seen.0, key(user), id.0.as_u128()), ())?;
    Ok(())
}

fn key(user: UserId) -> u128 {
    user.0.as_u128()
}

/// The keys of a person's devices.
fn all(user: UserId) -> RangeInclusive<(u128, u128)> {
    (key(user), 0)..=(key(user), u128::MAX)
}
