//! People, as the identity store knows them.

use std::fmt;
use std::str::FromStr;

use domain::ids::{QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;

use crate::identity::{Email, PersonName};

/// What a person may do beyond their own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Their own account only.
    #[default]
    User,
    /// Also fund accounts.
    Treasury,
    /// Also operate the platform.
    Admin,
    /// Also see what became of people's messages.
    Support,
}

impl Role {
    /// The role's name in tokens and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Treasury => "treasury",
            Self::Admin => "admin",
            Self::Support => "support",
        }
    }

    /// The number of the role in stored records. Never changes its meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::User => 0,
            Self::Treasury => 1,
            Self::Admin => 2,
            Self::Support => 3,
        }
    }

    /// The role with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::User),
            1 => Some(Self::Treasury),
            2 => Some(Self::Admin),
            3 => Some(Self::Support),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a role: user, treasury, admin or support")]
pub struct NotARole;

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        [Self::User, Self::Treasury, Self::Admin, Self::Support]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or(NotARole)
    }
}

/// Who signs up.
#[derive(Clone)]
pub struct NewUser {
    /// Their id, made by the caller.
    pub id: UserId,
    /// Unique among live people.
    pub email: Email,
    /// First name.
    pub first_name: PersonName,
    /// Last name.
    pub last_name: PersonName,
    /// PHC string of the hash of their password.
    pub password_hash: String,
    /// Their role.
    pub role: Role,
    /// Where they are, if they said so.
    pub region: Option<Region>,
    /// When.
    pub created_at: Timestamp,
}

/// What became of a sign-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// The person is made, durably.
    Created(User),
    /// A live person has the e-mail.
    EmailTaken,
    /// The id was used before: the caller's ids repeat, or it sent the same sign-up twice.
    IdTaken,
}

/// Whether a person may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Yes.
    Active,
    /// No: their erasure has begun.
    Erasing,
}

/// A live person.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their public handle.
    pub quickpe_id: QuickpeId,
    /// Their e-mail.
    pub email: Email,
    /// First name.
    pub first_name: PersonName,
    /// Last name.
    pub last_name: PersonName,
    /// What they may do.
    pub role: Role,
    /// Where they are, if that is known.
    pub region: Option<Region>,
    /// When they signed up.
    pub created_at: Timestamp,
    /// Raised by every change of the profile, role or region, from 1.
    pub version: u64,
    /// Whether they may sign in.
    pub status: Status,
}

/// Logs get the ids, never a name or an e-mail.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}, {}, {}, version {}, {:?})", self.id, self.quickpe_id, self.role, self.version, self.status)
    }
}

/// What stays of an erased person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Their id, which events hold for ever.
    pub id: UserId,
    /// Their handle, never given again.
    pub quickpe_id: QuickpeId,
    /// When they were erased.
    pub erased_at: Timestamp,
}

/// Somebody, live or erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// Live.
    Live(User),
    /// Erased.
    Erased(Tombstone),
}

impl Person {
    /// The person, if live.
    pub fn live(self) -> Option<User> {
        match self {
            Self::Live(user) => Some(user),
            Self::Erased(_) => None,
        }
    }

    /// Their id.
    pub const fn id(&self) -> UserId {
        match self {
            Self::Live(user) => user.id,
            Self::Erased(tombstone) => tombstone.id,
        }
    }

    /// Their handle.
    pub const fn quickpe_id(&self) -> QuickpeId {
        match self {
            Self::Live(user) => user.quickpe_id,
            Self::Erased(tombstone) => tombstone.quickpe_id,
        }
    }
}

/// What to change of a profile; `None` leaves it.
#[derive(Clone, Default)]
pub struct ProfileChange {
    /// The new first name.
    pub first_name: Option<PersonName>,
    /// The new last name.
    pub last_name: Option<PersonName>,
    /// The new e-mail.
    pub email: Option<Email>,
}

/// What became of a change of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileChanged {
    /// It is done, durably.
    Changed(User),
    /// Somebody changed it before: this is what it is now.
    Stale(User),
    /// Another live person has the e-mail.
    EmailTaken,
    /// There is no such live person.
    Unknown,
}

/// What a person signs in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// PHC string of the hash of their password.
    pub password_hash: String,
    /// When it was set.
    pub changed_at: Timestamp,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(changed_at: {:?})", self.changed_at)
    }
}
