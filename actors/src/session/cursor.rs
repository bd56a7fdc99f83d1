//! A device's durable place in a stream: what it has applied.
//!
//! Costs at most one write every two seconds and one at the end. After a crash a device hears at most
//! two seconds again; it never skips.

use std::time::Duration;

use domain::ids::{DeviceId, UserId};
use storage::Error;
use storage::deliveries::{Cursor, CursorWrite};
use tokio::time::Instant;
use uuid::Uuid;

use crate::session::SessionContext;

/// The least time between two writes of one device's cursor.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// A device's place in one stream.
#[derive(Debug)]
pub(super) struct DeviceCursor {
    user: UserId,
    device: DeviceId,
    stream: Uuid,
    epoch: String,
    /// What the device has applied.
    applied: u64,
    /// What of it is durable.
    written: u64,
    written_at: Option<Instant>,
}

impl DeviceCursor {
    pub(super) const fn new(user: UserId, device: DeviceId, stream: Uuid, epoch: String) -> Self {
        Self { user, device, stream, epoch, applied: 0, written: 0, written_at: None }
    }

    /// Makes the device's first place durable: before it the client is told nothing.
    pub(super) async fn begin(&mut self, context: &SessionContext, from: u64) -> Result<(), Error> {
        self.applied = from;
        self.put(context).await
    }

    /// The device goes on after `from`, which is written when it moves on from there: until then what is durable stands,
    /// so that a gap that was said to a connection that broke is said again.
    pub(super) const fn resume(&mut self, from: u64) {
        self.applied = from;
        self.written = from;
    }

    /// The device has applied all up to `upto`. Written at once if the last write is long ago.
    pub(super) async fn applied(&mut self, context: &SessionContext, upto: u64) {
        self.applied = self.applied.max(upto);
        if self.written_at.is_none_or(|at| at.elapsed() >= WRITE_EVERY) {
            self.write(context, None).await;
        }
    }

    /// Writes what was applied, up to `upto` if that is further.
    pub(super) async fn write(&mut self, context: &SessionContext, upto: Option<u64>) {
        self.applied = self.applied.max(upto.unwrap_or(0));
        if self.applied > self.written
            && let Err(error) = self.put(context).await
        {
            // The device hears again what it has applied: that is all that is lost.
            tracing::warn!(%error, "a cursor was not written");
        }
    }

    async fn put(&mut self, context: &SessionContext) -> Result<(), Error> {
        let cursor = Cursor { epoch: self.epoch.clone(), offset: self.applied, at: context.clock.now() };
        let write = CursorWrite { user: self.user, device: self.device, stream: self.stream, cursor };
        context.deliveries.put_cursors(vec![write]).await?;
        self.written = self.applied;
        self.written_at = Some(Instant::now());
        Ok(())
    }
}
