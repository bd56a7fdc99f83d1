//! From the number of a money entry to its event, by halving: each event says how many entries there are up to it.
//!
//! First the bucket, from the last one back, in which most look; then the event within it.

use storage::Error;
use uuid::Uuid;

use super::{BUCKET_EVENTS, CqlViews, PAGE_ROWS};
use crate::number::{from_cql, to_cql};
use crate::statements::Named;

impl CqlViews {
    /// The offset of the event that holds entry number `entry`.
    pub(super) async fn find_entry(&self, stream: Uuid, entry: u64) -> Result<Option<u64>, Error> {
        if entry == 0 {
            return Ok(None);
        }
        let Some((bucket, last)) = self.bucket_of_entry(stream, entry).await? else { return Ok(None) };
        // All at or before `low` have fewer; `answer` is the first found so far that has as many, and between them
        // only what is before `end` was not looked at.
        let (mut low, mut end, mut answer) = (from_cql(bucket)?.saturating_mul(BUCKET_EVENTS), last, last);
        if let Some((first, entries)) = self.entries_from(stream, bucket, low).await? {
            if entries >= entry {
                // Entries before the first row that there is belong to events that are not projected here.
                let is_known = first == 1 || !self.before(stream, first, 1).await?.is_empty();
                return Ok(is_known.then_some(first));
            }
            low = first;
        }
        while end.saturating_sub(low) > 1 {
            let middle = low + (end - low) / 2;
            match self.entries_from(stream, bucket, middle).await? {
                Some((offset, entries)) if entries < entry => low = offset,
                Some((offset, _)) => (answer, end) = (offset, middle),
                None => end = middle,
            }
        }
        Ok(Some(answer))
    }

    /// The first bucket whose last event has at least so many entries up to it, and that event.
    async fn bucket_of_entry(&self, stream: Uuid, entry: u64) -> Result<Option<(i64, u64)>, Error> {
        let mut found = None;
        let mut before = i64::MAX;
        loop {
            let buckets = self.buckets_before(stream, before, PAGE_ROWS).await?;
            // Descending: the buckets that reach the entry come first.
            let (mut reach, mut miss) = (0, buckets.len());
            while reach < miss {
                let middle = reach + (miss - reach) / 2;
                let Some((bucket, _)) = buckets.get(middle) else { break };
                match self.entries_last(stream, *bucket).await? {
                    Some((last, entries)) if entries >= entry => {
                        found = Some((*bucket, last));
                        reach = middle + 1;
                    }
                    _ => miss = middle,
                }
            }
            match buckets.last() {
                Some((last, _)) if reach == PAGE_ROWS => before = *last,
                _ => return Ok(found),
            }
        }
    }

    /// The first event at or after an offset in a bucket, and how many entries there are up to it.
    async fn entries_from(&self, stream: Uuid, bucket: i64, offset: u64) -> Result<Option<(u64, u64)>, Error> {
        let values = (self.space(), stream, bucket, to_cql(offset)?);
        numbers(self.cql.row(Named::EntriesFrom, values).await?)
    }

    /// The last event of a bucket, and how many entries there are up to it.
    async fn entries_last(&self, stream: Uuid, bucket: i64) -> Result<Option<(u64, u64)>, Error> {
        numbers(self.cql.row(Named::EntriesLast, (self.space(), stream, bucket)).await?)
    }
}

fn numbers(row: Option<(i64, i64)>) -> Result<Option<(u64, u64)>, Error> {
    row.map(|(offset, entries)| Ok((from_cql(offset)?, from_cql(entries)?))).transpose()
}
