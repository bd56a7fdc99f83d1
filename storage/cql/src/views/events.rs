//! Reading events in order, across partitions: within one until it ends, then in the next that the directory names.

use bytes::Bytes;
use storage::Error;
use storage::views::StoredEvent;
use uuid::Uuid;

use super::{BUCKET_EVENTS, CqlViews, PAGE_ROWS};
use crate::number::{bound, from_cql, limit, to_cql};
use crate::statements::Named;

impl CqlViews {
    /// Events with an offset above `after`, ascending.
    pub(super) async fn after(&self, stream: Uuid, after: u64, count: usize) -> Result<Vec<StoredEvent>, Error> {
        let mut found = Vec::new();
        let Some(first) = after.checked_add(1) else { return Ok(found) };
        let (mut after, mut bucket) = (bound(after), bound(first / BUCKET_EVENTS));
        while found.len() < count {
            let page = (count - found.len()).min(PAGE_ROWS);
            let values = (self.space(), stream, bucket, after, limit(page));
            let rows = self.cql.rows::<(i64, Bytes)>(Named::EventsAfter, values).await?;
            let is_last = rows.len() < page;
            after = rows.last().map_or(after, |(number, _)| *number);
            append(&mut found, rows)?;
            if is_last && found.len() < count {
                match self.next_bucket(stream, bucket).await? {
                    Some(next) => bucket = next,
                    None => break,
                }
            }
        }
        Ok(found)
    }

    /// Events with an offset below `before`, descending.
    pub(super) async fn before(&self, stream: Uuid, before: u64, count: usize) -> Result<Vec<StoredEvent>, Error> {
        let mut found = Vec::new();
        let Some(last) = before.checked_sub(1) else { return Ok(found) };
        let mut upto = bound(last);
        let mut bucket = to_cql(from_cql(upto)? / BUCKET_EVENTS)?;
        while found.len() < count {
            let page = (count - found.len()).min(PAGE_ROWS);
            let values = (self.space(), stream, bucket, upto, limit(page));
            let rows = self.cql.rows::<(i64, Bytes)>(Named::EventsUpTo, values).await?;
            let is_last = rows.len() < page;
            upto = rows.last().map_or(upto, |(number, _)| number.saturating_sub(1));
            append(&mut found, rows)?;
            if is_last && found.len() < count {
                match self.buckets_before(stream, bucket, 1).await?.pop() {
                    Some((earlier, _)) => bucket = earlier,
                    None => break,
                }
            }
        }
        Ok(found)
    }

    /// The first bucket after this one.
    pub(super) async fn next_bucket(&self, stream: Uuid, bucket: i64) -> Result<Option<i64>, Error> {
        let values = (self.space(), stream, bucket, limit(1));
        Ok(self.cql.row::<(i64, i64)>(Named::BucketsAfter, values).await?.map(|(bucket, _)| bucket))
    }

    /// The last buckets before this one, descending, with their stamps.
    pub(super) async fn buckets_before(
        &self,
        stream: Uuid,
        bucket: i64,
        count: usize,
    ) -> Result<Vec<(i64, i64)>, Error> {
        self.cql.rows(Named::BucketsBefore, (self.space(), stream, bucket, limit(count))).await
    }
}

fn append(found: &mut Vec<StoredEvent>, rows: Vec<(i64, Bytes)>) -> Result<(), Error> {
    for (number, bytes) in rows {
        found.push(StoredEvent { offset: from_cql(number)?, bytes });
    }
    Ok(())
}
