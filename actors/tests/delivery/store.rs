//! A deliveries store in memory, that a crashed node cannot write to and that fails when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use parking_lot::Mutex;
use storage::Error;
use storage::deliveries::{
    Cursor, CursorPut, CursorWrite, DeadLetter, DeadLetterFilter, DeadLetterId, DeadLetterPage, Deliveries, Device,
    ReadMark, Seen,
};
use uuid::Uuid;

/// What outlives nodes.
#[derive(Default)]
pub(crate) struct Disk {
    cursors: Mutex<BTreeMap<(DeviceId, Uuid), Cursor>>,
    letters: Mutex<BTreeMap<DeadLetterId, DeadLetter>>,
    failing: Mutex<u64>,
}

impl Disk {
    pub(crate) fn cursor_of(&self, device: DeviceId, stream: Uuid) -> Option<u64> {
        self.cursors.lock().get(&(device, stream)).map(|cursor| cursor.offset)
    }

    /// Whether a letter was written that tells of the message for the device.
    pub(crate) fn tells_of(&self, device: DeviceId, stream: Uuid, offset: u64) -> bool {
        let letters = self.letters.lock();
        letters
            .values()
            .any(|letter| letter.device == Some(device) && letter.stream == Some(stream) && letter.covers(offset))
    }

    /// How many letters were written.
    pub(crate) fn letters(&self) -> usize {
        self.letters.lock().len()
    }

    pub(crate) fn fail_next_writes(&self, count: u64) {
        *self.failing.lock() = count;
    }

    fn writes(&self) -> Result<(), Error> {
        let mut failing = self.failing.lock();
        if *failing == 0 {
            return Ok(());
        }
        *failing -= 1;
        Err(Error::Unavailable("a fault was put in".into()))
    }
}

/// One node's way to the disk: gone when the node is.
pub(crate) struct Handle {
    pub(crate) disk: Arc<Disk>,
    pub(crate) gone: Arc<AtomicBool>,
}

impl Handle {
    fn alive(&self) -> Result<(), Error> {
        if self.gone.load(Ordering::SeqCst) { Err(Error::Unavailable("the node is gone".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Deliveries for Handle {
    async fn device(&self, _: UserId, _: &str, candidate: DeviceId, at: Timestamp) -> Result<Seen, Error> {
        let device = Device { id: candidate, first_seen: at, last_seen: at };
        Ok(Seen { device, is_new: true, forgotten: None })
    }

    async fn devices(&self, _: UserId) -> Result<Vec<Device>, Error> {
        Ok(Vec::new())
    }

    async fn cursor(&self, _: UserId, device: DeviceId, stream: Uuid) -> Result<Option<Cursor>, Error> {
        self.alive()?;
        Ok(self.disk.cursors.lock().get(&(device, stream)).cloned())
    }

    async fn put_cursors(&self, writes: Vec<CursorWrite>) -> Result<Vec<CursorPut>, Error> {
        self.alive()?;
        self.disk.writes()?;
        let mut cursors = self.disk.cursors.lock();
        let put = |write: CursorWrite| {
            let known = cursors.entry((write.device, write.stream)).or_insert_with(|| write.cursor.clone());
            if known.offset < write.cursor.offset {
                *known = write.cursor;
            }
            CursorPut::Written
        };
        Ok(writes.into_iter().map(put).collect())
    }

    async fn sweep_devices(&self, _: Timestamp, _: usize) -> Result<usize, Error> {
        Ok(0)
    }

    async fn read_mark(&self, _: UserId, _: Uuid) -> Result<ReadMark, Error> {
        Ok(ReadMark::default())
    }

    async fn mark_read(&self, _: UserId, _: Uuid, upto: u64, also: Vec<u64>) -> Result<ReadMark, Error> {
        Ok(ReadMark { upto, also })
    }

    async fn forget_user(&self, _: UserId) -> Result<(), Error> {
        Ok(())
    }

    async fn put_dead_letter(&self, letter: DeadLetter) -> Result<bool, Error> {
        self.alive()?;
        self.disk.writes()?;
        self.disk.letters.lock().insert(letter.id, letter);
        Ok(true)
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        Ok(self.disk.letters.lock().get(&id).cloned())
    }

    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        before: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        let letters = self.disk.letters.lock();
        let earlier = letters.values().rev().filter(|letter| before.is_none_or(|before| letter.id < before));
        let letters = earlier.filter(|letter| filter.passes(letter)).take(limit).cloned().collect();
        Ok(DeadLetterPage { letters, next: None })
    }

    async fn open_dead_letters(&self, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Error> {
        self.alive()?;
        let letters = self.disk.letters.lock();
        let of = |letter: &&DeadLetter| letter.user == Some(user) && letter.stream == Some(stream) && letter.is_open();
        Ok(letters.values().filter(of).cloned().collect())
    }

    async fn sweep_dead_letters(&self, _: Timestamp, _: usize) -> Result<usize, Error> {
        Ok(0)
    }

    async fn remove_dead_letter(&self, id: DeadLetterId) -> Result<bool, Error> {
        Ok(self.disk.letters.lock().remove(&id).is_some())
    }
}
