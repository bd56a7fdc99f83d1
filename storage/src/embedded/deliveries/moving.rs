//! Devices taken out as they lie there, and put in.

use async_trait::async_trait;
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use redb::{ReadTransaction, WriteTransaction};
use uuid::Uuid;

use super::EmbeddedDeliveries;
use super::records::{
    CURSORS, CursorRecord, DEVICE_NAMES, DEVICES, DEVICES_BY_AGE, DeviceRecord, READ_MARKS, SUBSCRIPTIONS,
};
use crate::Error;
use crate::embedded::database::{Failed, Stored};
use crate::moving::{MoveDevices, MovedDevice, MovedDevices, MovedPlace, STREAMS_MAX};

#[async_trait]
impl MoveDevices for EmbeddedDeliveries {
    async fn take_devices(&self, user: UserId) -> Result<MovedDevices, Error> {
        self.database.read(|txn| take(txn, user))
    }

    async fn put_device(&self, user: UserId, device: MovedDevice) -> Result<(), Error> {
        self.database.write(move |txn| put(txn, user, &device)).await
    }
}

fn take(txn: &ReadTransaction, user: UserId) -> Result<MovedDevices, Failed> {
    let id = user.0.as_u128();
    let cursors = txn.open_table(CURSORS)?;
    let mut moved = MovedDevices::default();
    for row in txn.open_table(DEVICES)?.range((id, 0)..=(id, u128::MAX))? {
        let (device, bytes) = row?;
        let device = device.value().1;
        let record = DeviceRecord::decode(bytes.value())?;
        let mut places = Vec::new();
        for row in cursors.range((id, device, 0)..=(id, device, u128::MAX))? {
            let (stream, bytes) = row?;
            let CursorRecord { epoch, offset, at } = CursorRecord::decode(bytes.value())?;
            places.push(MovedPlace { stream: Uuid::from_u128(stream.value().2), epoch, offset, at });
        }
        moved.devices.push(MovedDevice {
            id: DeviceId(Uuid::from_u128(device)),
            name: record.name.to_be_bytes(),
            first_seen: record.first_seen,
            last_seen: record.last_seen,
            places,
        });
    }
    for row in txn.open_table(READ_MARKS)?.range((id, 0)..=(id, u128::MAX))?.take(STREAMS_MAX) {
        moved.read.push(Uuid::from_u128(row?.0.value().1));
    }
    for row in txn.open_table(SUBSCRIPTIONS)?.range((id, 0)..=(id, u128::MAX))?.take(STREAMS_MAX) {
        moved.subscribed.push(Uuid::from_u128(row?.0.value().1));
    }
    Ok(moved)
}

fn put(txn: &WriteTransaction, user: UserId, device: &MovedDevice) -> Result<(), Failed> {
    let (user, id) = (user.0.as_u128(), device.id.0.as_u128());
    let MovedDevice { first_seen, last_seen, .. } = *device;
    let record = DeviceRecord { name: u128::from_be_bytes(device.name), first_seen, last_seen };
    let Timestamp(age) = last_seen;
    txn.open_table(DEVICES)?.insert((user, id), record.encode()?.as_slice())?;
    txn.open_table(DEVICE_NAMES)?.insert((user, record.name), id)?;
    txn.open_table(DEVICES_BY_AGE)?.insert((age, user, id), ())?;
    let mut cursors = txn.open_table(CURSORS)?;
    for place in &device.places {
        let record = CursorRecord { epoch: place.epoch.clone(), offset: place.offset, at: place.at };
        cursors.insert((user, id, place.stream.as_u128()), record.encode()?.as_slice())?;
    }
    Ok(())
}
