//! The tables of the identity store and the stored forms of their records.
//!
//! Ids are keys as their 128 bits, so they sort as UUIDs do. Tables that hold only what another table
//! says are indexes: they are written in the same transaction.

use domain::ids::{LoginId, QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::embedded::database::{Failed, Stored};
use crate::identity::{Email, Login, Person, PersonName, Role, Status, Tombstone, User};
use crate::sealing::WrappedKey;

/// User → [`PersonRecord`].
pub(super) const PEOPLE: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("people");
/// User → [`CredentialsRecord`].
pub(super) const CREDENTIALS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("credentials");
/// User → [`KeyRecord`].
pub(super) const KEYS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("keys");
/// E-mail → user.
pub(super) const EMAILS: TableDefinition<'_, &str, u128> = TableDefinition::new("emails");
/// QuickPe id without its check digit → user, live or erased.
pub(super) const QUICKPE_IDS: TableDefinition<'_, u32, u128> = TableDefinition::new("quickpe_ids");
/// Folded first or last name, user.
pub(super) const NAMES: TableDefinition<'_, (&str, u128), ()> = TableDefinition::new("names");
/// Login → [`LoginRecord`].
pub(super) const LOGINS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("logins");
/// User, login.
pub(super) const LOGINS_OF_USER: TableDefinition<'_, (u128, u128), ()> = TableDefinition::new("logins_of_user");
/// When the login expires in µs, login.
pub(super) const LOGINS_BY_EXPIRY: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("logins_by_expiry");
/// User → [`ErasureRecord`].
pub(super) const ERASURES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("erasures");
/// Nothing → how many were erased since the last rewrite, and when the first was, in µs.
pub(super) const COMPACTION: TableDefinition<'_, (), (u64, u64)> = TableDefinition::new("compaction");

/// Somebody, live or erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PersonRecord {
    /// Live.
    Live(LiveRecord),
    /// Erased.
    Erased {
        /// The handle, without its check digit.
        quickpe_id: QuickpeId,
        /// When.
        erased_at: Timestamp,
    },
}

/// A live person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LiveRecord {
    pub(super) quickpe_id: QuickpeId,
    pub(super) email: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
    /// [`Role::number`].
    pub(super) role: u8,
    pub(super) created_at: Timestamp,
    pub(super) version: u64,
    pub(super) erasing: bool,
    pub(super) region: Option<Region>,
}

/// Somebody, as version 1 has it: it knows no regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PersonRecord1 {
    Live(LiveRecord1),
    Erased { quickpe_id: QuickpeId, erased_at: Timestamp },
}

/// A live person, as version 1 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LiveRecord1 {
    quickpe_id: QuickpeId,
    email: String,
    first_name: String,
    last_name: String,
    role: u8,
    created_at: Timestamp,
    version: u64,
    erasing: bool,
}

/// What a person signs in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CredentialsRecord {
    pub(super) password_hash: String,
    pub(super) changed_at: Timestamp,
}

/// A person's data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) wrapped: WrappedKey,
}

/// A refresh-token family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoginRecord {
    pub(super) user: UserId,
    pub(super) device: String,
    pub(super) created_at: Timestamp,
    pub(super) used_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) generation: u32,
    /// What the device that rotated last was known by; nothing before the first rotation.
    pub(super) rotated_by: Option<String>,
}

/// An erasure that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErasureRecord {
    pub(super) began_at: Timestamp,
    pub(super) key_destroyed: bool,
}

impl Stored for PersonRecord1 {
    const NAME: &'static str = "person";
}

impl Stored for PersonRecord {
    const NAME: &'static str = "person";
    const VERSION: u8 = 2;

    fn decode(bytes: &[u8]) -> Result<Self, Failed> {
        match bytes.split_first() {
            Some((&Self::VERSION, rest)) => postcard::from_bytes(rest)
                .map_err(|error| Failed::Undecodable(format!("a {} cannot be decoded: {error}", Self::NAME))),
            _ => PersonRecord1::decode(bytes).map(Self::from),
        }
    }
}

impl From<PersonRecord1> for PersonRecord {
    fn from(old: PersonRecord1) -> Self {
        match old {
            PersonRecord1::Live(old) => Self::Live(LiveRecord {
                quickpe_id: old.quickpe_id,
                email: old.email,
                first_name: old.first_name,
                last_name: old.last_name,
                role: old.role,
                created_at: old.created_at,
                version: old.version,
                erasing: old.erasing,
                region: None,
            }),
            PersonRecord1::Erased { quickpe_id, erased_at } => Self::Erased { quickpe_id, erased_at },
        }
    }
}

