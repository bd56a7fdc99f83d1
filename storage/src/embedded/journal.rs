//! The journal on one disk: a log of segment files a space, which all its shards share.
//!
//! One thread owns the log's end ([`writer`]), another makes segments ahead of use ([`maker`]). What
//! lies where is in [`segment`] and [`frame`]; what opening makes of it in [`mod@recover`] and [`tail`].
//!
//! Bounded: the requests queued ([`QUEUE_RECORDS_MAX`]), the memory a shard ([`index`]), what opening
//! reads (see [`OpenFrom`]) and the files held open. The log of money only grows: it is the truth. Of a
//! space with retention the oldest segments go ([`mod@retention`], [`floor`]).

mod ends;
mod floor;
mod frame;
mod index;
mod maker;
mod pieces;
mod queue;
mod reader;
mod recover;
mod retention;
mod room;
mod scan;
mod segment;
mod segments;
mod tail;
mod walk;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use metrics::Histogram;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

use self::frame::{Codec, FRAME_BYTES_MAX, HEADER_BYTES, frame_bytes};
use self::index::Index;
pub use self::pieces::{Piece, PieceReader, begin_with, file_name, folder};
use self::queue::{Queue, Request};
use self::recover::recover;
use self::room::Room;
pub use self::scan::Scan;
use self::segment::{HEAD_BYTES, Segment};
use self::segments::{Listing, Segments};
use self::writer::Writer;
use crate::Error;
use crate::embedded::lock::StoreLock;
use crate::journal::{
    Append, Generation, Hash, Journal, JournalKey, Opened, PAYLOAD_BYTES_MAX, Place, Record, Slot, Space, StoredRecord,
};
use crate::metrics as names;

/// The most appends that wait for the writer. Callers beyond it wait in line: with one append in
/// flight a shard it is never reached, and it bounds what a wrong caller can pile up.
pub const QUEUE_RECORDS_MAX: usize = 4096;

/// The smallest segment: its head, the ends of 1,024 shards, one record of the greatest length and the
/// end frame must fit.
pub const SEGMENT_BYTES_MIN: u64 = 512 << 10;

const _: () = assert!(
    HEAD_BYTES + (frame_bytes(ends::ENDS_BYTES_MAX) + FRAME_BYTES_MAX + HEADER_BYTES) as u64 <= SEGMENT_BYTES_MIN
);

/// How a log is laid out. What is stored already keeps its own layout.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The family of journals that the log holds.
    pub space: Space,
    /// The store's id, drawn when it was created: a log of another store is refused.
    pub store: Uuid,
    /// The store's shards.
    pub shards: ShardCount,
    /// Bytes of a new segment, at least [`SEGMENT_BYTES_MIN`]; default 64 MiB.
    pub segment_bytes: u64,
    /// How many segments are made ahead of use, at least 1; default 2. With less room on the disk than
    /// that, settlement has nowhere to go.
    pub segments_ahead: u64,
    /// The store takes no new commands from this many bytes on, views included; default without limit.
    pub bytes_max: u64,
}

impl JournalConfig {
    /// The defaults, for the log of `space` in the store with this id.
    pub fn new(space: Space, store: Uuid, shards: ShardCount) -> Self {
        Self { space, store, shards, segment_bytes: 64 << 20, segments_ahead: 2, bytes_max: u64::MAX }
    }
}

/// How much of a log opening reads. It reads whole segments, and always the last one in use; what it
/// reads is verified, and its records' places are kept in memory.
///
/// Whatever it is, each shard's end is found: each segment begins with the ends of all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFrom {
    /// All of it.
    Everything,
    /// At least this many bytes before its end.
    Last(u64),
    /// From the segment that holds this place.
    Place(Place),
}

/// A record that the views hold, and so the journal must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its journal.
    pub key: JournalKey,
    /// Its slot.
    pub slot: Slot,
    /// Its hash.
    pub hash: Hash,
}

/// What the threads of a log share.
struct Shared {
    codec: Codec,
    shards: ShardCount,
    segments: Segments,
    room: Room,
    queue: Queue,
    /// One for each append that may wait for the writer, which gives them back.
    permits: Semaphore,
    /// By the shard's number.
    indexes: Vec<Mutex<Index>>,
    /// All of the log before this position is on the disk.
    durable: AtomicU64,
    /// The last durable position that was marked.
    marked: AtomicU64,
}

