//! Stores in memory that outlive the actor, and fail when they are told to.

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
use storage::journal::{JournalKey, Slot};
use storage::watches::{
    BATCH_MAX, Subscriber, Timeline, TimelineMark, TimelinePage, TimelineWrite, Watch, WatchChange, Watches,
};
use uuid::Uuid;

/// A message of a person: of which stream, at which offset.
type Message = (UserId, Uuid, u64);

/// What is durable.
#[derive(Default)]
pub(crate) struct Memory {
    devices: Mutex<BTreeMap<(UserId, DeviceId), Timestamp>>,
    cursors: Mutex<BTreeMap<(DeviceId, Uuid), Cursor>>,
    letters: Mutex<BTreeMap<DeadLetterId, DeadLetter>>,
    subscribers: Mutex<BTreeMap<Uuid, Subscriber>>,
    watches: Mutex<BTreeMap<(UserId, Uuid), Watch>>,
    noted: Mutex<BTreeMap<JournalKey, Slot>>,
    timelines: Mutex<BTreeMap<Message, (Timestamp, Timeline)>>,
    /// No write is done.
    pub(crate) fails: AtomicBool,
}

impl Memory {
    fn writes(&self) -> Result<(), Error> {
        let fails = self.fails.load(Ordering::SeqCst);
        if fails { Err(Error::Unavailable("a fault was put in".into())) } else { Ok(()) }
    }

    /// All letters, resolved ones too.
    pub(crate) fn letters(&self) -> Vec<DeadLetter> {
        self.letters.lock().values().cloned().collect()
    }

    /// How many watches there are.
    pub(crate) fn watched(&self) -> usize {
        self.watches.lock().len()
    }

    /// All devices of a person go, with their places.
    pub(crate) fn forget_devices(&self) {
        self.devices.lock().clear();
        self.cursors.lock().clear();
    }
}

fn within(count: usize) -> Result<(), Error> {
    if count > BATCH_MAX { Err(Error::Unknown("too many".into())) } else { Ok(()) }
}

#[async_trait]
impl Watches for Memory {
    async fn subscribe(&self, subscriber: Subscriber) -> Result<(), Error> {
        self.writes()?;
        self.subscribers.lock().insert(subscriber.stream, subscriber);
        Ok(())
    }

    async fn subscribers(&self, streams: Vec<Uuid>) -> Result<Vec<Option<Subscriber>>, Error> {
        within(streams.len())?;
        let subscribers = self.subscribers.lock();
        Ok(streams.iter().map(|stream| subscribers.get(stream).copied()).collect())
    }

    async fn watches(&self, of: Vec<(UserId, Uuid)>) -> Result<Vec<Option<Watch>>, Error> {
        within(of.len())?;
        let watches = self.watches.lock();
        Ok(of.iter().map(|key| watches.get(key).cloned()).collect())
    }

    async fn due_watches(&self, now: Timestamp, max: usize) -> Result<Vec<Watch>, Error> {
        let mut due: Vec<_> = self.watches.lock().values().filter(|watch| watch.due <= now).cloned().collect();
        due.sort_by_key(|watch| watch.due);
        due.truncate(max.min(BATCH_MAX));
        Ok(due)
    }

    async fn change_watches(&self, changes: Vec<WatchChange>, noted: Vec<(JournalKey, Slot)>) -> Result<(), Error> {
        within(changes.len())?;
        self.writes()?;
        let mut watches = self.watches.lock();
        for change in changes {
            match change {
                WatchChange::Put(watch) => {
                    watches.insert((watch.subscriber.user, watch.subscriber.stream), watch);
                }
                WatchChange::End(user, stream) => drop(watches.remove(&(user, stream))),
                WatchChange::Forget(user, stream) => {
                    watches.remove(&(user, stream));
                    self.subscribers.lock().remove(&stream);
                }
            }
        }
        self.noted.lock().extend(noted);
        Ok(())
    }

    async fn noted(&self) -> Result<Vec<(JournalKey, Slot)>, Error> {
        Ok(self.noted.lock().iter().map(|(key, slot)| (*key, *slot)).collect())
    }