impl Stored for CredentialsRecord {
    const NAME: &'static str = "credential";
}

impl Stored for KeyRecord {
    const NAME: &'static str = "data key";
}

impl Stored for LoginRecord {
    const NAME: &'static str = "login";
}

impl Stored for ErasureRecord {
    const NAME: &'static str = "erasure";
}

impl PersonRecord {
    /// The person that this is the record of.
    pub(super) fn into_person(self, id: UserId) -> Result<Person, Failed> {
        match self {
            Self::Live(record) => record.into_user(id).map(Person::Live),
            Self::Erased { quickpe_id, erased_at } => Ok(Person::Erased(Tombstone { id, quickpe_id, erased_at })),
        }
    }
}

impl LiveRecord {
    /// The user that this is the record of.
    pub(super) fn into_user(self, id: UserId) -> Result<User, Failed> {
        let role = Role::from_number(self.role);
        Ok(User {
            id,
            quickpe_id: self.quickpe_id,
            email: Email::stored(self.email),
            first_name: PersonName::stored(self.first_name),
            last_name: PersonName::stored(self.last_name),
            role: role.ok_or_else(|| Failed::Undecodable(format!("the role of {id} is not known to this build")))?,
            region: self.region,
            created_at: self.created_at,
            version: self.version,
            status: if self.erasing { Status::Erasing } else { Status::Active },
        })
    }
}

impl LoginRecord {
    /// The login that this is the record of.
    pub(super) fn into_login(self, id: LoginId) -> Login {
        Login {
            id,
            user: self.user,
            device: self.device,
            created_at: self.created_at,
            used_at: self.used_at,
            expires_at: self.expires_at,
            generation: self.generation,
        }
    }
}

/// The key of a user.
pub(super) fn key(user: UserId) -> u128 {
    user.0.as_u128()
}

/// The user with this key.
pub(super) fn user(key: u128) -> UserId {
    UserId(Uuid::from_u128(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::golden::golden;

    #[test]
    fn todays_records_read_back_for_ever() {
        let quickpe_id = QuickpeId::new(123_456_789).unwrap();
        let first = PersonRecord1::Live(LiveRecord1 {
            quickpe_id,
            email: "asha@example.com".to_owned(),
            first_name: "Asha".to_owned(),
            last_name: "Rao".to_owned(),
            role: 2,
            created_at: Timestamp(1_790_000_000_000_000),
            version: 3,
            erasing: true,
        });
        let first_erased = PersonRecord1::Erased { quickpe_id, erased_at: Timestamp(1_790_000_000_000_001) };
        for old in [&first, &first_erased] {
            assert_eq!(PersonRecord::decode(&old.encode().unwrap()).unwrap(), old.clone().into());
        }
        let PersonRecord::Live(person) = first.clone().into() else { panic!("it is live") };
        let person = PersonRecord::Live(LiveRecord { region: "IN-MH".parse().ok(), ..person });
        let erased = PersonRecord::from(first_erased.clone());
        let credentials = CredentialsRecord { password_hash: "$argon2id$v=19$".to_owned(), changed_at: Timestamp(5) };
        let data_key = KeyRecord { wrapped: WrappedKey { by: [1; 8], bytes: vec![2; 60] } };
        let login = LoginRecord {
            user: user(7),
            device: "phone".to_owned(),
            created_at: Timestamp(1),
            used_at: Timestamp(2),
            expires_at: Timestamp(3),
            generation: 4,
            rotated_by: Some("203.0.113.9".to_owned()),
        };
        let erasure = ErasureRecord { began_at: Timestamp(9), key_destroyed: true };
        let golden = golden(include_str!("golden.txt"));
        golden.check("person", &first);
        golden.check("person erased", &first_erased);
        golden.check("person 2", &person);
        golden.check("person erased 2", &erased);
        golden.check("credentials", &credentials);
        golden.check("data key", &data_key);
        golden.check("login", &login);
        golden.check("erasure", &erasure);
        golden.agrees();
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(matches!(PersonRecord::decode(&[]), Err(Failed::Undecodable(_))));
        assert!(
            matches!(PersonRecord::decode(&[3, 0, 0]), Err(Failed::Undecodable(what)) if what.contains("version 3"))
        );
        assert!(matches!(PersonRecord::decode(&[1, 0, 0xff]), Err(Failed::Undecodable(_))));
    }
}
