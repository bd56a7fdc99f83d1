//! The ends of all shards: what the writer checks appends against, and the first frame of each segment.
//!
//! Because each segment begins with them, opening needs no more of the log than its last segments, and
//! an old record is found by a binary search over the segments.

use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;

use super::frame::{Fields, Frame};
use crate::journal::{Hash, Place, Slot};

/// The last record of one shard; all zero if it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) slot: Slot,
    pub(super) term: u64,
    pub(super) at: Timestamp,
    pub(super) hash: Hash,
    pub(super) place: Place,
}

impl End {
    /// The end after the record in `frame`, or why it cannot follow this one.
    pub(super) fn then(&self, frame: &Frame, hash: Hash) -> Result<Self, &'static str> {
        if frame.head.slot != self.slot.next() {
            return Err("the record's slot does not follow the one before");
        }
        if frame.head.previous != self.hash {
            return Err("the record's previous hash is not that of the one before");
        }
        Ok(Self {
            slot: frame.head.slot,
            term: frame.head.term,
            at: frame.head.at,
            hash,
            place: Place(frame.head.position),
        })
    }
}

/// The ends of all shards of a space, by the shard's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends(Vec<End>);

/// The bytes of one shard's end.
const END_BYTES: usize = 72;

/// The bytes of the longest encoding: 1,024 shards.
pub(super) const ENDS_BYTES_MAX: usize = 1024 * END_BYTES;

impl Ends {
    /// Of a log without records.
    pub(super) fn empty(shards: ShardCount) -> Self {
        Self(vec![End::default(); usize::from(shards.get())])
    }

    /// The end of one shard; `None` if the store has no such shard.
    pub(super) fn of(&self, shard: ShardId) -> Option<&End> {
        self.0.get(usize::from(shard.0))
    }

    /// As [`Self::of`], to change it.
    pub(super) fn of_mut(&mut self, shard: ShardId) -> Option<&mut End> {
        self.0.get_mut(usize::from(shard.0))
    }

    /// All of them, in order of the shards.
    pub(super) fn iter(&self) -> impl Iterator<Item = &End> {
        self.0.iter()
    }

    /// Encodes the ends of the shards that have records.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * END_BYTES);
        for (shard, end) in (0_u64..).zip(&self.0).filter(|(_, end)| end.slot.0 > 0) {
            for number in [shard, end.slot.0, end.term, end.at.0, end.place.0] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&end.hash.0);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is of another number of shards or no encoding.
    pub(super) fn decode(bytes: &[u8], shards: ShardCount) -> Option<Self> {
        let mut ends = Self::empty(shards);
        let (each, rest) = bytes.as_chunks::<END_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        for bytes in each {
            let mut fields = Fields(bytes);
            let shard = ShardId(u16::try_from(u64::from_le_bytes(fields.take())).ok()?);
            *ends.of_mut(shard)? = End {
                slot: Slot(u64::from_le_bytes(fields.take())),
                term: u64::from_le_bytes(fields.take()),
                at: Timestamp(u64::from_le_bytes(fields.take())),
                place: Place(u64::from_le_bytes(fields.take())),
                hash: Hash(fields.take()),
            };
        }
        Some(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_read_back() {
        let shards = ShardCount::few(5).unwrap();
        let mut ends = Ends::empty(shards);
        let end = End { slot: Slot(7), term: 2, at: Timestamp(9), hash: Hash([3; 32]), place: Place(4096) };
        *ends.of_mut(ShardId(4)).unwrap() = end;
        let bytes = ends.encode();
        assert_eq!(bytes.len(), END_BYTES);
        assert_eq!(Ends::decode(&bytes, shards), Some(ends));
        assert_eq!(Ends::decode(&bytes, ShardCount::few(4).unwrap()), None);
        assert_eq!(Ends::decode(&bytes[1..], shards), None);
    }
}
