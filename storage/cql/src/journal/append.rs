//! Appending: the same record is offered to its slot until the store says whose the slot is.

use std::sync::Arc;

use metrics::{counter, histogram};
use storage::Error;
use storage::journal::{Append, Generation, Hash, PAYLOAD_BYTES_MAX, Record};
use storage::metrics::{JOURNAL_APPEND_SECONDS, JOURNAL_RECORD_BYTES, SPACE};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::{End, SEGMENT_SLOTS, Store, Writer, partition, place};
use crate::applied::Applied;
use crate::metrics::FENCED;
use crate::number::to_cql;
use crate::statements::Named;

/// Appends a record, as the port says. The offer goes on to its end if the caller goes away.
pub(super) async fn append(store: &Arc<Store>, generation: Generation, record: Record) -> Result<Append, Error> {
    let bytes = record.payload.len();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(Error::Unknown(format!("a record of {bytes} bytes is past {PAYLOAD_BYTES_MAX}")));
    }
    let begun = Instant::now();
    let writer = store.writer(record.key)?.lock_owned().await;
    let hash = record.hash();
    if writer.generation != generation || writer.fenced {
        return Ok(Append::Fenced);
    }
    if record.slot == writer.end.slot && hash == writer.end.hash {
        return Ok(Append::Durable { place: place(record.key, record.slot) });
    }
    if record.slot != writer.end.slot.next() || record.previous != writer.end.hash {
        return Ok(Append::Fenced);
    }
    let offering = tokio::spawn(offer(Arc::clone(store), writer, record, hash));
    let answer = offering.await.map_err(|error| Error::Unavailable(format!("an append did not end: {error}")))?;
    let space = store.space.name();
    histogram!(JOURNAL_APPEND_SECONDS, SPACE => space).record(begun.elapsed().as_secs_f64());
    #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "at most 256 KiB")]
    histogram!(JOURNAL_RECORD_BYTES, SPACE => space).record(bytes as f64);
    answer
}

/// Offers the record after the writer's last.
async fn offer(
    store: Arc<Store>,
    mut writer: OwnedMutexGuard<Writer>,
    record: Record,
    hash: Hash,
) -> Result<Append, Error> {
    let number = super::segment(record.slot);
    let (space, shard, segment) = partition(record.key, number)?;
    let total = writer.end.total.saturating_add(u64::try_from(record.payload.len()).unwrap_or(u64::MAX));
    let (slot, term, at) = (to_cql(record.slot.0)?, to_cql(record.term)?, to_cql(record.at.0)?);
    let (previous, hashed) = (&record.previous.0[..], &hash.0[..]);
    let sums = to_cql(total)?;
    let values = (space, shard, segment, slot, term, writer.id, at, previous, hashed, sums, &record.payload);
    let settled = match store.cql.transaction(Named::JournalAppend, (space, shard, segment), values).await {
        Ok(settled) => settled,
        Err(Error::Unavailable(why)) => {
            tracing::warn!(shard, slot, why, "nobody knows whether a record is in the journal");
            return Ok(Append::Unknown);
        }
        Err(error) => return Err(error),
    };
    let is_ours = match settled.applied {
        Applied::Yes => true,
        // The writer's id sets our record apart from the same one by another process.
        Applied::No(there) => there.uuid("writer") == Some(writer.id) && there.blob("hash") == Some(&hash.0[..]),
    };
    if !is_ours {
        writer.fenced = true;
        counter!(FENCED).increment(1);
        tracing::warn!(shard, slot, "another writer has the slot: this one stops");
        return Ok(Append::Fenced);
    }
    writer.end = End { slot: record.slot, hash, term: record.term, at: record.at, total };
    store.reached(record.key, record.slot);
    if record.slot.0.is_multiple_of(SEGMENT_SLOTS) {
        // Whoever takes over begins to look here. Without it they look a little longer.
        if let Err(error) = store.hint(record.key, record.slot).await {
            tracing::warn!(%error, shard, "where the journal ends is not noted");
        }
    }
    Ok(Append::Durable { place: place(record.key, record.slot) })
}
