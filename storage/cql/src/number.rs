//! Numbers of ours in CQL's signed integers.

use storage::Error;

/// A number that CQL holds as `bigint`.
pub(crate) fn to_cql(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::Unknown(format!("{number} is past what the store can hold")))
}

/// As [`to_cql`], of a bound: what is past all that can be stored is the last of it.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that CQL held as `bigint`.
pub(crate) fn from_cql(number: i64) -> Result<u64, Error> {
    u64::try_from(number)
        .map_err(|_| Error::Unknown(format!("the store holds {number} where no negative number can be")))
}

/// How many rows to ask for at most.
pub(crate) fn limit(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
