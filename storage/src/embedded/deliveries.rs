//! The deliveries store of one process: one redb file, `deliveries.redb`.
//!
//! Owns devices, cursors and dead letters, and watches and timelines beside them ([`watches`]): what is written together
//! shares a commit. Bounds: devices a person, streams a device, bytes of text a dead letter, timelines in all; a sweep
//! drops what was not seen for 90 days.

mod cursors;
mod dead_letters;
mod devices;
mod moving;
mod read_marks;
mod records;
mod timelines;
mod watches;

use std::path::Path;

use async_trait::async_trait;
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use redb::{ReadTransaction, WriteTransaction};
use uuid::Uuid;

use crate::Error;
use crate::deliveries::{
    Cursor, CursorPut, CursorWrite, DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterPage, Deliveries, Device,
    NAME_BYTES_MAX, PAGE_MAX, PUT_MAX, ReadMark, Seen,
};
use crate::embedded::database::{Database, Failed, Schema, Stored, copy_table};
use crate::embedded::snapshot::Snapshot;

/// What the engine may keep in memory: 16 MiB, some hundred thousand cursors.
const CACHE_BYTES: usize = 16 << 20;

/// The tables.
const SCHEMA: Schema = Schema { create, copy };

/// The deliveries store on redb.
pub struct EmbeddedDeliveries {
    database: Database,
}

impl EmbeddedDeliveries {
    /// Opens or makes `deliveries.redb` in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is open already.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(format!("make {}", folder.display()), error))?;
        Ok(Self { database: Database::open(&folder.join("deliveries.redb"), CACHE_BYTES, SCHEMA)? })
    }

    /// Rewrites the file without the pages that the engine freed, which a busy life of cursors leaves
    /// many of. Readers go on, writers wait.
    pub async fn compact(&self) -> Result<(), Error> {
        self.database.rewrite().await
    }

    /// All that is committed now, to be copied while the store goes on.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.database.snapshot()
    }
}

/// A dead letter as bytes, its text cut to its bound: the same in every adapter.
///
/// # Errors
/// [`Error::Unknown`] if it cannot be encoded, which would be a fault of ours.
pub fn encode_dead_letter(letter: &DeadLetter) -> Result<Vec<u8>, Error> {
    records::DeadLetterRecord::of(letter).encode().map_err(|failed| failed.of(Path::new("dead letter")))
}

/// The dead letter in such bytes.
///
/// # Errors
/// [`Error::Unknown`] if this build does not understand them.
pub fn decode_dead_letter(id: DeadLetterId, bytes: &[u8]) -> Result<DeadLetter, Error> {
    let letter = records::DeadLetterRecord::decode(bytes).and_then(|record| record.into_letter(id));
    letter.map_err(|failed| failed.of(Path::new("dead letter")))
}

fn create(transaction: &WriteTransaction) -> Result<(), Failed> {
    transaction.open_table(records::DEVICES)?;
    transaction.open_table(records::DEVICE_NAMES)?;
    transaction.open_table(records::DEVICES_BY_AGE)?;
    transaction.open_table(records::CURSORS)?;
    transaction.open_table(records::DEAD_LETTERS)?;
    transaction.open_table(records::DEAD_LETTERS_BY_REASON)?;
    transaction.open_table(records::DEAD_LETTERS_BY_CLASS)?;
    transaction.open_table(records::DEAD_LETTERS_BY_USER)?;
    transaction.open_table(records::DEAD_LETTERS_OPEN)?;
    transaction.open_table(records::DEAD_LETTERS_RESOLVED)?;
    transaction.open_table(records::READ_MARKS)?;
    transaction.open_table(records::SUBSCRIBERS)?;
    transaction.open_table(records::SUBSCRIPTIONS)?;
    transaction.open_table(records::WATCHES)?;
    transaction.open_table(records::WATCHES_DUE)?;
    transaction.open_table(records::NOTED)?;
    transaction.open_table(records::TIMELINES)?;
    Ok(())
}

