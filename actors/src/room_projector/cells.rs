//! The index cells of the views of rooms: what each holds, and under which key.

use domain::ids::RoomId;
use domain::ledger::Fingerprint;
use domain::room::Past;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The message that an idempotency key made. By room; sort is the key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCell {
    /// The message.
    pub offset: u64,
    /// Of what it said.
    pub fingerprint: Option<Fingerprint>,
}

impl From<Past> for KeyCell {
    fn from(past: Past) -> Self {
        Self { offset: past.offset, fingerprint: past.fingerprint }
    }
}

impl From<KeyCell> for Past {
    fn from(cell: KeyCell) -> Self {
        Self { offset: cell.offset, fingerprint: cell.fingerprint }
    }
}

/// What became of a message. By room; sort is [`redaction_sort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactionCell {
    /// The event that last changed it.
    pub by: u64,
    /// Whether that deleted it.
    pub deleted: bool,
}

/// A person in a room, or no more: cells are never removed. By person; sort is the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberCell {
    /// They may join.
    Invited,
    /// They are in it.
    Joined,
    /// They went, or were put out.
    Gone,
}

/// Sort of a message among the redactions of its room.
pub fn redaction_sort(offset: u64) -> [u8; 8] {
    offset.to_be_bytes()
}

/// The message in such a sort.
pub fn redacted(sort: &[u8]) -> Option<u64> {
    sort.try_into().ok().map(u64::from_be_bytes)
}

/// The room in the sort of a [`MemberCell`].
pub fn room_in_sort(sort: &[u8]) -> Option<RoomId> {
    Uuid::from_slice(sort).ok().map(RoomId)
}
