//! The files of a log in order: those with records, and those made ahead of use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ids::ShardCount;
use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use super::ends::Ends;
use super::floor::Floor;
use super::frame::{Bad, Codec, Frame, HEADER_BYTES, Kind};
use super::segment::{Segment, sync_directory};
use crate::Error;
use crate::journal::Space;

/// The most files kept open to read old records: far below the usual limit of a process.
const FILES_MAX: usize = 128;

/// What stands in a log's directory.
pub(super) struct Listing {
    /// The store's id, as the first segment says; `None` without segments.
    pub(super) store: Option<Uuid>,
    /// From the first on, without a gap.
    pub(super) segments: Vec<Arc<Segment>>,
    /// The first file without a readable head, and those after it.
    pub(super) headless: Vec<PathBuf>,
    /// Files before the log's floor: they were to be removed.
    pub(super) removed: Vec<PathBuf>,
}

impl Listing {
    /// Reads the heads of all segments of `dir`.
    pub(super) fn read(dir: &Path, space: Space) -> Result<Self, Error> {
        let failed = |error| Error::io(format!("reading {}", dir.display()), error);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            if let (Some(number), Some("log")) = (number, path.extension().and_then(|end| end.to_str())) {
                files.insert(number, path);
            }
        }
        let mut listing = Self { store: None, segments: Vec::new(), headless: Vec::new(), removed: Vec::new() };
        // A floor of what is kept for ever is none: what is missing there is missed.
        let floor = if space.is_kept_for_ever() { None } else { Floor::read(dir)? };
        listing.store = floor.map(|floor| floor.store);
        let (mut number, mut start) = floor.map_or((1, 0), |floor| (floor.segment, floor.start));
        for (found, path) in files {
            let damaged = |what: String| Error::Damaged { file: path.clone(), offset: 0, what };
            if floor.is_some_and(|floor| found < floor.segment) {
                listing.removed.push(path);
                continue;
            }
            if found != number {
                return Err(damaged(format!("segment {number}, which comes before it, is missing")));
            }
            number += 1;
            if !listing.headless.is_empty() {
                listing.headless.push(path);
                continue;
            }
            let Some((segment, store)) = Segment::read(&path, space.number())? else {
                listing.headless.push(path);
                continue;
            };
            if *listing.store.get_or_insert(store) != store {
                return Err(damaged("the segment belongs to another store".to_owned()));
            }
            if (segment.number, segment.start) != (found, start) {
                return Err(damaged("the segment does not follow the one before".to_owned()));
            }
            start = segment.end();
            listing.segments.push(Arc::new(segment));
        }
        if let Some(Floor { segment, .. }) = floor.filter(|_| listing.segments.is_empty()) {
            let file = Segment::path(dir, segment);
            return Err(Error::Damaged { file, offset: 0, what: "the log's first segment is missing".to_owned() });
        }
        match listing.headless.first() {
            Some(file) if listing.segments.is_empty() => Err(Error::Damaged {
                file: file.clone(),
                offset: 0,
                what: "the segment's head is not readable".to_owned(),
            }),
            _ => Ok(listing),
        }
    }

    /// Removes segments that were never finished.
    pub(super) fn remove_unfinished(dir: &Path) -> Result<(), Error> {
        let failed = |error| Error::io(format!("tidying {}", dir.display()), error);
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "new") {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        sync_directory(dir).map_err(failed)
    }
}

/// What the writer and the maker of segments share.
struct State {
    list: Vec<Arc<Segment>>,
    /// The number of the segment that is written now.
    active: u64,
    closing: bool,
}

/// The segments of an open log.
pub(super) struct Segments {
    pub(super) dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    files: Mutex<BTreeMap<u64, Arc<File>>>,
}

impl Segments {
    /// Of the segments found in `dir`; the first is active until [`Self::after`] is asked for more.
    pub(super) fn new(dir: PathBuf, list: Vec<Arc<Segment>>) -> Self {
        let active = list.first().map_or(1, |first| first.number);
        Self {
            dir,
            state: Mutex::new(State { list, active, closing: false }),
            changed: Condvar::new(),
            files: Mutex::default(),
        }
    }

    /// All of them, in order.
    pub(super) fn list(&self) -> Vec<Arc<Segment>> {
        self.state.lock().list.clone()
    }

    /// The one that holds `position`.
    pub(super) fn holding(&self, position: u64) -> Option<Arc<Segment>> {
        let state = self.state.lock();
        let after = state.list.partition_point(|segment| segment.start <= position);
        let segment = state.list.get(after.checked_sub(1)?)?;
        (position < segment.end()).then(|| Arc::clone(segment))
    }

