//! A frame: how one record, or one of the log's own notes, lies in a segment.
//!
//! The layout is stored for ever. Every byte of a frame, its padding included, is under its checksum;
//! the checksum starts from the store's id and space, so a frame of another store never fits; and the
//! frame says its own position, so an old copy elsewhere never fits either.

use bytes::Bytes;
use crc32fast::Hasher;
use domain::ids::ShardId;
use domain::time::Timestamp;
use uuid::Uuid;

use crate::journal::{Hash, JournalKey, PAYLOAD_BYTES_MAX, Record, Slot, Space};

/// The bytes before the payload.
pub(super) const HEADER_BYTES: usize = 88;

/// The bytes of the longest frame.
pub(super) const FRAME_BYTES_MAX: usize = frame_bytes(PAYLOAD_BYTES_MAX);

/// Begins each frame, after its checksum. The last byte is the format.
const MAGIC: [u8; 4] = *b"QPf\x01";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A record of a shard.
    Record = 1,
    /// The ends of all shards, first in each segment: see [`super::ends`].
    Ends = 2,
    /// The rest of the segment is unused; the log goes on in the next.
    SegmentEnd = 3,
}

/// What the header says beside lengths and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The log position of the frame's first byte.
    pub(super) position: u64,
    /// All before this position was on the disk when the frame was written; at most `position`.
    pub(super) durable: u64,
    pub(super) shard: ShardId,
    pub(super) slot: Slot,
    pub(super) term: u64,
    pub(super) at: Timestamp,
    pub(super) previous: Hash,
}

impl Head {
    /// The header of one of the log's own notes.
    pub(super) fn note(kind: Kind, position: u64, durable: u64) -> Self {
        Self {
            kind,
            position,
            durable,
            shard: ShardId(0),
            slot: Slot(0),
            term: 0,
            at: Timestamp::EPOCH,
            previous: Hash::default(),
        }
    }
}

/// A frame as it was read, its checksum verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) head: Head,
    pub(super) payload: Bytes,
}

impl Frame {
    /// The log position after the frame.
    pub(super) fn end(&self) -> u64 {
        self.head.position + frame_bytes(self.payload.len()) as u64
    }

    /// The record in a frame of kind [`Kind::Record`].
    pub(super) fn into_record(self, space: Space) -> Record {
        Record {
            key: JournalKey { space, shard: self.head.shard },
            slot: self.head.slot,
            term: self.head.term,
            at: self.head.at,
            previous: self.head.previous,
            payload: self.payload,
        }
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// They may be one, which has this many bytes.
    Short(usize),
    /// They are none, and why.
    Not(&'static str),
}

/// The bytes of a frame with this much payload.
pub(super) const fn frame_bytes(payload: usize) -> usize {
    (HEADER_BYTES + payload).next_multiple_of(8)
}

/// Writes and reads the frames of one log.
#[derive(Clone, Debug)]
pub(super) struct Codec {
    pub(super) store: Uuid,
    pub(super) space: Space,
    seed: u32,
}

impl Codec {
    /// The codec of the log of `space` in the store with this id.
    pub(super) fn new(store: Uuid, space: Space) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(store.as_bytes());
        hasher.update(&[space.number()]);
        Self { store, space, seed: hasher.finalize() }
    }

    /// The checksum of `bytes` in this log.
    pub(super) fn checksum(&self, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.seed);
        hasher.update(bytes);
        hasher.finalize()
    }

    /// Appends a frame to `out`. The payload must not be above [`PAYLOAD_BYTES_MAX`].
    pub(super) fn encode(&self, out: &mut Vec<u8>, head: &Head, payload: &[u8]) {
        let start = out.len();
        let end = start + frame_bytes(payload.len());
        let mut header = [0; HEADER_BYTES];
        let mut at = 4;
        let mut put = |bytes: &[u8]| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&head.position.to_le_bytes());
        put(&head.durable.to_le_bytes());
        put(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        put(&[head.kind as u8, self.space.number()]);
        put(&head.shard.0.to_le_bytes());
        put(&head.slot.0.to_le_bytes());
        put(&head.term.to_le_bytes());
        put(&head.at.0.to_le_bytes());
        put(&head.previous.0);
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
        out.resize(end, 0);
        let (checksum, covered) = out[start..].split_at_mut(4);
        checksum.copy_from_slice(&self.checksum(covered).to_le_bytes());
    }

    /// Whether bytes at `position` look like the begin of a frame: cheap, to search for one.
    pub(super) fn looks_like_one(bytes: &[u8], position: u64) -> bool {
        bytes.get(4..8) == Some(&MAGIC) && bytes.get(8..16) == Some(&position.to_le_bytes())
    }

