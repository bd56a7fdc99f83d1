//! Devices: who calls itself what, when it was seen, and forgetting it.

use std::time::Duration;

use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::{DEVICE_AGE_MAX, DEVICES_PER_USER_MAX, Device, Seen};
use storage::moving::{MovedDevice, MovedPlace};
use uuid::Uuid;

use crate::Cql;
use crate::applied::Applied;
use crate::calendar::{self, Due, Purpose, Sweep};
use crate::number::{from_cql, limit, to_cql};
use crate::statements::Named;

/// How exact `last_seen` is. It decides after 90 days: once an hour is enough, and saves the write.
const SEEN_STEP: Duration = Duration::from_hours(1);

/// Devices of one person read at once: those allowed, and those that come while others are forgotten.
const ROWS_MAX: usize = 4 * DEVICES_PER_USER_MAX;

/// A device's row. Its name is kept as a hash: a client may have made it of anything, a person's name included.
#[derive(Clone, Debug)]
pub(super) struct Row {
    name: Vec<u8>,
    pub(super) id: DeviceId,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

type Columns = (Vec<u8>, Uuid, i64, i64);

impl Row {
    fn read((name, id, first, last): Columns) -> Result<Self, Error> {
        let (first_seen, last_seen) = (Timestamp(from_cql(first)?), Timestamp(from_cql(last)?));
        Ok(Self { name, id: DeviceId(id), first_seen, last_seen })
    }

    /// The device of the row.
    pub(super) fn device(&self) -> Device {
        Device { id: self.id, first_seen: self.first_seen, last_seen: self.last_seen }
    }

    /// The device of the row with its places, to be moved.
    pub(super) fn moved(self, places: Vec<MovedPlace>) -> Result<MovedDevice, Error> {
        let Self { name, id, first_seen, last_seen } = self;
        let name = name.try_into().map_err(|_| Error::Unknown(format!("the name of device {id} is no hash")))?;
        Ok(MovedDevice { id, name, first_seen, last_seen, places })
    }

    fn due(&self, user: UserId) -> Due {
        Due { at: self.last_seen.after(DEVICE_AGE_MAX), owner: user.0, item: self.id.0 }
    }
}

/// What is kept of a device's name.
pub(super) fn hashed(user: UserId, name: &str) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("quickpe 2026 name of a device");
    hasher.update(user.0.as_bytes());
    hasher.update(name.as_bytes());
    hasher.finalize().as_bytes().split_at(16).0.to_vec()
}

/// All devices of a person.
pub(super) async fn of_user(cql: &Cql, user: UserId) -> Result<Vec<Row>, Error> {
    let rows = cql.rows::<Columns>(Named::DevicesRead, (user.0, limit(ROWS_MAX))).await?;
    rows.into_iter().map(Row::read).collect()
}

async fn settled(cql: &Cql, user: UserId) -> Result<Vec<Row>, Error> {
    let rows = cql.rows::<Columns>(Named::DevicesSerial, (user.0, limit(ROWS_MAX))).await?;
    rows.into_iter().map(Row::read).collect()
}