    /// The log position at which the first of them begins.
    pub(super) fn start(&self) -> u64 {
        self.state.lock().list.first().map_or(0, |first| first.start)
    }

    /// The number of the segment that is written now.
    pub(super) fn active(&self) -> u64 {
        self.state.lock().active
    }

    /// Forgets the first segment, if it has this number.
    pub(super) fn remove_first(&self, number: u64) {
        let mut state = self.state.lock();
        if state.list.first().is_some_and(|first| first.number == number) {
            state.list.remove(0);
        }
        drop(state);
        self.files.lock().remove(&number);
    }

    /// Says which segment is written now.
    pub(super) fn activate(&self, number: u64) {
        self.state.lock().active = number;
        self.changed.notify_all();
    }

    /// Waits for the segment after `number` and makes it the active one; `None` if the log is closed
    /// before there is one.
    pub(super) fn after(&self, number: u64) -> Option<Arc<Segment>> {
        let mut state = self.state.lock();
        loop {
            if let Some(next) = state.list.iter().rev().find(|segment| segment.number == number + 1).cloned() {
                state.active = next.number;
                self.changed.notify_all();
                return Some(next);
            }
            if state.closing {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// The last segment, if fewer than `ahead` lie after the active one. Waits at most `patience` for
    /// that; `Err` if the log is closed.
    pub(super) fn wanted(&self, ahead: u64, patience: Duration) -> Result<Option<Arc<Segment>>, Closed> {
        let mut state = self.state.lock();
        let wanted = |state: &State| {
            let last = state.list.last()?;
            (last.number < state.active.saturating_add(ahead)).then(|| Arc::clone(last))
        };
        if !state.closing && wanted(&state).is_none() {
            self.changed.wait_for(&mut state, patience);
        }
        if state.closing { Err(Closed) } else { Ok(wanted(&state)) }
    }

    /// Waits a while, or until the log is closed.
    pub(super) fn pause(&self, patience: Duration) {
        let mut state = self.state.lock();
        if !state.closing {
            self.changed.wait_for(&mut state, patience);
        }
    }

    /// Adds a segment that was made.
    pub(super) fn add(&self, segment: Segment) {
        self.state.lock().list.push(Arc::new(segment));
        self.changed.notify_all();
    }

    /// Lets those who wait look again.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }

    /// The file of a segment, to read.
    pub(super) fn file(&self, segment: &Segment) -> Result<Arc<File>, Error> {
        if let Some(file) = self.files.lock().get(&segment.number) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(segment.open(false)?);
        let mut files = self.files.lock();
        if files.len() >= FILES_MAX {
            files.pop_first();
        }
        files.insert(segment.number, Arc::clone(&file));
        Ok(file)
    }

    /// Reads `length` bytes at `position`, all in one segment.
    pub(super) fn read(&self, position: u64, length: usize) -> Result<Bytes, Error> {
        let beyond = || Error::io(format!("reading the log at {position}"), io::ErrorKind::InvalidInput.into());
        let segment = self.holding(position).ok_or_else(beyond)?;
        if segment.end() - position < length as u64 {
            return Err(beyond());
        }
        let mut bytes = vec![0; length];
        self.file(&segment)?
            .read_exact_at(&mut bytes, segment.offset(position))
            .map_err(|error| Error::io(format!("reading {}", segment.path.display()), error))?;
        Ok(Bytes::from(bytes))
    }

    /// The frame at `position`. `Ok(Err(…))` says why there is none.
    pub(super) fn frame(&self, codec: &Codec, position: u64, guess: usize) -> Result<Result<Frame, Bad>, Error> {
        let mut length = guess.max(HEADER_BYTES);
        loop {
            let room = self.holding(position).map_or(0, |segment| segment.end() - position);
            if (length as u64) > room {
                return Ok(Err(Bad::Not("the frame goes past its segment")));
            }
            match codec.decode(&self.read(position, length)?, position) {
                Err(Bad::Short(need)) if need > length => length = need,
                other => return Ok(other),
            }
        }
    }

    /// The ends of all shards as of a segment's begin; `None` if nothing valid is written there.
    pub(super) fn ends(&self, codec: &Codec, segment: &Segment, shards: ShardCount) -> Result<Option<Ends>, Error> {
        match self.frame(codec, segment.first(), HEADER_BYTES) {
            Ok(Ok(frame)) if frame.head.kind == Kind::Ends => {
                Ends::decode(&frame.payload, shards).map(Some).ok_or_else(|| {
                    Error::Unknown(format!("{} is of a store with another number of shards", segment.path.display()))
                })
            }
            Ok(_) => Ok(None),
            // A file that was cut short holds no ends either.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The log is closed.
#[derive(Debug)]
pub(super) struct Closed;
