//! The old end of a log with retention: what its first segment holds, and its removal.

use std::fs;
use std::io;
use std::sync::Arc;

use domain::time::Timestamp;

use super::EmbeddedJournal;
use super::floor::Floor;
use super::scan::Scan;
use super::segment::{Segment, sync_directory};
use crate::Error;
use crate::journal::{OldSegment, Place, Retention, StoredRecord};

impl EmbeddedJournal {
    /// The log's first segment and the one after it, if that is in use: the first is then full, and all
    /// of it is on the disk.
    fn first_two(&self) -> Option<(Arc<Segment>, Arc<Segment>)> {
        let list = self.shared.segments.list();
        let [first, second, ..] = list.as_slice() else { return None };
        (self.shared.segments.active() > first.number && second.first() < self.durable())
            .then(|| (Arc::clone(first), Arc::clone(second)))
    }

    /// Refuses what is not the log's first segment.
    fn first(&self, segment: &OldSegment) -> Result<(Arc<Segment>, Arc<Segment>), Error> {
        let gone = || Error::Unavailable(format!("segment {} is not the log's first", segment.number));
        self.first_two().filter(|(first, _)| first.number == segment.number).ok_or_else(gone)
    }
}

impl Retention for EmbeddedJournal {
    fn oldest(&self) -> Result<Option<OldSegment>, Error> {
        let Some((first, second)) = self.first_two() else { return Ok(None) };
        // The next segment begins with the last record of each shard before it.
        let ends = self.shared.segments.ends(&self.shared.codec, &second, self.shared.shards)?;
        let Some(ends) = ends else {
            return Err(second.damaged(second.first(), "the segment does not begin with the shards' ends"));
        };
        let newest = ends.iter().map(|end| end.at).max().unwrap_or(Timestamp::EPOCH);
        let through = ends.iter().map(|end| end.slot).collect();
        let log_bytes = self.durable().saturating_sub(first.start);
        Ok(Some(OldSegment { number: first.number, newest, through, log_bytes }))
    }

    fn records(
        &self,
        segment: &OldSegment,
    ) -> Result<Box<dyn Iterator<Item = Result<StoredRecord, Error>> + Send>, Error> {
        let (first, second) = self.first(segment)?;
        let from = Place(first.first());
        let scan = Scan::new(self.shared.codec.clone(), self.shared.shards, vec![first], from, second.start)?;
        Ok(Box::new(scan))
    }

    fn remove(&self, segment: &OldSegment) -> Result<(), Error> {
        let codec = &self.shared.codec;
        if codec.space.is_kept_for_ever() {
            let what = format!("the log of space {} is kept for ever", codec.space.name());
            return Err(Error::io(what, io::ErrorKind::InvalidInput.into()));
        }
        let (first, second) = self.first(segment)?;
        let dir = &self.shared.segments.dir;
        Floor { store: codec.store, segment: second.number, start: second.start }.write(dir)?;
        self.shared.segments.remove_first(first.number);
        let failed = |error| Error::io(format!("removing {}", first.path.display()), error);
        fs::remove_file(&first.path).map_err(failed)?;
        sync_directory(dir).map_err(failed)?;
        tracing::info!(file = %first.path.display(), "removed a segment whose time is over");
        // Its bytes are free: a maker that waited for room may go on.
        self.shared.segments.wake();
        Ok(())
    }
}
