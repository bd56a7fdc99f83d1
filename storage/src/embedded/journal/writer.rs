//! The only thread that writes a log: checks, writes, syncs, then answers.
//!
//! A tick is whatever queued during the last sync; it has no timer. All its records, of all shards, go
//! to the disk in one write and one sync. Nothing is answered before that sync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::ids::ShardId;
use metrics::{Gauge, Histogram};
use tokio::sync::oneshot;

use super::Shared;
use super::ends::{ENDS_BYTES_MAX, End, Ends};
use super::frame::{HEADER_BYTES, Head, Kind, frame_bytes};
use super::index::Spot;
use super::queue::{Request, Taken};
use super::recover::Recovered;
use super::segment::Segment;
use crate::journal::{Append, Generation, Hash, Opened, Place, Record};
use crate::metrics as names;

/// A tick is written at the latest when this much is gathered: the disk takes more no faster.
const TICK_BYTES_MAX: usize = 1 << 20;

/// How long after a sync, when nothing is queued, the mark is written. Long enough that a log under a
/// light load does not write one for each record.
const MARK_AFTER: Duration = Duration::from_millis(5);

/// Something to tell when the tick is on the disk.
enum Answer {
    Durable { reply: oneshot::Sender<Append>, shard: ShardId, spot: Spot },
    Append { reply: oneshot::Sender<Append>, answer: Append },
    Open { reply: oneshot::Sender<Opened>, opened: Opened },
}

/// What the writer measures.
struct Meters {
    fsync_seconds: Histogram,
    record_bytes: Histogram,
    tick_records: Histogram,
    log_bytes: Gauge,
}

/// The writer of a log.
pub(super) struct Writer {
    shared: Arc<Shared>,
    ends: Ends,
    /// The writer generation of each shard, by its number.
    generations: Vec<u64>,
    active: Arc<Segment>,
    file: File,
    /// Whether the active segment is closed by its end frame.
    ended: bool,
    /// Where the next frame goes.
    position: u64,
    /// All before it is on the disk.
    durable: u64,
    /// The tick: frames up to `position` that are not written yet.
    buffer: Vec<u8>,
    answers: Vec<Answer>,
    /// The last durable length that was marked, and how often a mark was written.
    marked: u64,
    marks: u64,
    meters: Meters,
}

impl Writer {
    /// The writer of a log that was recovered.
    pub(super) fn new(shared: Arc<Shared>, recovered: Recovered) -> Result<Self, crate::Error> {
        let space = shared.codec.space.name();
        Ok(Self {
            generations: vec![0; recovered.ends.iter().count()],
            ends: recovered.ends,
            file: recovered.active.open(true)?,
            active: recovered.active,
            ended: recovered.ended,
            position: recovered.position,
            durable: recovered.position,
            buffer: Vec::with_capacity(TICK_BYTES_MAX),
            answers: Vec::new(),
            marked: 0,
            marks: 0,
            meters: Meters {
                fsync_seconds: metrics::histogram!(names::JOURNAL_FSYNC_SECONDS, names::SPACE => space),
                record_bytes: metrics::histogram!(names::JOURNAL_RECORD_BYTES, names::SPACE => space),
                tick_records: metrics::histogram!(names::JOURNAL_TICK_RECORDS, names::SPACE => space),
                log_bytes: metrics::gauge!(names::JOURNAL_LOG_BYTES, names::SPACE => space),
            },
            shared,
        })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut requests = Vec::new();
        loop {
            let patience = (self.marked != self.durable).then_some(MARK_AFTER);
            match shared.queue.take(&mut requests, patience) {
                Taken::Requests => {}
                Taken::Nothing => {
                    self.mark();
                    continue;
                }
                Taken::Closed => break,
            }
            for request in requests.drain(..) {
                self.handle(request);
                if self.buffer.len() >= TICK_BYTES_MAX {
                    self.flush();
                }
            }
            self.flush();
        }
        self.mark();
        if let Err(error) = self.file.sync_data() {
            self.die("syncing the mark", &error);
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Open { shard, reply } => self.open(shard, reply),
            Request::Append { generation, record, hash, reply } => self.append(generation, &record, hash, reply),
        }
    }

    /// Raises the generation at once; what it answers is true when the tick before it is durable.
    fn open(&mut self, shard: ShardId, reply: oneshot::Sender<Opened>) {
        let Some(generation) = self.generations.get_mut(usize::from(shard.0)) else { return };
        *generation += 1;
        let generation = Generation(*generation);
        let Some(End { slot, term, at, hash, .. }) = self.ends.of(shard).copied() else { return };
        self.answers.push(Answer::Open { reply, opened: Opened { generation, last: slot, hash, term, at } });
    }