    async fn put_timelines(&self, writes: Vec<TimelineWrite>) -> Result<(), Error> {
        within(writes.len())?;
        self.writes()?;
        let mut timelines = self.timelines.lock();
        let newest = writes.iter().map(|write| write.at).max().unwrap_or_default();
        for write in writes {
            let row = timelines.entry((write.user, write.stream, write.offset)).or_default();
            row.0 = row.0.max(write.at);
            row.1.add(&write.step);
        }
        timelines.retain(|_, (at, _)| newest.since(*at) <= storage::watches::TIMELINE_AGE_MAX);
        Ok(())
    }

    async fn timeline(&self, user: UserId, stream: Uuid, offset: u64) -> Result<Option<Timeline>, Error> {
        Ok(self.timelines.lock().get(&(user, stream, offset)).map(|(_, timeline)| timeline.clone()))
    }

    async fn timelines(&self, user: UserId, _: Option<TimelineMark>) -> Result<TimelinePage, Error> {
        let timelines = self.timelines.lock();
        let of_user = timelines.iter().filter(|((whose, ..), _)| *whose == user);
        let steps = of_user.flat_map(|((user, stream, offset), (at, timeline))| {
            timeline.steps().map(|step| TimelineWrite { user: *user, stream: *stream, offset: *offset, at: *at, step })
        });
        Ok(TimelinePage { steps: steps.collect(), next: None })
    }

    async fn forget_watches(&self, user: UserId) -> Result<(), Error> {
        self.subscribers.lock().retain(|_, subscriber| subscriber.user != user);
        self.watches.lock().retain(|(owner, _), _| *owner != user);
        self.timelines.lock().retain(|(owner, ..), _| *owner != user);
        Ok(())
    }
}

#[async_trait]
impl Deliveries for Memory {
    async fn device(&self, user: UserId, _: &str, id: DeviceId, at: Timestamp) -> Result<Seen, Error> {
        let is_new = self.devices.lock().insert((user, id), at).is_none();
        Ok(Seen { device: Device { id, first_seen: at, last_seen: at }, is_new, forgotten: None })
    }

    async fn devices(&self, user: UserId) -> Result<Vec<Device>, Error> {
        let devices = self.devices.lock();
        let of_user = devices.iter().filter(|((owner, _), _)| *owner == user);
        Ok(of_user.map(|((_, id), at)| Device { id: *id, first_seen: *at, last_seen: *at }).collect())
    }

    async fn cursor(&self, _: UserId, device: DeviceId, stream: Uuid) -> Result<Option<Cursor>, Error> {
        Ok(self.cursors.lock().get(&(device, stream)).cloned())
    }

    async fn put_cursors(&self, writes: Vec<CursorWrite>) -> Result<Vec<CursorPut>, Error> {
        self.writes()?;
        let mut cursors = self.cursors.lock();
        let put = |write: CursorWrite| {
            cursors.insert((write.device, write.stream), write.cursor);
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
        self.writes()?;
        self.letters.lock().insert(letter.id, letter);
        Ok(true)
    }

    async fn dead_letter(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        Ok(self.letters.lock().get(&id).cloned())
    }

    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        _: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        let letters = self.letters.lock();
        let letters = letters.values().filter(|letter| filter.passes(letter)).take(limit).cloned().collect();
        Ok(DeadLetterPage { letters, next: None })
    }

    async fn open_dead_letters(&self, user: UserId, stream: Uuid) -> Result<Vec<DeadLetter>, Error> {
        let letters = self.letters.lock();
        let of = |letter: &&DeadLetter| letter.user == Some(user) && letter.stream == Some(stream) && letter.is_open();
        Ok(letters.values().filter(of).cloned().collect())
    }

    async fn sweep_dead_letters(&self, _: Timestamp, _: usize) -> Result<usize, Error> {
        Ok(0)
    }

    async fn remove_dead_letter(&self, id: DeadLetterId) -> Result<bool, Error> {
        Ok(self.letters.lock().remove(&id).is_some())
    }
}

#[tokio::test]
async fn the_store_of_these_tests_keeps_what_a_store_of_watches_promises() {
    storage::conformance::watches::all(async || Arc::new(Memory::default()) as Arc<dyn Watches>).await;
}
