//! Writing a batch: its rows in requests of a few partitions each, then the position.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::histogram;
use storage::Error;
use storage::metrics::VIEWS_APPLY_SECONDS;
use storage::views::{Batch, Views};
use tokio::time::Instant;

use super::row::Row;
use super::{BUCKET_EVENTS, CqlViews, KNOWN_BUCKETS_MAX, SORT_BYTES_MAX, family};
use crate::journal::space_number;
use crate::number::to_cql;
use crate::statements::Named;

/// The longest value of a cell, in bytes.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// Bytes of rows of several partitions in one request. Above 5 KiB Apache Cassandra warns of each.
const REQUEST_BYTES: usize = 4 << 10;

/// Partitions in one request. Above ten Apache Cassandra warns.
const REQUEST_PARTITIONS: usize = 10;

/// Requests of one batch in flight.
const REQUESTS_MAX: usize = 16;

/// Streams and their buckets.
type Buckets = HashSet<(uuid::Uuid, i64)>;

/// Writes a batch, unless the views have it already.
pub(super) async fn apply(views: &CqlViews, batch: Batch) -> Result<(), Error> {
    for cell in &batch.cells {
        if cell.sort.len() > SORT_BYTES_MAX || cell.value.len() > VALUE_BYTES_MAX {
            let (sort, value) = (cell.sort.len(), cell.value.len());
            return Err(Error::Unknown(format!(
                "a cell with a sort of {sort} and a value of {value} bytes is too long"
            )));
        }
    }
    let begun = Instant::now();
    let (key, through) = (batch.key, batch.position.through);
    let known = views.applied.lock().get(&key).copied();
    let applied = match known {
        Some(applied) => Some(applied),
        None => views.position(key).await?.map(|position| position.through),
    };
    if applied.is_some_and(|applied| through <= applied) {
        return Ok(());
    }
    let position = batch.position.clone();
    let (rows, buckets) = rows(views, batch)?;
    let requests =
        stream::iter(requests(rows)).map(|request| views.cql.write_all(request)).buffer_unordered(REQUESTS_MAX);
    requests.try_collect::<()>().await?;
    let (at, state) = (to_cql(position.at.0)?, &position.state);
    let (slot, term) = (to_cql(through.0)?, to_cql(position.term)?);
    let values = (space_number(key.space), i32::from(key.shard.0), slot, &position.hash.0[..], at, term, state, at);
    views.cql.write(Named::PositionPut, values).await?;
    views.applied.lock().insert(key, through);
    let mut known = views.known_buckets.lock();
    if known.len() > KNOWN_BUCKETS_MAX {
        known.clear();
    }
    known.extend(buckets);
    drop(known);
    histogram!(VIEWS_APPLY_SECONDS).record(begun.elapsed().as_secs_f64());
    Ok(())
}

/// The rows of a batch, and the buckets that are in the directory once they are written.
fn rows(views: &CqlViews, batch: Batch) -> Result<(Vec<Row>, Buckets), Error> {
    let space = views.space();
    let stamp = to_cql(batch.position.at.0)?;
    let mut rows = Vec::with_capacity(batch.events.len() + batch.checkpoints.len() + batch.cells.len());
    let mut buckets = HashSet::new();
    for event in batch.events {
        let bucket = to_cql(event.offset / BUCKET_EVENTS)?;
        if buckets.insert((event.stream, bucket)) && !views.known_buckets.lock().contains(&(event.stream, bucket)) {
            rows.push(Row::Bucket(space, event.stream, bucket, stamp, stamp));
        }
        let (number, entries) = (to_cql(event.offset)?, to_cql(event.entries)?);
        rows.push(Row::Event(space, event.stream, bucket, number, entries, event.bytes, stamp));
    }
    for checkpoint in batch.checkpoints {
        let (head, at) = (to_cql(checkpoint.head)?, to_cql(checkpoint.at.0)?);
        rows.push(Row::Checkpoint(space, checkpoint.entity, head, at, checkpoint.state, at));
    }
    // A later cell of the same key wins, and of two equal stamps nobody knows which would.
    let mut seen = HashSet::new();
    for cell in batch.cells.into_iter().rev() {
        if seen.insert((cell.table, cell.partition, cell.sort.clone())) {
            rows.push(Row::Cell(space, family(cell.table), cell.partition, cell.sort, cell.value, stamp));
        }
    }
    Ok((rows, buckets))
}

/// Divides rows into requests. A row that is larger than a request is one by itself.
fn requests(rows: Vec<Row>) -> Vec<Vec<(Named, Row)>> {
    let mut requests = Vec::new();
    let mut request = Vec::new();
    let mut bytes = 0;
    let mut partitions = HashSet::new();
    for row in rows {
        let is_new = !partitions.contains(&row.partition());
        let is_full = bytes + row.bytes() > REQUEST_BYTES || (is_new && partitions.len() == REQUEST_PARTITIONS);
        if is_full && !request.is_empty() {
            requests.push(std::mem::take(&mut request));
            bytes = 0;
            partitions.clear();
        }
        bytes += row.bytes();
        partitions.insert(row.partition());
        request.push((row.named(), row));
    }
    if !request.is_empty() {
        requests.push(request);
    }
    requests
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn requests_are_bounded_by_bytes_and_partitions() {
        let cell =
            |part: u128, bytes| Row::Cell(0, 1, Uuid::from_u128(part), Vec::new(), Bytes::from(vec![0; bytes]), 1);
        let sizes = |rows| requests(rows).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..25).map(|part| cell(part, 1)).collect()), [10, 10, 5]);
        assert_eq!(sizes((0..25).map(|_| cell(1, 1)).collect()), [25]);
        assert_eq!(sizes(vec![cell(1, 3_000), cell(1, 3_000), cell(1, 300_000), cell(1, 1)]), [1, 1, 1, 1]);
        assert!(sizes(Vec::new()).is_empty());
    }
}