fn copy(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Failed> {
    copy_table(records::DEVICES, from, to)?;
    copy_table(records::DEVICE_NAMES, from, to)?;
    copy_table(records::DEVICES_BY_AGE, from, to)?;
    copy_table(records::CURSORS, from, to)?;
    copy_table(records::DEAD_LETTERS, from, to)?;
    copy_table(records::DEAD_LETTERS_BY_REASON, from, to)?;
    copy_table(records::DEAD_LETTERS_BY_CLASS, from, to)?;
    copy_table(records::DEAD_LETTERS_BY_USER, from, to)?;
    copy_table(records::DEAD_LETTERS_OPEN, from, to)?;
    copy_table(records::DEAD_LETTERS_RESOLVED, from, to)?;
    copy_table(records::READ_MARKS, from, to)?;
    copy_table(records::SUBSCRIBERS, from, to)?;
    copy_table(records::SUBSCRIPTIONS, from, to)?;
    copy_table(records::WATCHES, from, to)?;
    copy_table(records::WATCHES_DUE, from, to)?;
    copy_table(records::NOTED, from, to)?;
    copy_table(records::TIMELINES, from, to)
}

#[async_trait]
impl Deliveries for EmbeddedDeliveries {
    async fn device(&self, user: UserId, name: &str, candidate: DeviceId, at: Timestamp) -> Result<Seen, Error> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::Unknown(format!("a device's name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        let name = devices::hashed(user, name);
        // Most connections come from a device that was here within the hour: nothing is to be written.
        let known = self.database.read(|txn| devices::known(txn, user, name))?;
        if let Some(device) = known.filter(|device| !devices::stale(device.last_seen, at)) {
            return Ok(Seen { device, is_new: false, forgotten: None });
        }
        self.database.write(move |txn| devices::seen(txn, user, name, candidate, at)).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<Device>, Error> {
        self.database.read(|txn| {
            let mut devices = devices::of_user(&txn.open_table(records::DEVICES)?, user)?;
            devices.sort_by_key(|device| std::cmp::Reverse(device.last_seen));
            Ok(devices)
        })
    }

    async fn cursor(&self, user: UserId, device: DeviceId, stream: Uuid) -> Result<Option<Cursor>, Error> {
        self.database.read(|txn| cursors::get(&txn.open_table(records::CURSORS)?, user, device, stream))
    }

    async fn put_cursors(&self, writes: Vec<CursorWrite>) -> Result<Vec<CursorPut>, Error> {
        if writes.len() > PUT_MAX {
            return Err(Error::Unknown(format!("more than {PUT_MAX} cursors to write at once")));
        }
        if writes.iter().any(|write| write.cursor.epoch.len() > NAME_BYTES_MAX) {
            return Err(Error::Unknown(format!("an epoch has at most {NAME_BYTES_MAX} bytes")));
        }
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.database.write(move |txn| writes.iter().map(|write| cursors::put(txn, write)).collect()).await
    }

    async fn sweep_devices(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        self.database.write(move |txn| devices::sweep(txn, now, max)).await
    }

    async fn read_mark(&self, user: UserId, stream: Uuid) -> Result<ReadMark, Error> {
        self.database.read(|txn| read_marks::get(&txn.open_table(records::READ_MARKS)?, user, stream))
    }

    async fn mark_read(&self, user: UserId, stream: Uuid, upto: u64, also: Vec<u64>) -> Result<ReadMark, Error> {
        self.database.write(move |txn| read_marks::add(txn, user, stream, upto, &also)).await
    }

    async fn forget_user(&self, user: UserId) -> Result<(), Error> {
        let forget = move |txn: &WriteTransaction| {
            dead_letters::forget_all(txn, user)?;
            read_marks::forget(txn, user)?;
            devices::forget_all(txn, user)
        };
        self.database.write(forget).await
    }

    async fn put_dead_letter(&self, letter: DeadLetter) -> Result<bool, Error> {
        self.database.write(move |txn| dead_letters::put(txn, &letter)).await
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        self.database.read(|txn| dead_letters::get(&txn.open_table(records::DEAD_LETTERS)?, id))
    }

    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        before: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        self.database.read(|txn| dead_letters::list(txn, filter, before, limit.min(PAGE_MAX)))
    }

    async fn open_dead_letters(&self, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Error> {
        self.database.read(|txn| dead_letters::open(txn, user, stream))
    }

    async fn sweep_dead_letters(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        self.database.write(move |txn| dead_letters::sweep(txn, now, max)).await
    }

    async fn remove_dead_letter(&self, id: DeadLetterId) -> Result<bool, Error> {
        self.database.write(move |txn| dead_letters::remove(txn, id)).await
    }
}
