//! How rows of views are written as keys and values.
//!
//! Events have a tree of their own, which is only ever scanned and needs no filters: the stream, then
//! the offset as its count of bytes and those. All else is in one tree, told apart by a first byte.
//! The store keeps up to 20 bytes of key or value in place and allocates for more, so numbers are
//! as short as they can be: that and larger blocks saved a fifth of the CPU a row.

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use fjall::Slice;
use uuid::Uuid;

use super::key::Key;
use crate::Error;
use crate::journal::{Hash, JournalKey, PAYLOAD_BYTES_MAX, Place, Slot, Space};
use crate::views::{Batch, Checkpoint, Position, Table};

/// The number of this layout. Views of any other are rebuilt.
pub(super) const FORMAT: u32 = 2;

/// The longest second part of a cell's key, in bytes.
pub const SORT_BYTES_MAX: usize = 64;

/// The longest value of a cell, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 10;

/// The longest state of a checkpoint or a position, in bytes: what the journal's largest record
/// could build up, with room to spare, and far below what the store can hold in a value.
pub const STATE_BYTES_MAX: usize = 16 << 20;

const META: u8 = 0;
const POSITION: u8 = 1;
const CHECKPOINT: u8 = 2;
/// The first byte of a cell is this and its table's number.
const CELL: u8 = 16;

/// Key of the row that says the format and the store.
pub(super) const META_KEY: [u8; 1] = [META];

/// The value of that row.
pub(super) fn meta_value(store: Uuid) -> Vec<u8> {
    [FORMAT.to_le_bytes().as_slice(), store.as_bytes()].concat()
}

/// Which tree a row is in. Rows are committed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    Events,
    Rows,
}

/// One upsert.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) tree: Tree,
    pub(super) key: Slice,
    pub(super) value: Slice,
}

/// A batch as rows, checked against the bounds.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) key: JournalKey,
    pub(super) through: Slot,
    pub(super) rows: Vec<Row>,
}

impl Encoded {
    /// Encodes a batch; an error if anything in it is past its bound.
    pub(super) fn of(batch: &Batch) -> Result<Self, Error> {
        let mut rows =
            Vec::with_capacity(batch.events.len() + batch.checkpoints.len() + batch.cells.len().saturating_add(1));
        let mut scratch = Vec::with_capacity(256);
        for event in &batch.events {
            let value = EventValue {
                entries: event.entries,
                place: event.place,
                at: event.at,
                len: bounded("an event", event.bytes.len(), PAYLOAD_BYTES_MAX)?,
            };
            if event.offset == 0 {
                return Err(refused("an event with offset 0"));
            }
            scratch.clear();
            value.encode(&mut scratch);
            let key = Slice::from(event_key(event.stream, event.offset).as_slice());
            rows.push(Row { tree: Tree::Events, key, value: Slice::from(scratch.as_slice()) });
        }
        for checkpoint in &batch.checkpoints {
            bounded("a checkpoint's state", checkpoint.state.len(), STATE_BYTES_MAX)?;
            scratch.clear();
            encode_checkpoint(checkpoint, &mut scratch);
            let key = Slice::from(checkpoint_key(checkpoint.entity).as_slice());
            rows.push(Row { tree: Tree::Rows, key, value: Slice::from(scratch.as_slice()) });
        }
        for cell in &batch.cells {
            bounded("a cell's sort", cell.sort.len(), SORT_BYTES_MAX)?;
            bounded("a cell's value", cell.value.len(), VALUE_BYTES_MAX)?;
            let key = Slice::from(cell_key(cell.table, cell.partition, &cell.sort).as_slice());
            rows.push(Row { tree: Tree::Rows, key, value: Slice::from(cell.value.as_ref()) });
        }
        bounded("a position's state", batch.position.state.len(), STATE_BYTES_MAX)?;
        scratch.clear();
        encode_position(&batch.position, &mut scratch);
        let key = Slice::from(position_key(batch.key).as_slice());
        rows.push(Row { tree: Tree::Rows, key, value: Slice::from(scratch.as_slice()) });
        Ok(Self { key: batch.key, through: batch.position.through, rows })
    }
}

fn bounded(what: &str, len: usize, max: usize) -> Result<u32, Error> {
    u32::try_from(len)
        .ok()
        .filter(|_| len <= max)
        .ok_or_else(|| refused(&format!("{what} of {len} bytes; at most {max}")))
}

fn refused(what: &str) -> Error {
    Error::io(format!("views do not take {what}"), std::io::ErrorKind::InvalidInput.into())
}

/// An event's key: 16 bytes of stream and 1 to 9 of offset.
pub(super) fn event_key(stream: Uuid, offset: u64) -> Key<25> {
    let bytes = offset.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(skip..).unwrap_or_default();
    let count = u8::try_from(digits.len()).unwrap_or(8);
    Key::new().with(stream.as_bytes()).with(&[count]).with(digits)
}

/// The offset in an event's key. The count of its bytes stands before them, so keys order as offsets do.
pub(super) fn offset_in_event_key(key: &[u8]) -> Option<u64> {
    let (count, digits) = key.get(16..)?.split_first()?;
    if digits.len() != usize::from(*count) || digits.len() > 8 {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)))
}

/// A checkpoint's key.
pub(super) fn checkpoint_key(entity: Uuid) -> Key<17> {
    Key::new().with(&[CHECKPOINT]).with(entity.as_bytes())
}

/// A position's key.
pub(super) fn position_key(key: JournalKey) -> Key<4> {
    Key::new().with(&[POSITION, key.space.number()]).with(&key.shard.0.to_be_bytes())
}

