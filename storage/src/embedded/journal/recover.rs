//! Opening a log: what its last segments say about each shard, and where it goes on.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use domain::ids::{ShardCount, ShardId};

use super::ends::Ends;
use super::frame::{Codec, Frame, Kind};
use super::index::{Index, Spot};
use super::segment::{Segment, sync_directory};
use super::segments::Segments;
use super::tail;
use super::walk::{Step, Walk, read_padded};
use super::{Known, OpenFrom};
use crate::Error;
use crate::journal::Place;

/// An open log as its writer finds it.
pub(super) struct Recovered {
    pub(super) ends: Ends,
    /// By the shard's number.
    pub(super) indexes: Vec<Index>,
    pub(super) active: Arc<Segment>,
    /// Where the next frame goes, unless the active segment has ended.
    pub(super) position: u64,
    /// Whether the log goes on in a segment that is not made yet.
    pub(super) ended: bool,
}

/// Recovers the log in `segments`, and makes sure that what it answers is on the disk.
///
/// `headless` are the last files of the log without a readable head.
pub(super) fn recover(
    segments: &Segments,
    headless: &[PathBuf],
    codec: &Codec,
    shards: ShardCount,
    from: OpenFrom,
    known: &[Known],
) -> Result<Recovered, Error> {
    let list = segments.list();
    let (start, ends) = start(segments, &list, codec, shards, from)?;
    let rest = list.get(start..).unwrap_or_default();
    let Some(first) = rest.first() else {
        return Err(Error::Unavailable("the log has no segment".to_owned()));
    };
    let mut shards = Shards::new(ends, shards, codec.clone(), known);
    shards.check_known_at_start(first)?;

    let mut walk = Walk::new(codec.clone(), rest.to_vec(), first.first(), u64::MAX)?;
    let mut active = Arc::clone(first);
    let mut durable = 0;
    let ended = loop {
        match walk.step()? {
            Step::Frame(frame) => {
                if frame.head.position >= active.end() {
                    active = segments.holding(frame.head.position).unwrap_or(active);
                }
                durable = durable.max(frame.head.durable);
                shards.take(&active, frame)?;
            }
            Step::Nothing { segment, position, what } => {
                let after = list.partition_point(|other| other.number < segment.number);
                let torn = list.get(after..).unwrap_or_default();
                let written = tail::judge(codec, torn, position, what)?;
                tail::cut(torn, position, written)?;
                active = segment;
                break false;
            }
            Step::Over => break true,
        }
    };
    let position = walk.position();
    shards.check_known_at_end(&active, position)?;
    drop_headless(segments, headless, ended)?;
    write_again(&active, codec, durable, position)?;
    Ok(Recovered { ends: shards.ends, indexes: shards.indexes, active, position, ended })
}

/// Where to start reading: a segment that begins with valid ends, or the first one.
fn start(
    segments: &Segments,
    list: &[Arc<Segment>],
    codec: &Codec,
    shards: ShardCount,
    from: OpenFrom,
) -> Result<(usize, Ends), Error> {
    let mut newest = 0;
    for (at, segment) in list.iter().enumerate().rev() {
        if segments.ends(codec, segment, shards)?.is_some() {
            newest = at;
            break;
        }
    }
    let newest_start = list.get(newest).map_or(0, |segment| segment.start);
    let wanted = match from {
        OpenFrom::Everything => 0,
        OpenFrom::Last(bytes) => newest_start.saturating_sub(bytes),
        OpenFrom::Place(place) => place.0.min(newest_start),
    };
    let mut at = list.partition_point(|segment| segment.end() <= wanted).min(newest);
    while at > 0 {
        if let Some(segment) = list.get(at)
            && let Some(ends) = segments.ends(codec, segment, shards)?
        {
            return Ok((at, ends));
        }
        at -= 1;
    }
    match list.first() {
        // Retention has removed what was before: the first that is left says where each shard was.
        Some(first) if first.start > 0 => match segments.ends(codec, first, shards)? {
            Some(ends) => Ok((0, ends)),
            None => Err(first.damaged(first.first(), "the log's first segment does not begin with the shards' ends")),
        },
        _ => Ok((0, Ends::empty(shards))),
    }
}

/// What the walk has learnt of the shards.
struct Shards {
    codec: Codec,
    count: ShardCount,
    ends: Ends,
    indexes: Vec<Index>,
    known: HashMap<ShardId, Known>,
}

