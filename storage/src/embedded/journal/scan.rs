//! All records of a log in the order they were written, verified: for `verify` and rebuilding views.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use domain::ids::{ShardCount, ShardId};
use uuid::Uuid;

use super::ends::{End, Ends};
use super::frame::{Codec, Frame, Kind};
use super::segment::Segment;
use super::segments::Listing;
use super::tail;
use super::walk::{Step, Walk};
use crate::Error;
use crate::journal::{Place, Space, StoredRecord};

/// Reads a log record by record, in constant memory, and checks each against its shard's chain.
///
/// A record's payload shares a mebibyte with its neighbours: keep a copy, not the record. After an
/// error the scan is over.
pub struct Scan {
    walk: Walk,
    codec: Codec,
    shards: ShardCount,
    segments: Vec<Arc<Segment>>,
    /// The last record of each shard, as far as it was seen.
    ends: HashMap<ShardId, End>,
    /// Whether a shard that was not seen has no records.
    is_whole: bool,
    /// Where the scan will end, as far as that is known.
    end: u64,
    is_over: bool,
}

impl Scan {
    /// Scans `segments` from the frame at `from`, or from the begin, up to the position `limit`.
    pub(super) fn new(
        codec: Codec,
        shards: ShardCount,
        segments: Vec<Arc<Segment>>,
        from: Place,
        limit: u64,
    ) -> Result<Self, Error> {
        let first = segments.partition_point(|segment| segment.end() <= from.0);
        let rest = segments.get(first..).unwrap_or_default().to_vec();
        let start = rest.first().map_or(from.0, |segment| segment.first().max(from.0));
        // Of a log whose first segments are gone the first that is kept says where each shard was.
        let is_whole = segments.first().is_none_or(|segment| segment.start == 0 && start == segment.first());
        let end = limit.min(segments.last().map_or(0, |segment| segment.end()));
        let walk = Walk::new(codec.clone(), rest, start, limit)?;
        Ok(Self { walk, codec, shards, segments, ends: HashMap::new(), is_whole, end, is_over: false })
    }

    /// Scans the files of a space under a data directory without taking its lock and without changing
    /// anything: of a stopped store, or of one that another process writes. It ends where the records
    /// do; a torn tail is no error.
    pub fn of_files(data: &Path, space: Space, shards: ShardCount) -> Result<Self, Error> {
        let dir = super::directory(data, space);
        let listing = Listing::read(&dir, space)?;
        let codec = Codec::new(listing.store.unwrap_or(Uuid::nil()), space);
        let mut scan = Self::new(codec, shards, listing.segments, Place(0), u64::MAX)?;
        scan.end = scan.used()?;
        Ok(scan)
    }

    /// The position after the last record that was read.
    pub fn position(&self) -> u64 {
        self.walk.position()
    }

    /// About the position at which the scan will end; for a log in use by this process exactly it.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The end of the last segment that is in use.
    fn used(&self) -> Result<u64, Error> {
        for segment in self.segments.iter().rev() {
            let mut walk = Walk::new(self.codec.clone(), vec![Arc::clone(segment)], segment.first(), u64::MAX)?;
            if matches!(walk.step()?, Step::Frame(_)) {
                return Ok(segment.end());
            }
        }
        Ok(0)
    }

    /// The next record; `None` at the end.
    fn advance(&mut self) -> Result<Option<StoredRecord>, Error> {
        loop {
            match self.walk.step()? {
                Step::Over => return Ok(None),
                Step::Frame(frame) => {
                    if let Some(record) = self.take(frame)? {
                        return Ok(Some(record));
                    }
                }
                Step::Nothing { segment, position, what } => {
                    let at = self.segments.partition_point(|other| other.number < segment.number);
                    let verdict = tail::judge(&self.codec, self.segments.get(at..).unwrap_or_default(), position, what);
                    // A writer in another process may have gone on between the two looks.
                    let again = self.walk.step()?;
                    if let Step::Frame(frame) = again {
                        if let Some(record) = self.take(frame)? {
                            return Ok(Some(record));
                        }
                        continue;
                    }
                    return verdict.map(|_| None);
                }
            }
        }
    }

    /// Checks a frame; its record, if it holds one.
    fn take(&mut self, frame: Frame) -> Result<Option<StoredRecord>, Error> {
        let position = frame.head.position;
        match frame.head.kind {
            Kind::SegmentEnd => Ok(None),
            Kind::Ends => {
                let Some(ends) = Ends::decode(&frame.payload, self.shards) else {
                    return Err(Error::Unknown("the log is of a store with another number of shards".to_owned()));
                };
                for (shard, end) in (0..).map(ShardId).zip(ends.iter()) {
                    let seen = self.ends.get(&shard).copied();
                    let expected = if self.is_whole { Some(seen.unwrap_or_default()) } else { seen };
                    if expected.is_some_and(|expected| expected != *end) {
                        let what = format!("the segment begins with another end of shard {shard} than the log has");
                        return Err(self.damaged(position, &what));
                    }
                    self.ends.insert(shard, *end);
                }
                self.is_whole = true;
                Ok(None)
            }
            Kind::Record => {
                let head = frame.clone();
                let shard = head.head.shard;
                let record = frame.into_record(self.codec.space);
                let hash = record.hash();
                let place = Place(position);
                let seen = self.ends.get(&shard).copied();
                let end = match seen.or(self.is_whole.then(End::default)) {
                    Some(end) => end.then(&head, hash).map_err(|what| self.damaged(position, what))?,
                    None => End { slot: record.slot, term: record.term, at: record.at, hash, place },
                };
                self.ends.insert(shard, end);
                Ok(Some(StoredRecord { record, hash, place }))
            }
        }
    }

    fn damaged(&self, position: u64, what: &str) -> Error {
        let at = self.segments.partition_point(|segment| segment.end() <= position);
        match self.segments.get(at) {
            Some(segment) => segment.damaged(position, what),
            None => Error::Unknown(what.to_owned()),
        }
    }
}

impl Iterator for Scan {
    type Item = Result<StoredRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.advance().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
