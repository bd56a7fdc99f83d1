//! The port of deliveries: how far each device is in each stream, and what could not be delivered.
//!
//! Mutable, durable, and not rebuildable. Nothing here is a person's text: a device's name is kept as
//! a hash, a dead letter says where the message is and not what it says.

mod dead_letter;

use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use uuid::Uuid;

use crate::Error;
pub use crate::embedded::deliveries::{decode_dead_letter, encode_dead_letter};
pub use dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterPage, Reason, TEXT_BYTES_MAX};

/// The most devices that are kept of one person; beyond it the one seen longest ago is forgotten.
pub const DEVICES_PER_USER_MAX: usize = 20;

/// The most streams that a place is kept in for one device; beyond it the place written longest ago is
/// forgotten.
pub const STREAMS_PER_DEVICE_MAX: usize = 1_024;

/// How long a device that is not seen is kept.
pub const DEVICE_AGE_MAX: Duration = Duration::from_hours(90 * 24);

/// The most cursors that one [`Deliveries::put_cursors`] takes.
pub const PUT_MAX: usize = 4_096;

/// The most dead letters that one page holds.
pub const PAGE_MAX: usize = 100;

/// The most rows that one page of dead letters reads; with several conditions it may pass many over.
pub const SCAN_MAX: usize = 500;

/// The most open dead letters of one person and stream that are answered at once.
pub const OPEN_MAX: usize = 256;

/// How long a dead letter that was resolved is kept.
pub const RESOLVED_AGE_MAX: Duration = Duration::from_hours(30 * 24);

/// The longest name that a device may give itself, in bytes; an epoch's likewise.
pub const NAME_BYTES_MAX: usize = 256;

/// A device of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// When it first said its name.
    pub first_seen: Timestamp,
    /// When it was last heard of, to the hour.
    pub last_seen: Timestamp,
}

/// A device that said its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The device.
    pub device: Device,
    /// It was not known before.
    pub is_new: bool,
    /// The device that made room for it, if there were too many.
    pub forgotten: Option<Device>,
}

/// A device's place in a stream: everything up to `offset` was applied there, or passed as dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the store's streams that `offset` counts in; at most [`NAME_BYTES_MAX`] bytes.
    pub epoch: String,
    /// The last offset.
    pub offset: u64,
    /// When the device said so.
    pub at: Timestamp,
}

/// A cursor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorWrite {
    /// Whose device.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// The stream.
    pub stream: Uuid,
    /// The place in it.
    pub cursor: Cursor,
}

/// What became of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorPut {
    /// It is the device's place now, durably.
    Written,
    /// The device is there already or further: nothing changed.
    Behind,
    /// The device was forgotten: it must say its name again.
    Forgotten,
}

/// The most single offsets beyond it that a read mark holds; with more the lowest of them moves it.
pub const READ_ALSO_MAX: usize = 256;

/// How far a person has read a stream, on whatever device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadMark {
    /// All up to and with this offset.
    pub upto: u64,
    /// And these beyond it, ascending, at most [`READ_ALSO_MAX`].
    pub also: Vec<u64>,
}

impl ReadMark {
    /// Whether the event at this offset was read.
    pub fn has(&self, offset: u64) -> bool {
        offset <= self.upto || self.also.binary_search(&offset).is_ok()
    }

    /// Adds what was read: all up to `upto`, and `also` beyond it. Never takes anything back.
    pub fn add(&mut self, upto: u64, also: &[u64]) {
        self.upto = self.upto.max(upto);
        self.also.extend_from_slice(also);
        self.also.sort_unstable();
        self.also.dedup();
        let upto = &mut self.upto;
        self.also.retain(|offset| {
            if *offset == upto.saturating_add(1) {
                *upto = *offset;
            }
            *offset > *upto
        });
        while self.also.len() > READ_ALSO_MAX {
            self.upto = self.also.remove(0);
        }
    }
}

/// Cursors, devices and dead letters.
///
/// Every write is durable before it answers, and what waits together shares a commit. A write whose
/// caller goes away is still done.
#[async_trait]
pub trait Deliveries: Send + Sync + 'static {
    /// The device of `user` that calls itself `name` (at most [`NAME_BYTES_MAX`] bytes), seen `at`. A
    /// name that is new gets the id `candidate`, and the device seen longest ago is forgotten when
    /// there are [`DEVICES_PER_USER_MAX`]. Of two callers with one new name both get one id, and to exactly one of them
    /// it is new.
    async fn device(&self, user: UserId, name: &str, candidate: DeviceId, at: Timestamp) -> Result<Seen, Error>;

    /// A person's devices, the one seen last first.
    async fn devices(&self, user: UserId) -> Result<Vec<Device>, Error>;

    /// Where the device is in the stream.
    async fn cursor(&self, user: UserId, device: DeviceId, stream: Uuid) -> Result<Option<Cursor>, Error>;

    /// Moves cursors forward, at most [`PUT_MAX`] in one commit; answers in the order given.
    ///
    /// The offset is the version: within an epoch a cursor never moves back, whatever order writes
    /// arrive in. A cursor of another epoch wins if its `at` is later.
    async fn put_cursors(&self, writes: Vec<CursorWrite>) -> Result<Vec<CursorPut>, Error>;

    /// Forgets devices not seen for [`DEVICE_AGE_MAX`] at `now`, at most `max`, the longest ago first;
    /// answers how many there were. To be called again while it answers `max`.
    async fn sweep_devices(&self, now: Timestamp, max: usize) -> Result<usize, Error>;

    /// How far a person has read a stream.
    async fn read_mark(&self, user: UserId, stream: Uuid) -> Result<ReadMark, Error>;

    /// Adds to what a person has read of a stream, as [`ReadMark::add`] does; answers all of it. Two callers
    /// at once lose nothing.
    async fn mark_read(&self, user: UserId, stream: Uuid, upto: u64, also: Vec<u64>) -> Result<ReadMark, Error>;

    /// Forgets all devices, cursors, read marks and dead letters of a person. Idempotent.
    async fn forget_user(&self, user: UserId) -> Result<(), Error>;

    /// Writes a dead letter, new or grown. Its `last_at` is its version: an older one changes nothing,
    /// and is answered `false`. Text past its bound is cut.
    async fn put_dead_letter(&self, letter: DeadLetter) -> Result<bool, Error>;

    /// One dead letter.
    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, Error>;

    /// Dead letters that pass `filter`, the newest first, those before `before` if it is given; at most
    /// `limit`, at most [`PAGE_MAX`]. Reads at most [`SCAN_MAX`] rows.
    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        before: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error>;

    /// Open dead letters about a stream for a person, the oldest first, at most [`OPEN_MAX`].
    async fn open_dead_letters(&self, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Error>;

    /// Forgets dead letters that were resolved [`RESOLVED_AGE_MAX`] before `now`, at most `max`, the longest ago first;
    /// answers how many there were. To be called again while it answers `max`.
    async fn sweep_dead_letters(&self, now: Timestamp, max: usize) -> Result<usize, Error>;

    /// Removes a dead letter that was purged. `false` if there was none.
    async fn remove_dead_letter(&self, id: DeadLetterId) -> Result<bool, Error>;
}