impl Shared {
    fn has_room(&self) -> bool {
        let kept = self.durable.load(Ordering::Relaxed).saturating_sub(self.segments.start());
        self.room.is_left(kept)
    }
}

/// The embedded [`Journal`] of one space. Dropping it writes what is queued and ends its threads.
///
/// Runs in a tokio runtime, of which it uses the blocking threads for [`Journal::read`].
pub struct EmbeddedJournal {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    append_seconds: Histogram,
    _lock: Arc<StoreLock>,
}

impl EmbeddedJournal {
    /// Opens the log in the locked data directory; makes it if there is none. Blocks on the disk.
    ///
    /// `known` are records that the views hold. One that is after the end of its journal, or that is
    /// read and has another hash, refuses to open: the views are of another history.
    ///
    /// # Errors
    /// [`Error::Damaged`] if bytes that were durable are not what they were, with their file and
    /// offset. A tail that was never synced is no error: it is cut off.
    pub fn open(lock: Arc<StoreLock>, config: &JournalConfig, from: OpenFrom, known: &[Known]) -> Result<Self, Error> {
        let dir = directory(lock.dir(), config.space);
        let codec = Codec::new(config.store, config.space);
        let segment_bytes = config.segment_bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(HEAD_BYTES);
        let (list, headless) = files(&dir, &codec, segment_bytes)?;
        let segments = Segments::new(dir.clone(), list);
        let recovered = recover(&segments, &headless, &codec, config.shards, from, known)?;
        segments.activate(recovered.active.number);

        let room = Room::new(dir, config.bytes_max);
        room.look();
        let mut recovered = recovered;
        let indexes = std::mem::take(&mut recovered.indexes).into_iter().map(Mutex::new).collect();
        let shared = Arc::new(Shared {
            codec,
            shards: config.shards,
            segments,
            room,
            queue: Queue::default(),
            permits: Semaphore::new(QUEUE_RECORDS_MAX),
            indexes,
            durable: AtomicU64::new(recovered.position),
            marked: AtomicU64::new(0),
        });
        let writer = Writer::new(Arc::clone(&shared), recovered)?;
        let mut journal = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
            append_seconds: metrics::histogram!(names::JOURNAL_APPEND_SECONDS, names::SPACE => config.space.name()),
            _lock: lock,
        };
        journal.spawn("journal", move || writer.run())?;
        let ahead = config.segments_ahead.max(1);
        journal.spawn("segments", move || maker::run(&shared, segment_bytes, ahead))?;
        Ok(journal)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads.push(thread.map_err(|error| Error::io(format!("starting the thread {name}"), error))?);
        Ok(())
    }

    /// All durable records of the log from the one at `from` on, in the order they were written, across
    /// shards. [`Place`] 0 is the begin; any other must be a record's place.
    pub fn scan(&self, from: Place) -> Result<Scan, Error> {
        let Shared { codec, shards, segments, durable, .. } = &*self.shared;
        Scan::new(codec.clone(), *shards, segments.list(), from, durable.load(Ordering::Acquire))
    }

    /// `length` bytes at `at` in the payload of the durable record at `place`: one read of the disk.
    ///
    /// The record's checksum is not verified; what lies in a payload has one of its own. Bytes beyond
    /// any durable record are [`Error::Damaged`].
    pub fn read_bytes(&self, place: Place, at: u32, length: u32) -> Result<Bytes, Error> {
        self.shared.read_bytes(place, at, length)
    }

    /// Takes the bytes of the store beside this log: of its views. Counted against `bytes_max`.
    pub fn set_bytes_beside(&self, bytes: u64) {
        self.shared.room.set_beside(bytes);
        self.shared.segments.wake();
    }

    /// The log position up to which all is on the disk.
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// The log position up to which the log itself proves that all was on the disk. Follows
    /// [`Self::durable`] within 10 ms when nothing is queued.
    pub fn marked(&self) -> u64 {
        self.shared.marked.load(Ordering::Acquire)
    }

    /// The file and the offset in it of a log position; for tests of damage and for messages.
    pub fn file_of(&self, place: Place) -> Option<(PathBuf, u64)> {
        let segment = self.shared.segments.holding(place.0)?;
        Some((segment.path.clone(), segment.offset(place.0)))
    }

    /// Refuses what no caller may ask for.
    fn check(&self, key: JournalKey) -> Result<ShardId, Error> {
        if key.space == self.shared.codec.space && key.shard.0 < self.shared.shards.get() {
            return Ok(key.shard);
        }
        let asked = format!("shard {} of space {} is not in this log", key.shard, key.space.name());
        Err(Error::io(asked, io::ErrorKind::InvalidInput.into()))
    }
}

