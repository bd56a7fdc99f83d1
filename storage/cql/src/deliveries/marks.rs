//! Read marks: how far a person has read a stream. They only grow, by comparison.

use domain::ids::UserId;
use storage::Error;
use storage::deliveries::ReadMark;
use uuid::Uuid;

use crate::Cql;
use crate::applied::Applied;
use crate::error::unreadable;
use crate::number::limit;
use crate::statements::Named;

/// How often an addition is tried against others to the same mark.
const TRIES_MAX: u32 = 32;

/// Marks of one person read at once.
const ROWS_MAX: usize = 500;

/// What a person has read of a stream.
pub(super) async fn get(cql: &Cql, user: UserId, stream: Uuid) -> Result<ReadMark, Error> {
    let row = cql.row::<(Vec<u8>, Uuid)>(Named::MarkRead, (user.0, stream)).await?;
    row.map_or_else(|| Ok(ReadMark::default()), |(mark, _)| decode(&mark))
}

/// Adds to it.
pub(super) async fn add(cql: &Cql, user: UserId, stream: Uuid, upto: u64, also: &[u64]) -> Result<ReadMark, Error> {
    for _ in 0..TRIES_MAX {
        let row = cql.row::<(Vec<u8>, Uuid)>(Named::MarkSerial, (user.0, stream)).await?;
        let old = row.as_ref().map_or_else(|| Ok(ReadMark::default()), |(mark, _)| decode(mark))?;
        let mut mark = old.clone();
        mark.add(upto, also);
        if mark == old {
            return Ok(mark);
        }
        let change = Uuid::from_bytes(rand::random());
        let settled = match row {
            Some((_, seen)) => {
                let values = (encode(&mark), change, user.0, stream, seen);
                cql.transaction(Named::MarkChange, user.0, values).await?
            }
            None => cql.transaction(Named::MarkInsert, user.0, (user.0, stream, encode(&mark), change)).await?,
        };
        match settled.applied {
            Applied::Yes => return Ok(mark),
            Applied::No(there) if there.uuid("change") == Some(change) => return Ok(mark),
            Applied::No(_) => {}
        }
    }
    Err(Error::Unavailable(format!("{TRIES_MAX} additions to one read mark in a row came in between")))
}

/// Forgets all marks of a person.
pub(super) async fn forget_all(cql: &Cql, user: UserId) -> Result<(), Error> {
    loop {
        let streams = cql.rows::<(Uuid,)>(Named::MarksOfUser, (user.0, limit(ROWS_MAX))).await?;
        if streams.is_empty() {
            return Ok(());
        }
        for (stream,) in streams {
            cql.transaction(Named::MarkRemove, user.0, (user.0, stream)).await?;
        }
    }
}

/// The offsets of a mark: `upto`, then each beyond it, little-endian.
fn encode(mark: &ReadMark) -> Vec<u8> {
    [mark.upto].iter().chain(&mark.also).flat_map(|offset| offset.to_le_bytes()).collect()
}

fn decode(bytes: &[u8]) -> Result<ReadMark, Error> {
    let mut offsets = bytes.chunks(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes));
    let wrong = || unreadable("a read mark", "it is no list of offsets");
    let upto = offsets.next().ok_or_else(wrong)?.map_err(|_| wrong())?;
    let also = offsets.collect::<Result<_, _>>().map_err(|_| wrong())?;
    Ok(ReadMark { upto, also })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back() {
        for mark in [ReadMark { upto: 0, also: vec![] }, ReadMark { upto: 7, also: vec![9, 300] }] {
            assert_eq!(decode(&encode(&mark)).unwrap(), mark);
        }
        for wrong in [&[][..], &[1, 2], &[0; 12]] {
            assert!(decode(wrong).is_err(), "{wrong:?}");
        }
    }
}
