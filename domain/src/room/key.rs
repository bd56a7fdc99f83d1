//! What makes a publish idempotent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::RoomId;

/// The longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// An idempotency key of one principal in one room, hashed to a fixed length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageKey(pub [u8; 16]);

impl MessageKey {
    /// Of `key` as `principal` sent it to `room`.
    pub fn of(room: RoomId, principal: Uuid, key: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("quickpe 2026 key of a message");
        hasher.update(room.0.as_bytes());
        hasher.update(principal.as_bytes());
        hasher.update(key.as_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(hasher.finalize().as_bytes().split_at(16).0);
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_one_principal_in_one_room() {
        let room = |number| RoomId(Uuid::from_u128(number));
        let key = |at, by, key| MessageKey::of(room(at), Uuid::from_u128(by), key);
        assert_eq!(key(1, 2, "a"), key(1, 2, "a"));
        for other in [key(2, 2, "a"), key(1, 3, "a"), key(1, 2, "b")] {
            assert_ne!(key(1, 2, "a"), other);
        }
    }
}
