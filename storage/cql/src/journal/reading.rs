//! Reading records in order, across partitions; those that were retired are passed over.

use bytes::Bytes;
use domain::time::Timestamp;
use storage::Error;
use storage::journal::{JournalKey, Record, Slot, StoredRecord};

use super::{Store, hash, last_of, partition, place, segment};
use crate::number::{from_cql, limit, to_cql};
use crate::statements::Named;

/// About how large a record is taken to be when it is decided how many to ask for.
const RECORD_BYTES: usize = 16 << 10;

/// The most records asked for at once: of the largest, 16 MiB in one answer.
const ROWS_MAX: usize = 64;

/// Slot, term, stamp, hash of the one before, hash, bytes up to it, payload.
type Row = (i64, i64, i64, Vec<u8>, Vec<u8>, i64, Option<Bytes>);

impl Store {
    /// Records from `from` on, as the port says.
    pub(super) async fn read(&self, key: JournalKey, from: Slot, bytes_max: usize) -> Result<Vec<StoredRecord>, Error> {
        let floor = if key.space.is_kept_for_ever() { Slot(1) } else { self.bounds(key).await?.floor.max(Slot(1)) };
        let mut next = from.max(floor);
        let count = (bytes_max / RECORD_BYTES).clamp(1, ROWS_MAX);
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        loop {
            let number = segment(next);
            let (space, shard, segment) = partition(key, number)?;
            let values = (space, shard, segment, to_cql(next.0)?, limit(count));
            let rows = self.cql.rows::<Row>(Named::JournalRead, values).await?;
            let is_whole = rows.len() < count;
            for row in rows {
                next = Slot(from_cql(row.0)?).next();
                let Some(stored) = stored(key, row)? else { continue };
                bytes = bytes.saturating_add(stored.record.payload.len());
                records.push(stored);
                if bytes >= bytes_max {
                    return Ok(records);
                }
            }
            // The partition ends here, and another follows only if it is full.
            if is_whole && next <= last_of(number) {
                return Ok(records);
            }
        }
    }
}

/// The record of a row; nothing if it was retired.
fn stored(key: JournalKey, row: Row) -> Result<Option<StoredRecord>, Error> {
    let (slot, term, at, previous, hashed, _, payload) = row;
    let Some(payload) = payload else { return Ok(None) };
    let record = Record {
        key,
        slot: Slot(from_cql(slot)?),
        term: from_cql(term)?,
        at: Timestamp(from_cql(at)?),
        previous: hash(&previous)?,
        payload,
    };
    let hash = hash(&hashed)?;
    if record.hash() != hash {
        return Err(Error::Damaged {
            file: format!("journal/{}/{}", key.space.name(), key.shard).into(),
            offset: record.slot.0,
            what: "the record at this slot is not the one that was hashed".to_owned(),
        });
    }
    let place = place(key, record.slot);
    Ok(Some(StoredRecord { record, hash, place }))
}
