//! Devices, cursors, read marks and dead letters on CQL.
//!
//! Devices, marks and letters change by comparison. Cursors, of which there are most, are plain rows with the offset as
//! their stamp: within one epoch a late write never moves a place back, whoever wrote it.

mod cursors;
mod devices;
mod letters;
mod marks;
mod moving;

use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::{
    Cursor, CursorPut, CursorWrite, DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterPage, Deliveries, Device,
    NAME_BYTES_MAX, PAGE_MAX, PUT_MAX, ReadMark, Seen,
};
use uuid::Uuid;

use crate::Cql;
use crate::client::to_its_end;

/// The deliveries store on CQL.
pub struct CqlDeliveries {
    cql: Arc<Cql>,
}

impl CqlDeliveries {
    /// The deliveries store.
    pub const fn new(cql: Arc<Cql>) -> Self {
        Self { cql }
    }
}

#[async_trait]
impl Deliveries for CqlDeliveries {
    async fn device(&self, user: UserId, name: &str, candidate: DeviceId, at: Timestamp) -> Result<Seen, Error> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::Unknown(format!("a device's name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        let (cql, name) = (Arc::clone(&self.cql), devices::hashed(user, name));
        to_its_end(async move { devices::seen(&cql, user, name, candidate, at).await }).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<Device>, Error> {
        let mut devices: Vec<_> = devices::of_user(&self.cql, user).await?.iter().map(devices::Row::device).collect();
        devices.sort_by_key(|device| std::cmp::Reverse(device.last_seen));
        Ok(devices)
    }

    async fn cursor(&self, user: UserId, device: DeviceId, stream: Uuid) -> Result<Option<Cursor>, Error> {
        cursors::get(&self.cql, user, device, stream).await
    }

    async fn put_cursors(&self, writes: Vec<CursorWrite>) -> Result<Vec<CursorPut>, Error> {
        if writes.len() > PUT_MAX || writes.iter().any(|write| write.cursor.epoch.len() > NAME_BYTES_MAX) {
            return Err(Error::Unknown(format!("more than {PUT_MAX} cursors at once, or an epoch that is too long")));
        }
        let cql = Arc::clone(&self.cql);
        to_its_end(async move { cursors::put(&cql, writes).await }).await
    }

    async fn sweep_devices(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move { devices::sweep(&cql, now, max).await }).await
    }

    async fn read_mark(&self, user: UserId, stream: Uuid) -> Result<ReadMark, Error> {
        marks::get(&self.cql, user, stream).await
    }

    async fn mark_read(&self, user: UserId, stream: Uuid, upto: u64, also: Vec<u64>) -> Result<ReadMark, Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move { marks::add(&cql, user, stream, upto, &also).await }).await
    }

    async fn forget_user(&self, user: UserId) -> Result<(), Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move {
            devices::forget_all(&cql, user).await?;
            marks::forget_all(&cql, user).await?;
            letters::forget_all(&cql, user).await
        })
        .await
    }

    async fn put_dead_letter(&self, letter: DeadLetter) -> Result<bool, Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move { letters::put(&cql, &letter).await }).await
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        letters::get(&self.cql, id).await
    }

    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        before: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        letters::list(&self.cql, filter, before, limit.min(PAGE_MAX)).await
    }

    async fn open_dead_letters(&self, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Error> {
        letters::open(&self.cql, user, stream).await
    }

    async fn sweep_dead_letters(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move { letters::sweep(&cql, now, max).await }).await
    }

    async fn remove_dead_letter(&self, id: DeadLetterId) -> Result<bool, Error> {
        let cql = Arc::clone(&self.cql);
        to_its_end(async move { letters::remove(&cql, id).await }).await
    }
}