impl Shards {
    fn new(ends: Ends, count: ShardCount, codec: Codec, known: &[Known]) -> Self {
        let indexes = ends.iter().map(|end| Index::after(end.slot)).collect();
        let known = known.iter().filter(|known| known.key.space == codec.space);
        let known = known.map(|known| (known.key.shard, *known)).collect();
        Self { codec, count, ends, indexes, known }
    }

    /// Takes the next frame of the log.
    fn take(&mut self, segment: &Segment, frame: Frame) -> Result<(), Error> {
        let position = frame.head.position;
        match frame.head.kind {
            Kind::SegmentEnd => Ok(()),
            Kind::Ends => {
                if Ends::decode(&frame.payload, self.count).as_ref() == Some(&self.ends) {
                    Ok(())
                } else {
                    Err(segment.damaged(position, "the segment begins with other ends than the log before it has"))
                }
            }
            Kind::Record => {
                let spot = Spot { place: Place(position), bytes: u32::try_from(frame.end() - position).unwrap_or(0) };
                let shard = frame.head.shard;
                let head = frame.clone();
                let hash = frame.into_record(self.codec.space).hash();
                let unknown =
                    || Error::Unknown(format!("the log has a record of shard {shard}, which the store has not"));
                let end = self.ends.of_mut(shard).ok_or_else(unknown)?;
                *end = end.then(&head, hash).map_err(|what| segment.damaged(position, what))?;
                let known = self.known.get(&shard);
                if known.is_some_and(|known| known.slot == end.slot && known.hash != hash) {
                    return Err(segment.damaged(position, "the record is not the one that the views hold"));
                }
                let index = self.indexes.get_mut(usize::from(shard.0)).ok_or_else(unknown)?;
                index.push(spot);
                if let Some(known) = known.filter(|known| known.slot <= end.slot) {
                    index.forget(known.slot);
                }
                Ok(())
            }
        }
    }

    /// Checks the positions of shards whose last record is before the part that is read.
    fn check_known_at_start(&self, segment: &Segment) -> Result<(), Error> {
        for known in self.known.values() {
            if self.ends.of(known.key.shard).is_some_and(|end| end.slot == known.slot && end.hash != known.hash) {
                let what = format!("shard {} is not the one that the views hold", known.key.shard);
                return Err(segment.damaged(segment.first(), what));
            }
        }
        Ok(())
    }

    /// Refuses positions after the end of a shard's records.
    fn check_known_at_end(&self, segment: &Segment, position: u64) -> Result<(), Error> {
        for Known { key, slot, .. } in self.known.values() {
            let last = self.ends.of(key.shard).map_or(0, |end| end.slot.0);
            if slot.0 > last {
                let what =
                    format!("views hold slot {} of shard {}, whose journal ends at slot {last}", slot.0, key.shard);
                return Err(segment.damaged(position, what));
            }
        }
        Ok(())
    }
}

/// Removes made-ahead segments whose heads are not readable; refuses if one of them was in use.
fn drop_headless(segments: &Segments, headless: &[PathBuf], ended: bool) -> Result<(), Error> {
    let Some(first) = headless.first() else { return Ok(()) };
    if ended {
        let what = "the segment's head is not readable, and the log goes on in it".to_owned();
        return Err(Error::Damaged { file: first.clone(), offset: 0, what });
    }
    for file in headless.iter().rev() {
        tracing::warn!(file = %file.display(), "removing a segment that was never used and is not readable");
        fs::remove_file(file).map_err(|error| Error::io(format!("removing {}", file.display()), error))?;
    }
    sync_directory(&segments.dir).map_err(|error| Error::io("syncing the journal's directory", error))
}

/// Writes what may not be on the disk again and syncs it.
///
/// A process that was killed leaves frames in the page cache only. One that ended at a failed sync may
/// leave pages that the system wrongly holds for written: writing them again makes them dirty, so that
/// this sync is worth something.
fn write_again(active: &Segment, codec: &Codec, durable: u64, position: u64) -> Result<(), Error> {
    let failed = |error| Error::io(format!("syncing {}", active.path.display()), error);
    let file = active.open(true)?;
    let mut from = durable.max(active.marked(&file, codec)).max(active.first());
    while from < position {
        let length = (position - from).min(1 << 20);
        let bytes = read_padded(active, &file, from, length)?;
        file.write_all_at(&bytes, active.offset(from)).map_err(failed)?;
        from += length;
    }
    file.sync_all().map_err(failed)
}
