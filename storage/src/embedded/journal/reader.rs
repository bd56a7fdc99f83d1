//! Reading records of one shard: new ones by the index, old ones by a search over the segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use domain::ids::ShardId;

use super::Shared;
use super::frame::{Bad, Frame, HEADER_BYTES, Kind};
use super::index::{Found, Spot};
use super::segment::Segment;
use super::walk::{Step, Walk};
use crate::Error;
use crate::journal::{PAYLOAD_BYTES_MAX, Place, Slot, StoredRecord};

impl Shared {
    /// As [`crate::journal::Journal::read`].
    pub(super) fn read(&self, shard: ShardId, from: Slot, bytes_max: usize) -> Result<Vec<StoredRecord>, Error> {
        let mut batch = RecordBatch { records: Vec::new(), bytes: 0, bytes_max };
        let mut slot = Slot(from.0.max(1));
        while !batch.is_full() {
            let found = self.indexes.get(usize::from(shard.0)).map_or(Found::After, |index| index.lock().find(slot));
            match found {
                Found::After => break,
                Found::Here(spot) if spot.place.0 >= self.segments.start() => {
                    let frame = self.frame_at(spot)?;
                    self.take(&mut batch, frame, shard, slot)?;
                }
                Found::Here(_) | Found::Older => {
                    let Some(segment) = self.segment_of(shard, slot)? else {
                        slot = self.first_kept(shard, slot)?;
                        continue;
                    };
                    self.read_older(&mut batch, segment, shard, slot)?;
                }
            }
            slot = batch.records.last().map_or(slot, |last| last.record.slot.next());
        }
        Ok(batch.records)
    }

    /// The frame of a record in the index.
    fn frame_at(&self, spot: Spot) -> Result<Frame, Error> {
        let position = spot.place.0;
        let guess = usize::try_from(spot.bytes).unwrap_or(HEADER_BYTES);
        self.segments.frame(&self.codec, position, guess)?.map_err(|bad| match bad {
            Bad::Not(what) => self.damaged(position, what),
            Bad::Short(_) => self.damaged(position, "the record's frame is cut"),
        })
    }

    /// Reads the records of `shard` from `slot` on that are in the same segment as that one.
    fn read_older(
        &self,
        batch: &mut RecordBatch,
        segment: Arc<Segment>,
        shard: ShardId,
        slot: Slot,
    ) -> Result<(), Error> {
        let (first, limit) = (segment.first(), self.durable.load(Ordering::Acquire));
        let mut next = slot;
        let mut walk = Walk::new(self.codec.clone(), vec![segment], first, limit)?;
        while !batch.is_full() {
            match walk.step()? {
                Step::Frame(mut frame) => {
                    let head = &frame.head;
                    if head.kind == Kind::Record && head.shard == shard && head.slot >= next {
                        // So that a record that is kept does not keep the whole chunk it was read in.
                        frame.payload = Bytes::copy_from_slice(&frame.payload);
                        self.take(batch, frame, shard, next)?;
                        next = next.next();
                    }
                }
                Step::Nothing { segment, position, what } => return Err(segment.damaged(position, what)),
                Step::Over => break,
            }
        }
        if next == slot {
            return Err(self.damaged(first, &format!("slot {} of shard {shard} is not in its segment", slot.0)));
        }
        Ok(())
    }

    /// The segment that holds this record: the last one that begins with an earlier end of the shard.
    /// `None` if the record is before all of them.
    fn segment_of(&self, shard: ShardId, slot: Slot) -> Result<Option<Arc<Segment>>, Error> {
        let list = self.segments.list();
        let durable = self.durable.load(Ordering::Acquire);
        let used = list.partition_point(|segment| segment.first() < durable);
        let (mut low, mut high) = (0, used);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(segment) = list.get(middle) else { break };
            let Some(ends) = self.segments.ends(&self.codec, segment, self.shards)? else {
                return Err(segment.damaged(segment.first(), "the segment does not begin with the shards' ends"));
            };
            if ends.of(shard).is_some_and(|end| end.slot < slot) { low = middle + 1 } else { high = middle }
        }
        Ok(low.checked_sub(1).and_then(|at| list.get(at).cloned()))
    }

    /// The first slot of `shard` that retention has left, which is after `slot`.
    fn first_kept(&self, shard: ShardId, slot: Slot) -> Result<Slot, Error> {
        let list = self.segments.list();
        let first = list.first().filter(|first| first.start > 0);
        let ends = first.map(|first| self.segments.ends(&self.codec, first, self.shards)).transpose()?.flatten();
        let kept = ends.and_then(|ends| ends.of(shard).map(|end| end.slot.next()));
        kept.filter(|kept| *kept > slot)
            .ok_or_else(|| self.damaged(0, &format!("slot {} of shard {shard} is in no segment", slot.0)))
    }

    /// Checks a frame against what was looked for and against the chain, and takes it.
    fn take(&self, batch: &mut RecordBatch, frame: Frame, shard: ShardId, slot: Slot) -> Result<(), Error> {
        let head = frame.head;
        if (head.kind, head.shard, head.slot) != (Kind::Record, shard, slot) {
            return Err(self.damaged(head.position, &format!("it is not slot {} of shard {shard}", slot.0)));
        }
        if batch.records.last().is_some_and(|last| last.hash != head.previous) {
            return Err(self.damaged(head.position, "the record's previous hash is not that of the one before"));
        }
        let record = frame.into_record(self.codec.space);
        let hash = record.hash();
        batch.bytes = batch.bytes.saturating_add(record.payload.len());
        batch.records.push(StoredRecord { hash, place: Place(head.position), record });
        Ok(())
    }

    /// As [`super::EmbeddedJournal::read_bytes`].
    pub(super) fn read_bytes(&self, place: Place, at: u32, length: u32) -> Result<Bytes, Error> {
        let (at, length) = (u64::from(at), usize::try_from(length).unwrap_or(usize::MAX));
        let begin = place.0.saturating_add(HEADER_BYTES as u64).saturating_add(at);
        let inside = at.saturating_add(length as u64) <= PAYLOAD_BYTES_MAX as u64
            && begin.saturating_add(length as u64) <= self.durable.load(Ordering::Acquire)
            && self
                .segments
                .holding(place.0)
                .is_some_and(|segment| place.0 >= segment.first() && begin < segment.end());
        if !inside {
            return Err(self.damaged(place.0, &format!("no record has bytes {at} to {}", at + length as u64)));
        }
        self.segments.read(begin, length)
    }

    /// That the bytes at `position` are not what they were.
    fn damaged(&self, position: u64, what: &str) -> Error {
        match self.segments.holding(position) {
            Some(segment) => segment.damaged(position, what),
            None => Error::Damaged { file: self.segments.dir.clone(), offset: position, what: what.to_owned() },
        }
    }
}

/// Records of one read.
struct RecordBatch {
    records: Vec<StoredRecord>,
    bytes: usize,
    bytes_max: usize,
}

impl RecordBatch {
    fn is_full(&self) -> bool {
        !self.records.is_empty() && self.bytes >= self.bytes_max
    }
}
