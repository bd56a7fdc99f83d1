//! A device's durable place in a stream: what it has applied.
//!
//! Costs at most one write every two seconds and one at the end. After a crash a device hears at most
//! that and the half second between two looks again; it never skips.

use std::time::Duration;

use domain::ids::{DeviceId, UserId};
use storage::Error;
use storage::deliveries::{Cursor, CursorWrite};
use tokio::time::Instant;
use uuid::Uuid;

use crate::session::SessionContext;

/// The least time between two writes of one device's place.
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

    /// Writes what was applied, up to `upto` if that is further, if the last write is long ago. `false` if something is
    /// left to be written.
    pub(super) async fn write_if_due(&mut self, context: &SessionContext, upto: Option<u64>) -> bool {
        self.applied = self.applied.max(upto.unwrap_or(0));
        if self.written_at.is_some_and(|at| at.elapsed() < WRITE_EVERY) {
            return self.applied <= self.written;
        }
        self.write(context, None).await
    }

    /// Writes what was applied, up to `upto` if that is further. `false` if the store did not take it: the device hears
    /// again what it has applied, if nobody tries again.
    pub(super) async fn write(&mut self, context: &SessionContext, upto: Option<u64>) -> bool {
        self.applied = self.applied.max(upto.unwrap_or(0));
        if self.applied <= self.written {
            return true;
        }
        let put = self.put(context).await;
        put.inspect_err(|error| tracing::warn!(%error, "a cursor was not written")).is_ok()
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