impl Drop for EmbeddedJournal {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.segments.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the journal panicked");
            }
        }
    }
}

#[async_trait]
impl Journal for EmbeddedJournal {
    async fn open(&self, key: JournalKey) -> Result<Opened, Error> {
        let shard = self.check(key)?;
        let (reply, opened) = oneshot::channel();
        self.shared.queue.push(Request::Open { shard, reply });
        opened.await.map_err(|_| Error::Unavailable("the journal is closed".to_owned()))
    }

    /// Cancel safe in so far as the record is then appended or not, as after [`Append::Unknown`].
    async fn append(&self, generation: Generation, record: Record) -> Result<Append, Error> {
        self.check(record.key)?;
        if record.payload.len() > PAYLOAD_BYTES_MAX {
            let asked = format!("a record of {} bytes is above the limit", record.payload.len());
            return Err(Error::io(asked, io::ErrorKind::InvalidInput.into()));
        }
        let begun = Instant::now();
        // Here rather than in the writer, which does for all shards what only it can do.
        let hash = record.hash();
        let permit = self.shared.permits.acquire().await;
        permit.map_err(|_| Error::Unavailable("the journal is closed".to_owned()))?.forget();
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Request::Append { generation, record, hash, reply });
        let answer = answer.await.unwrap_or(Append::Unknown);
        self.append_seconds.record(begun.elapsed());
        Ok(answer)
    }

    async fn read(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<StoredRecord>, Error> {
        let shard = self.check(key)?;
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || shared.read(shard, from, bytes_max)).await;
        read.map_err(|error| Error::Unavailable(format!("a read of the journal did not end: {error}")))?
    }

    fn projected(&self, key: JournalKey, through: Slot) {
        if let Some(index) = self.check(key).ok().and_then(|shard| self.shared.indexes.get(usize::from(shard.0))) {
            index.lock().forget(through);
        }
    }

    fn bytes_behind(&self, place: Place) -> u64 {
        self.durable().saturating_sub(place.0)
    }

    fn has_room(&self) -> bool {
        self.shared.has_room()
    }
}

/// Where the log of a space is under a data directory.
fn directory(data: &Path, space: Space) -> PathBuf {
    data.join("journal").join(space.name())
}

/// The files of the log in `dir`: its segments, of which the first is made if there is none, and the
/// last files without a readable head.
fn files(dir: &Path, codec: &Codec, segment_bytes: u64) -> Result<(Vec<Arc<Segment>>, Vec<PathBuf>), Error> {
    let failed = |error| Error::io(format!("making the log in {}", dir.display()), error);
    fs::create_dir_all(dir).map_err(failed)?;
    Listing::remove_unfinished(dir)?;
    let Listing { store, mut segments, headless, removed } = Listing::read(dir, codec.space)?;
    if store.is_some_and(|store| store != codec.store) {
        return Err(Error::Unknown(format!("the log in {} belongs to another store", dir.display())));
    }
    for file in &removed {
        // A crash came between saying that they go and their going.
        fs::remove_file(file).map_err(failed)?;
    }
    if segments.is_empty() {
        segments.push(Arc::new(Segment::make(dir, 1, 0, segment_bytes, codec).map_err(failed)?));
        for parent in dir.ancestors().skip(1).take(2) {
            segment::sync_directory(parent).map_err(failed)?;
        }
    }
    Ok((segments, headless))
}
