//! Dead letters, by id and by reason.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::records::{DEAD_LETTERS, DEAD_LETTERS_BY_REASON, DeadLetterRecord};
use crate::deliveries::{DeadLetter, DeadLetterFilter, DeadLetterId};
use crate::embedded::database::{Failed, Stored};

/// Writes a letter unless a newer form of it is there.
pub(super) fn put(txn: &WriteTransaction, letter: &DeadLetter) -> Result<bool, Failed> {
    let id = letter.id.0.as_u128();
    let record = DeadLetterRecord::of(letter);
    let mut table = txn.open_table(DEAD_LETTERS)?;
    let mut by_reason = txn.open_table(DEAD_LETTERS_BY_REASON)?;
    let old = table.get(id)?.map(|bytes| DeadLetterRecord::decode(bytes.value())).transpose()?;
    if let Some(old) = old {
        if old.last_at > record.last_at {
            return Ok(false);
        }
        by_reason.remove((old.reason, id))?;
    }
    by_reason.insert((record.reason, id), ())?;
    table.insert(id, record.encode()?.as_slice())?;
    Ok(true)
}

/// One letter.
pub(super) fn get(
    table: &impl ReadableTable<u128, &'static [u8]>,
    id: DeadLetterId,
) -> Result<Option<DeadLetter>, Failed> {
    let Some(bytes) = table.get(id.0.as_u128())? else { return Ok(None) };
    DeadLetterRecord::decode(bytes.value())?.into_letter(id).map(Some)
}

/// A page of letters, newest first.
pub(super) fn list(
    txn: &ReadTransaction,
    filter: DeadLetterFilter,
    before: Option<DeadLetterId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, Failed> {
    let end = before.map_or(u128::MAX, |id| id.0.as_u128());
    let table = txn.open_table(DEAD_LETTERS)?;
    let mut ids = Vec::new();
    if let Some(reason) = filter.reason {
        let index = txn.open_table(DEAD_LETTERS_BY_REASON)?;
        for row in index.range((reason.number(), 0)..(reason.number(), end))?.rev().take(limit) {
            ids.push(row?.0.value().1);
        }
    } else {
        for row in table.range(..end)?.rev().take(limit) {
            ids.push(row?.0.value());
        }
    }
    let mut letters = Vec::with_capacity(ids.len());
    for id in ids {
        letters.extend(get(&table, DeadLetterId(Uuid::from_u128(id)))?);
    }
    Ok(letters)
}

/// Removes a letter.
pub(super) fn remove(txn: &WriteTransaction, id: DeadLetterId) -> Result<bool, Failed> {
    let id = id.0.as_u128();
    let mut table = txn.open_table(DEAD_LETTERS)?;
    let removed = table.remove(id)?.map(|bytes| DeadLetterRecord::decode(bytes.value())).transpose()?;
    if let Some(record) = &removed {
        txn.open_table(DEAD_LETTERS_BY_REASON)?.remove((record.reason, id))?;
    }
    Ok(removed.is_some())
}
