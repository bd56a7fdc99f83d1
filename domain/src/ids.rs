//! Ids: who is who, and which shard serves them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Currency;

/// Declares a newtype around a UUID.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A person. UUIDv7, made at sign-up.
    UserId
);
uuid_id!(
    /// One of a person's devices. UUIDv7, made when the device first says its own stable name.
    DeviceId
);
uuid_id!(
    /// One connection. UUIDv7, made at `hello`.
    SessionId
);
uuid_id!(
    /// A refresh-token family. UUIDv7, made at sign-in.
    LoginId
);
uuid_id!(
    /// One request from the outside, or one wake of a timer. Follows it through every log line.
    OperationId
);
uuid_id!(
    /// The money of one person in one currency. UUIDv5 of the two.
    AccountId
);
uuid_id!(
    /// Money that moved or moves. UUIDv8, see [`derived`].
    TransferId
);
uuid_id!(
    /// Money set aside for a payee. UUIDv8, see [`derived`].
    HoldId
);
uuid_id!(
    /// A stream of messages and who hears it. UUIDv8: its route, then a hash of what it is derived from
    /// or random bits; see [`crate::room::RoomKind::room`].
    RoomId
);

/// Namespace of account ids, made once for this project.
const ACCOUNT_NAMESPACE: Uuid = Uuid::from_u128(0x8f0e_5f6a_2d0b_4c53_9a41_6e0c_7b1d_35c2);

impl AccountId {
    /// The account of `user` in `currency`. Two callers with the same arguments get the same id.
    pub fn of(user: UserId, currency: Currency) -> Self {
        let mut name = [0; 19];
        let (id, code) = name.split_at_mut(16);
        id.copy_from_slice(user.0.as_bytes());
        code.copy_from_slice(currency.code().as_bytes());
        Self(Uuid::new_v5(&ACCOUNT_NAMESPACE, &name))
    }

    /// The 16 bits by which the account and all it decides find their shard.
    pub fn route(self) -> Route {
        Route::of(self.0)
    }
}

impl TransferId {
    /// The route of the account that decided the transfer.
    pub fn route(self) -> Route {
        Route::inside(self.0)
    }
}

impl RoomId {
    /// The route of the room.
    pub fn route(self) -> Route {
        Route::inside(self.0)
    }
}

impl HoldId {
    /// The route of the account that the hold is on.
    pub fn route(self) -> Route {
        Route::inside(self.0)
    }
}

/// 16 bits of an entity's hash. With the number of shards it names the shard, whatever that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(u16);

impl Route {
    /// The first 16 bits of the BLAKE3 hash of an entity's id.
    pub fn of(entity: Uuid) -> Self {
        let hash = blake3::hash(entity.as_bytes());
        let [high, low, ..] = *hash.as_bytes();
        Self(u16::from_be_bytes([high, low]))
    }

    /// The route that [`derived`] and [`random`] wrote into an id.
    fn inside(id: Uuid) -> Self {
        let [high, low, ..] = *id.as_bytes();
        Self(u16::from_be_bytes([high, low]))
    }

    /// The shard of this route among `shards` of them.
    pub fn shard(self, shards: ShardCount) -> ShardId {
        // A count of shards is at least 1.
        ShardId(self.0.checked_rem(shards.0).unwrap_or(0))
    }
}

/// One of a store's shards, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shards a store has: 64 to 1,024, chosen when it is created, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardCount(u16);

impl ShardCount {
    /// What a store has if nobody says otherwise.
    pub const DEFAULT: Self = Self(256);

    /// Takes a number of shards that a store may have.
    pub fn new(count: u16) -> Option<Self> {
        (64..=1024).contains(&count).then_some(Self(count))
    }

    /// A number of shards below what a store may have, for tests and simulations of few.
    pub fn few(count: u16) -> Option<Self> {
        (1..=1024).contains(&count).then_some(Self(count))
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Every shard, in order.
    pub fn shards(self) -> impl Iterator<Item = ShardId> {
        (0..self.0).map(ShardId)
    }
}

/// The id of what `account` decides for `principal` under the idempotency key `key`.
///
/// UUIDv8: the account's route, then BLAKE3(account, principal, key). The same three give the same
/// id for ever, which is what makes a key's effect unique.
pub fn derived(account: AccountId, principal: Uuid, key: &str) -> Uuid {
    let mut hasher = blake3::Hasher::new_derive_key("quickpe 2026 id of a keyed command");
    hasher.update(account.0.as_bytes());
    hasher.update(principal.as_bytes());
    hasher.update(key.as_bytes());
    let hash = hasher.finalize();
    let mut bits = [0; 16];
    bits.copy_from_slice(hash.as_bytes().split_at(16).0);
    random(account, bits)
}

/// The id of what `account` decides without a key, from 16 random bytes.
pub fn random(account: AccountId, bits: [u8; 16]) -> Uuid {
    let mut bytes = bits;
    let [first, second, ..] = &mut bytes;
    [*first, *second] = account.route().0.to_be_bytes();
    Uuid::new_v8(bytes)
}

/// A person's public handle: `QP`, nine digits and a check digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuickpeId(u32);

impl QuickpeId {
    /// How many handles there are.
    pub const COUNT: u32 = 1_000_000_000;

