//! How far people have read streams.

use domain::ids::UserId;
use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::records::READ_MARKS;
use crate::deliveries::ReadMark;
use crate::embedded::database::Failed;

/// One mark; nothing was read where there is none.
pub(super) fn get(
    table: &impl ReadableTable<(u128, u128), &'static [u8]>,
    user: UserId,
    stream: Uuid,
) -> Result<ReadMark, Failed> {
    let stored = table.get((user.0.as_u128(), stream.as_u128()))?;
    Ok(stored.map(|bytes| decode(bytes.value())).unwrap_or_default())
}

/// Adds to a mark.
pub(super) fn add(
    txn: &WriteTransaction,
    user: UserId,
    stream: Uuid,
    upto: u64,
    also: &[u64],
) -> Result<ReadMark, Failed> {
    let mut table = txn.open_table(READ_MARKS)?;
    let mut mark = get(&table, user, stream)?;
    mark.add(upto, also);
    table.insert((user.0.as_u128(), stream.as_u128()), encode(&mark).as_slice())?;
    Ok(mark)
}

/// Forgets all marks of a person.
pub(super) fn forget(txn: &WriteTransaction, user: UserId) -> Result<(), Failed> {
    let user = user.0.as_u128();
    txn.open_table(READ_MARKS)?.retain_in((user, 0)..=(user, u128::MAX), |_, _| false)?;
    Ok(())
}

fn encode(mark: &ReadMark) -> Vec<u8> {
    std::iter::once(&mark.upto).chain(&mark.also).flat_map(|offset| offset.to_le_bytes()).collect()
}

fn decode(bytes: &[u8]) -> ReadMark {
    let (offsets, _) = bytes.as_chunks::<8>();
    let mut offsets = offsets.iter().map(|bytes| u64::from_le_bytes(*bytes));
    ReadMark { upto: offsets.next().unwrap_or_default(), also: offsets.collect() }
}
