//! Devices taken out as they lie there, and put in.

use async_trait::async_trait;
use domain::ids::UserId;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::moving::{MoveDevices, MovedDevice, MovedDevices, STREAMS_MAX};
use uuid::Uuid;

use super::{CqlDeliveries, cursors, devices};
use crate::client::to_its_end;
use crate::number::limit;
use crate::statements::Named;

/// Places written together.
const TOGETHER_MAX: usize = 16;

#[async_trait]
impl MoveDevices for CqlDeliveries {
    async fn take_devices(&self, user: UserId) -> Result<MovedDevices, Error> {
        let mut moved = MovedDevices::default();
        for row in devices::of_user(&self.cql, user).await? {
            let places = cursors::all_places(&self.cql, user, row.id).await?;
            moved.devices.push(row.moved(places)?);
        }
        let streams = |named: Named| async move {
            let rows = self.cql.rows::<(Uuid,)>(named, (user.0, limit(STREAMS_MAX))).await?;
            Ok::<_, Error>(rows.into_iter().map(|(stream,)| stream).collect())
        };
        moved.read = streams(Named::MarksOfUser).await?;
        moved.subscribed = streams(Named::SubscriptionsRead).await?;
        Ok(moved)
    }

    async fn put_device(&self, user: UserId, device: MovedDevice) -> Result<(), Error> {
        let cql = std::sync::Arc::clone(&self.cql);
        to_its_end(async move {
            devices::put_moved(&cql, user, &device).await?;
            let places = device.places.into_iter().map(|place| cursors::put_place(&cql, user, device.id, place));
            stream::iter(places).buffer_unordered(TOGETHER_MAX).try_collect::<()>().await
        })
        .await
    }
}