    /// The handle with these nine digits.
    pub fn new(digits: u32) -> Option<Self> {
        (digits < Self::COUNT).then_some(Self(digits))
    }

    /// The nine digits, without the check digit.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The Luhn check digit (ISO/IEC 7812-1, annex B).
    fn check_digit(self) -> u32 {
        let mut sum: u32 = 0;
        let mut rest = self.0;
        for place in 0_u32..9 {
            let digit = rest % 10;
            rest /= 10;
            let doubled = if place.is_multiple_of(2) { digit.saturating_mul(2) } else { digit };
            sum = sum.saturating_add(if doubled > 9 { doubled.saturating_sub(9) } else { doubled });
        }
        10_u32.saturating_sub(sum % 10) % 10
    }
}

impl fmt::Display for QuickpeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QP{:09}{}", self.0, self.check_digit())
    }
}

/// The text is no QuickPe id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a QuickPe id: QP and ten digits, the last a check digit")]
pub struct NotAQuickpeId;

impl FromStr for QuickpeId {
    type Err = NotAQuickpeId;

    fn from_str(text: &str) -> Result<Self, NotAQuickpeId> {
        let digits = text.strip_prefix("QP").or_else(|| text.strip_prefix("qp")).ok_or(NotAQuickpeId)?;
        if digits.len() != 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAQuickpeId);
        }
        let (number, check) = digits.split_at(9);
        let id = Self(number.parse().map_err(|_| NotAQuickpeId)?);
        if id.check_digit().to_string() == check { Ok(id) } else { Err(NotAQuickpeId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    #[test]
    fn an_account_and_what_it_decides_share_a_shard() {
        for number in 0..200 {
            let account = AccountId::of(user(number), Currency::Inr);
            for count in [64, 256, 1024] {
                let shards = ShardCount::new(count).unwrap();
                let transfer = TransferId(derived(account, user(number).0, "key"));
                let hold = HoldId(random(account, [7; 16]));
                assert_eq!(transfer.route().shard(shards), account.route().shard(shards));
                assert_eq!(hold.route().shard(shards), account.route().shard(shards));
            }
        }
    }

    #[test]
    fn a_key_names_one_transfer() {
        let account = AccountId::of(user(1), Currency::Inr);
        assert_eq!(derived(account, user(1).0, "a"), derived(account, user(1).0, "a"));
        assert_ne!(derived(account, user(1).0, "a"), derived(account, user(1).0, "b"));
        assert_ne!(derived(account, user(1).0, "a"), derived(account, user(2).0, "a"));
        assert_eq!(derived(account, user(1).0, "a").get_version_num(), 8);
    }

    #[test]
    fn ids_do_not_change_their_meaning() {
        // Written into every journal: a change here loses accounts.
        let account = AccountId::of(user(1), Currency::Inr);
        assert_eq!(account.to_string(), "faafe6cc-c119-55ec-a04c-fc20835352a0");
        assert_eq!(account.route().shard(ShardCount::DEFAULT).0, 11);
        assert_eq!(derived(account, user(1).0, "key").to_string(), "5a0b042c-7564-88d1-8a25-1ded9eca862c");
    }

    #[test]
    fn shards_are_even() {
        let shards = ShardCount::DEFAULT;
        let mut counts = vec![0_u32; 256];
        for number in 0..25_600 {
            counts[usize::from(AccountId::of(user(number), Currency::Inr).route().shard(shards).0)] += 1;
        }
        assert!(counts.iter().all(|count| (50..=160).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_handle_reads_back_and_one_wrong_digit_is_seen(number in 0..QuickpeId::COUNT, place in 2_usize..12, by in 1_u8..10) {
            let id = QuickpeId::new(number).unwrap();
            let text = id.to_string();
            prop_assert_eq!(text.len(), 12);
            prop_assert_eq!(text.parse(), Ok(id));
            let mut wrong = text.into_bytes();
            wrong[place] = b'0' + (wrong[place] - b'0' + by) % 10;
            prop_assert_eq!(String::from_utf8(wrong).unwrap().parse::<QuickpeId>(), Err(NotAQuickpeId));
        }
    }
}
