//! What kinds of room there are, and the ids of those that nobody has to make.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{RoomId, UserId};

/// The longest name of a role or region, in bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// The name of a role or a region: 1 to 64 of `a–z 0–9 . _ -`, as tokens carry it, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Label(Arc<str>);

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no name of a role or region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not 1 to 64 letters, digits, dots, dashes or underscores")]
pub struct NotALabel;

impl FromStr for Label {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Self, NotALabel> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > LABEL_BYTES_MAX || !text.bytes().all(fits) {
            return Err(NotALabel);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

/// What a room is, which says who reads it and who writes in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomKind {
    /// A person's own: the platform tells them things. Nobody has to make it.
    User(UserId),
    /// Of all who have a role. Nobody has to make it.
    Role(Label),
    /// Of all who are in a region. Nobody has to make it.
    Region(Label),
    /// Made by a person, for people they let in.
    Group,
    /// Of exactly two people, the lower id first; see [`Self::direct`].
    Direct(UserId, UserId),
    /// Made by the server, which alone writes in it; anybody reads it.
    Broadcast,
}

impl RoomKind {
    /// The room of two people, whoever names them first; `None` for one person twice.
    pub fn direct(one: UserId, other: UserId) -> Option<Self> {
        (one != other).then(|| Self::Direct(one.min(other), one.max(other)))
    }

    /// The id of the room that follows from its kind; `None` for those that are made.
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::User(user) => Some(derived("user", &[user.0.as_bytes()])),
            Self::Role(role) => Some(derived("role", &[role.as_str().as_bytes()])),
            Self::Region(region) => Some(derived("region", &[region.as_str().as_bytes()])),
            Self::Direct(one, other) => Some(derived("direct", &[one.0.as_bytes(), other.0.as_bytes()])),
            Self::Group | Self::Broadcast => None,
        }
    }

    /// Whether the room is there without anybody making it.
    pub const fn is_implicit(&self) -> bool {
        matches!(self, Self::User(_) | Self::Role(_) | Self::Region(_))
    }

    /// Whether people, not only the server, write in it.
    pub const fn is_of_people(&self) -> bool {
        matches!(self, Self::Group | Self::Direct(..))
    }
}

impl RoomId {
    /// The id of the room that `maker` makes under the idempotency key `key`: the same for ever.
    pub fn made(maker: Uuid, key: &str) -> Self {
        derived("made", &[maker.as_bytes(), key.as_bytes()])
    }

    /// The id of a room made without a key, from 16 random bytes.
    pub fn random(bits: [u8; 16]) -> Self {
        Self(Uuid::new_v8(bits))
    }
}

/// UUIDv8 of a hash, whose first 16 bits are the room's route. `parts` are told apart by `what`, which
/// fixes the length of all but the last.
fn derived(what: &str, parts: &[&[u8]]) -> RoomId {
    let mut hasher = blake3::Hasher::new_derive_key("quickpe 2026 id of a room");
    hasher.update(what.as_bytes());
    hasher.update(&[0]);
    for part in parts {
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let mut bits = [0; 16];
    bits.copy_from_slice(hash.as_bytes().split_at(16).0);
    RoomId::random(bits)
}

/// How messages of a room are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomClass {
    /// As notices: never shed.
    Notice,
    /// As chat: shed under pressure, which is said.
    Chat,
}

/// Who may join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Anybody.
    Open,
    /// Whom a moderator invited.
    Invited,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardCount;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    #[test]
    fn ids_do_not_change_their_meaning() {
        // Written into every journal of rooms: a change here loses them.
        let room = |kind: RoomKind| kind.room().unwrap().to_string();
        assert_eq!(room(RoomKind::User(user(1))), "78d5f380-62de-8d16-9b1c-812ae09c4b3d");
        assert_eq!(room(RoomKind::Role("Support".parse().unwrap())), "f4b5fc6d-60eb-8bf2-8312-2a755da812a2");
        assert_eq!(room(RoomKind::Region("support".parse().unwrap())), "6b429f7f-b864-86cc-8902-fee7c1f13526");
        assert_eq!(room(RoomKind::direct(user(2), user(1)).unwrap()), "f57b33fe-67ad-81ed-abb5-2528560a00fe");
        assert_eq!(RoomId::made(user(1).0, "key").to_string(), "1f27b7e7-1970-8c74-89ea-a4b58d36ba72");
        assert_eq!(RoomKind::Group.room(), None);
    }

    #[test]
    fn two_people_have_one_room() {
        assert_eq!(RoomKind::direct(user(1), user(2)), RoomKind::direct(user(2), user(1)));
        assert_eq!(RoomKind::direct(user(1), user(1)), None);
    }

    #[test]
    fn rooms_spread_over_the_shards() {
        let mut counts = [0_u32; 256];
        for number in 0..25_600 {
            let room = RoomKind::User(user(number)).room().unwrap();
            assert_eq!(room.0.get_version_num(), 8);
            counts[usize::from(room.route().shard(ShardCount::DEFAULT).0)] += 1;
        }
        assert!(counts.iter().all(|count| (50..=160).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_label_is_short_and_plain() {
        assert_eq!("IN-mh".parse::<Label>().unwrap().as_str(), "in-mh");
        for wrong in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert_eq!(wrong.parse::<Label>(), Err(NotALabel), "{wrong}");
        }
    }
}