    /// Reads the frame at `position`, with which `bytes` begin; the payload shares their memory.
    pub(super) fn decode(&self, bytes: &Bytes, position: u64) -> Result<Frame, Bad> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(Bad::Short(HEADER_BYTES)) };
        let mut fields = Fields(header);
        let checksum = u32::from_le_bytes(fields.take());
        let magic: [u8; 4] = fields.take();
        if magic != MAGIC {
            return Err(Bad::Not(if header.iter().all(|byte| *byte == 0) {
                "nothing is written"
            } else {
                "no frame begins"
            }));
        }
        if u64::from_le_bytes(fields.take()) != position {
            return Err(Bad::Not("the frame is of another position"));
        }
        let durable = u64::from_le_bytes(fields.take());
        let length = usize::try_from(u32::from_le_bytes(fields.take())).unwrap_or(usize::MAX);
        if length > PAYLOAD_BYTES_MAX {
            return Err(Bad::Not("the frame's length is impossible"));
        }
        let Some(frame) = bytes.get(..frame_bytes(length)) else { return Err(Bad::Short(frame_bytes(length))) };
        if self.checksum(frame.get(4..).unwrap_or_default()) != checksum {
            return Err(Bad::Not("the frame's checksum does not fit"));
        }
        let [kind, space] = fields.take();
        let kind = match kind {
            1 => Kind::Record,
            2 => Kind::Ends,
            3 => Kind::SegmentEnd,
            _ => return Err(Bad::Not("the frame's kind is unknown")),
        };
        if space != self.space.number() || durable > position {
            return Err(Bad::Not("the frame is not of this log"));
        }
        let head = Head {
            kind,
            position,
            durable,
            shard: ShardId(u16::from_le_bytes(fields.take())),
            slot: Slot(u64::from_le_bytes(fields.take())),
            term: u64::from_le_bytes(fields.take()),
            at: Timestamp(u64::from_le_bytes(fields.take())),
            previous: Hash(fields.take()),
        };
        Ok(Frame { head, payload: bytes.slice(HEADER_BYTES..HEADER_BYTES + length) })
    }
}

/// Takes fields of fixed length off the front of bytes; zeros past their end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        if let Some((first, rest)) = self.0.split_first_chunk::<N>() {
            self.0 = rest;
            *first
        } else {
            self.0 = &[];
            [0; N]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec() -> Codec {
        Codec::new(Uuid::from_u128(7), Space::Ledger)
    }

    fn head() -> Head {
        Head {
            kind: Kind::Record,
            position: 4096,
            durable: 4000,
            shard: ShardId(3),
            slot: Slot(9),
            term: 2,
            at: Timestamp(5),
            previous: Hash([8; 32]),
        }
    }

    #[test]
    fn a_frame_reads_back() {
        for length in [0, 1, 7, 8, 9, 1000, PAYLOAD_BYTES_MAX] {
            let payload = vec![0xA5; length];
            let mut out = vec![1, 2, 3];
            codec().encode(&mut out, &head(), &payload);
            let bytes = Bytes::from(out).slice(3..);
            assert_eq!(bytes.len(), frame_bytes(length));
            let frame = codec().decode(&bytes, 4096).unwrap();
            assert_eq!((frame.head, &frame.payload[..]), (head(), &payload[..]));
            assert_eq!(frame.end(), 4096 + bytes.len() as u64);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut out = Vec::new();
        codec().encode(&mut out, &head(), b"thirteen byte");
        for bit in 0..out.len() * 8 {
            let mut wrong = out.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(codec().decode(&Bytes::from(wrong), 4096).is_err(), "bit {bit}");
        }
        for length in 0..out.len() {
            assert!(matches!(codec().decode(&Bytes::copy_from_slice(&out[..length]), 4096), Err(Bad::Short(_))));
        }
        let bytes = Bytes::from(out);
        assert!(codec().decode(&bytes, 8192).is_err());
        assert!(Codec::new(Uuid::from_u128(8), Space::Ledger).decode(&bytes, 4096).is_err());
    }

    #[test]
    fn the_format_does_not_change() {
        // Golden: a log of this format must open for ever.
        let mut out = Vec::new();
        codec().encode(&mut out, &head(), b"money");
        assert_eq!(out.len(), 96);
        assert_eq!(
            blake3::hash(&out).to_hex().as_str(),
            "b3995272936ed4ba53d1d56a15db147837bbbc119db78d6275b43f7aa679e8b3"
        );
    }
}