    /// Takes a record into the tick, if its writer still is one and it fits the end of its journal.
    fn append(&mut self, generation: Generation, record: &Record, hash: Hash, reply: oneshot::Sender<Append>) {
        let shard = record.key.shard;
        let Some(end) = self.ends.of(shard).copied() else { return };
        let answer = if self.generations.get(usize::from(shard.0)) != Some(&generation.0) {
            Some(Append::Fenced)
        } else if record.slot == end.slot && hash == end.hash {
            // The same record again, from a writer that did not hear the first answer.
            Some(Append::Durable { place: end.place })
        } else if record.slot != end.slot.next() || record.previous != end.hash {
            Some(Append::Fenced)
        } else {
            None
        };
        if let Some(answer) = answer {
            self.answers.push(Answer::Append { reply, answer });
            return;
        }
        let bytes = frame_bytes(record.payload.len());
        if !self.make_room(bytes) {
            // Closed while no segment was left: nothing is written, and the reply's end says so.
            self.shared.permits.add_permits(1);
            return;
        }
        let head = Head {
            kind: Kind::Record,
            position: self.position,
            durable: self.durable,
            shard,
            slot: record.slot,
            term: record.term,
            at: record.at,
            previous: record.previous,
        };
        let place = Place(self.position);
        self.put(&head, &record.payload);
        if let Some(end) = self.ends.of_mut(shard) {
            *end = End { slot: record.slot, term: record.term, at: record.at, hash, place };
        }
        #[allow(clippy::cast_precision_loss, reason = "a record has at most 256 KiB")]
        self.meters.record_bytes.record(record.payload.len() as f64);
        let spot = Spot { place, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) };
        self.answers.push(Answer::Durable { reply, shard, spot });
    }

    /// Makes sure that a frame of this length, and an end frame after it, fit into the active segment.
    /// `false` if the log is closed while no segment is left.
    fn make_room(&mut self, bytes: usize) -> bool {
        let ends = if self.position == self.active.first() { frame_bytes(ENDS_BYTES_MAX) } else { 0 };
        let end = self.position + (ends + bytes + HEADER_BYTES) as u64;
        if !self.ended && end > self.active.end() {
            // All of a segment is on the disk before the next one is begun.
            self.put(&Head::note(Kind::SegmentEnd, self.position, self.durable), &[]);
            self.ended = true;
            self.flush();
        }
        if self.ended && !self.enter_next() {
            return false;
        }
        if self.position == self.active.first() {
            let ends = self.ends.encode();
            self.put(&Head::note(Kind::Ends, self.position, self.durable), &ends);
        }
        true
    }

    /// Goes on in the next segment; waits until there is one.
    fn enter_next(&mut self) -> bool {
        // What is answered needs no room.
        self.flush();
        let Some(next) = self.shared.segments.after(self.active.number) else { return false };
        match next.open(true) {
            Ok(file) => self.file = file,
            Err(error) => self.die("opening the next segment", &error),
        }
        self.position = next.first();
        self.durable = self.position;
        self.shared.durable.store(self.durable, Ordering::Release);
        self.active = next;
        self.ended = false;
        true
    }

    /// Adds a frame to the tick.
    fn put(&mut self, head: &Head, payload: &[u8]) {
        let before = self.buffer.len();
        self.shared.codec.encode(&mut self.buffer, head, payload);
        self.position += (self.buffer.len() - before) as u64;
    }

    /// Writes the tick, syncs it, and tells.
    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let from = self.position - self.buffer.len() as u64;
            if let Err(error) = self.file.write_all_at(&self.buffer, self.active.offset(from)) {
                self.die("writing records", &error);
            }
            let begun = Instant::now();
            if let Err(error) = self.file.sync_data() {
                self.die("syncing records", &error);
            }
            self.meters.fsync_seconds.record(begun.elapsed());
            self.buffer.clear();
            self.durable = self.position;
            self.shared.durable.store(self.durable, Ordering::Release);
        }
        if !self.answers.is_empty() {
            self.tell();
        }
    }

    /// Answers what the tick holds. A caller that has gone away is no matter: its record stands.
    fn tell(&mut self) {
        let (mut appends, mut records) = (0, 0_u32);
        for answer in self.answers.drain(..) {
            let gone = match answer {
                Answer::Durable { reply, shard, spot } => {
                    if let Some(index) = self.shared.indexes.get(usize::from(shard.0)) {
                        index.lock().push(spot);
                    }
                    appends += 1;
                    records += 1;
                    reply.send(Append::Durable { place: spot.place }).is_err()
                }
                Answer::Append { reply, answer } => {
                    appends += 1;
                    reply.send(answer).is_err()
                }
                Answer::Open { reply, opened } => reply.send(opened).is_err(),
            };
            if gone {
                tracing::debug!("an append's caller has gone away before its answer");
            }
        }
        self.shared.permits.add_permits(appends);
        if records > 0 {
            self.meters.tick_records.record(records);
            #[allow(clippy::cast_precision_loss, reason = "a gauge; exact up to 8 PiB")]
            self.meters.log_bytes.set(self.durable as f64);
        }
    }

    /// Writes in the segment's head how far the log is on the disk. Not synced: a later sync takes it
    /// along, and if it is lost, only a proof is, not a record.
    fn mark(&mut self) {
        if let Err(error) = self.active.mark(&self.file, &self.shared.codec, self.durable, self.marks) {
            self.die("writing a mark", &error);
        }
        self.marks += 1;
        self.marked = self.durable;
        self.shared.marked.store(self.marked, Ordering::Release);
    }

    /// Ends the process: after a failed write or sync nobody knows what is on the disk, and a sync that
    /// is tried again may succeed without having written it. The next start finds out.
    fn die(&self, doing: &str, error: &dyn std::fmt::Display) -> ! {
        tracing::error!(
            file = %self.active.path.display(),
            position = self.durable,
            %error,
            "{doing} failed: the process ends, because nobody knows what the disk holds"
        );
        std::process::abort()
    }
}