/// The range of all positions.
pub(super) fn position_keys() -> std::ops::Range<[u8; 1]> {
    [POSITION]..[CHECKPOINT]
}

/// The journal in a position's key.
pub(super) fn journal_in_position_key(key: &[u8]) -> Option<JournalKey> {
    let [POSITION, space, high, low] = *key else { return None };
    let space = Space::ALL.into_iter().find(|known| known.number() == space)?;
    Some(JournalKey { space, shard: ShardId(u16::from_be_bytes([high, low])) })
}

/// The most bytes of a cell's key: one longer than any that is stored, so that one may end a range.
const CELL_KEY_BYTES_MAX: usize = 17 + SORT_BYTES_MAX + 1;

/// A cell's key. A longer sort than may be stored is cut where it orders after all that begin alike.
pub(super) fn cell_key(table: Table, partition: Uuid, sort: &[u8]) -> Key<CELL_KEY_BYTES_MAX> {
    Key::new().with(&[cell_byte(table)]).with(partition.as_bytes()).with(sort)
}

/// A key after every cell of the partition.
pub(super) fn cell_key_end(table: Table, partition: Uuid) -> Key<CELL_KEY_BYTES_MAX> {
    cell_key(table, partition, &[u8::MAX; SORT_BYTES_MAX + 1])
}

/// The sort in a cell's key.
pub(super) fn sort_in_cell_key(key: &[u8]) -> Option<&[u8]> {
    key.get(17..)
}

const fn cell_byte(table: Table) -> u8 {
    CELL + table.number()
}

/// Where an event is: the value of its row, 6 to 30 bytes, typically 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventValue {
    pub(super) entries: u64,
    pub(super) place: Place,
    pub(super) at: u32,
    pub(super) len: u32,
}

impl EventValue {
    fn encode(&self, to: &mut Vec<u8>) {
        for number in [self.entries, self.place.0, u64::from(self.at), u64::from(self.len)] {
            write_number(to, number);
        }
    }

    pub(super) fn decode(mut from: &[u8]) -> Option<Self> {
        let value = Self {
            entries: read_number(&mut from)?,
            place: Place(read_number(&mut from)?),
            at: u32::try_from(read_number(&mut from)?).ok()?,
            len: u32::try_from(read_number(&mut from)?).ok()?,
        };
        from.is_empty().then_some(value)
    }
}

fn encode_checkpoint(checkpoint: &Checkpoint, to: &mut Vec<u8>) {
    write_number(to, checkpoint.head);
    write_number(to, checkpoint.at.0);
    to.extend_from_slice(&checkpoint.state);
}

/// The checkpoint of `entity` in its row's value.
pub(super) fn decode_checkpoint(entity: Uuid, mut from: &[u8]) -> Option<Checkpoint> {
    let head = read_number(&mut from)?;
    let at = Timestamp(read_number(&mut from)?);
    Some(Checkpoint { entity, head, at, state: Bytes::copy_from_slice(from) })
}

fn encode_position(position: &Position, to: &mut Vec<u8>) {
    to.extend_from_slice(&position.hash.0);
    for number in [position.through.0, position.at.0, position.term] {
        write_number(to, number);
    }
    to.extend_from_slice(&position.state);
}

/// The position in its row's value.
pub(super) fn decode_position(from: &[u8]) -> Option<Position> {
    let (hash, mut from) = from.split_first_chunk::<32>()?;
    let through = Slot(read_number(&mut from)?);
    let at = Timestamp(read_number(&mut from)?);
    let term = read_number(&mut from)?;
    Some(Position { through, hash: Hash(*hash), at, term, state: Bytes::copy_from_slice(from) })
}

/// Writes a number as LEB128: seven bits a byte, the lowest first.
fn write_number(to: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return to.push(low & 0x7f);
        }
        to.push(low | 0x80);
    }
}

/// Reads such a number and moves `from` behind it; `None` if it does not end or fit.
fn read_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_order_as_offsets(a: u64, b: u64, shift in 0_u32..64) {
            let (a, b) = (a >> shift, b >> shift);
            let stream = Uuid::from_u128(7);
            let (first, second) = (event_key(stream, a), event_key(stream, b));
            prop_assert_eq!(first.as_slice().cmp(second.as_slice()), a.cmp(&b));
            prop_assert_eq!(offset_in_event_key(&first), Some(a));
        }

        #[test]
        fn event_values_come_back(entries: u64, place: u64, at: u32, len: u32) {
            let value = EventValue { entries, place: Place(place), at, len };
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            prop_assert_eq!(EventValue::decode(&bytes), Some(value));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let entity = Uuid::from_u128(1);
            prop_assert!(decode_checkpoint(entity, &bytes).is_none_or(|found| found.entity == entity));
            prop_assert!(decode_position(&bytes).is_none_or(|_| bytes.len() >= 35));
            prop_assert!(EventValue::decode(&bytes).is_none_or(|_| bytes.len() >= 4));
            prop_assert!(offset_in_event_key(&bytes).is_none_or(|_| bytes.len() >= 17));
        }
    }

    #[test]
    fn a_typical_event_row_needs_no_allocation() {
        let value = EventValue { entries: 900, place: Place(40 << 30), at: 100_000, len: 300 };
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert!(bytes.len() <= 13, "{} bytes", bytes.len());
        assert!(event_key(Uuid::from_u128(u128::MAX), 65_535).len() <= 20);
    }
}