/// The device with this name, seen now; made if it is new.
pub(super) async fn seen(
    cql: &Cql,
    user: UserId,
    name: Vec<u8>,
    candidate: DeviceId,
    at: Timestamp,
) -> Result<Seen, Error> {
    let known = |row: &Row| Seen { device: row.device(), is_new: false, forgotten: None };
    if let Some(mut row) = of_user(cql, user).await?.into_iter().find(|row| row.name == name)
        && touch(cql, user, &mut row, at).await?
    {
        return Ok(known(&row));
    }
    let row = Row { name, id: candidate, first_seen: at, last_seen: at };
    calendar::note(cql, Purpose::Device, row.due(user)).await?;
    let first = to_cql(at.0)?;
    let values = (user.0, &row.name, row.id.0, first, first);
    let inserted = cql.transaction(Named::DeviceInsert, user.0, values).await?;
    if let Applied::No(there) = &inserted.applied
        && there.uuid("device_id") != Some(row.id.0)
    {
        // Another call with the same name was first, and its device is the one.
        let theirs = settled(cql, user).await?.into_iter().find(|other| other.name == row.name);
        return theirs.as_ref().map(known).ok_or_else(|| Error::Unavailable("a device was forgotten meanwhile".into()));
    }
    let mut others = settled(cql, user).await?;
    others.retain(|other| other.id != row.id);
    others.sort_by_key(|other| other.last_seen);
    let surplus = others.len().saturating_add(1).saturating_sub(DEVICES_PER_USER_MAX);
    for other in others.iter().take(surplus) {
        forget(cql, user, other).await?;
    }
    let forgotten = others.first().filter(|_| surplus > 0).map(Row::device);
    Ok(Seen { device: row.device(), is_new: true, forgotten })
}

/// Writes a device that was moved, without its places. Again it changes nothing.
pub(super) async fn put_moved(cql: &Cql, user: UserId, device: &MovedDevice) -> Result<(), Error> {
    let MovedDevice { id, first_seen, last_seen, .. } = *device;
    let row = Row { name: device.name.to_vec(), id, first_seen, last_seen };
    calendar::note(cql, Purpose::Device, row.due(user)).await?;
    let values = (user.0, &row.name, row.id.0, to_cql(first_seen.0)?, to_cql(last_seen.0)?);
    let inserted = cql.transaction(Named::DeviceInsert, user.0, values).await?;
    match inserted.applied {
        Applied::No(there) if there.uuid("device_id") != Some(id.0) => {
            Err(Error::Unknown(format!("device {id} has the name of another")))
        }
        _ => Ok(()),
    }
}

/// Notes that a device was heard of; `false` if it is not known any more.
pub(super) async fn touch(cql: &Cql, user: UserId, row: &mut Row, at: Timestamp) -> Result<bool, Error> {
    if at.since(row.last_seen) < SEEN_STEP {
        return Ok(true);
    }
    let seen = Row { last_seen: at, ..row.clone() };
    calendar::note(cql, Purpose::Device, seen.due(user)).await?;
    let values = (to_cql(at.0)?, user.0, &row.name, row.id.0);
    let is_there = cql.transaction(Named::DeviceSeen, user.0, values).await?.is_applied();
    if is_there {
        row.last_seen = at;
    }
    Ok(is_there)
}

/// Forgets devices not seen for too long.
pub(super) async fn sweep(cql: &Cql, now: Timestamp, max: usize) -> Result<usize, Error> {
    let mut sweep = Sweep::begin(cql, Purpose::Device, now).await?;
    let mut forgotten = 0;
    while forgotten < max
        && let Some(due) = sweep.next().await?
    {
        let user = UserId(due.owner);
        let row = settled(cql, user).await?.into_iter().find(|row| row.id.0 == due.item);
        // One seen since has a later note.
        if let Some(row) = row.filter(|row| row.due(user).at < now) {
            forget(cql, user, &row).await?;
            forgotten += 1;
        }
        sweep.done(due).await?;
    }
    Ok(forgotten)
}

/// Forgets all devices of a person.
pub(super) async fn forget_all(cql: &Cql, user: UserId) -> Result<(), Error> {
    loop {
        let rows = settled(cql, user).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            forget(cql, user, row).await?;
        }
    }
}

/// Removes a device, and then its cursors: whoever finds it writes no more of them.
async fn forget(cql: &Cql, user: UserId, row: &Row) -> Result<(), Error> {
    cql.transaction(Named::DeviceForget, user.0, (user.0, &row.name, row.id.0)).await?;
    cql.write(Named::CursorsForget, (user.0, row.id.0)).await?;
    calendar::forget(cql, Purpose::Device, row.due(user)).await
}
