//! A person's row, and changing it by comparison.

use domain::ids::{QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use storage::Error;
use storage::identity::{Credentials, Email, Person, PersonName, Role, Status, Tombstone, User};
use storage::sealing::WrappedKey;
use uuid::Uuid;

use super::People;
use crate::applied::Applied;
use crate::number::{from_cql, to_cql};
use crate::statements::Named;

/// How often a change is tried against others of the same person. They come one at a time from each process.
const TRIES_MAX: u32 = 32;

/// Whether a person may sign in, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Active,
    Erasing,
    Erased,
}

impl Stage {
    const fn number(self) -> i8 {
        match self {
            Self::Active => 0,
            Self::Erasing => 1,
            Self::Erased => 2,
        }
    }

    fn from_number(number: i8) -> Result<Self, Error> {
        match number {
            0 => Ok(Self::Active),
            1 => Ok(Self::Erasing),
            2 => Ok(Self::Erased),
            _ => Err(Error::Unknown(format!("the status {number} of a person is not known to this build"))),
        }
    }
}

/// A person's row. What an erased person had is empty.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) quickpe_id: QuickpeId,
    pub(super) email: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) role: Role,
    pub(super) region: Option<Region>,
    pub(super) created_at: Timestamp,
    pub(super) version: u64,
    pub(super) stage: Stage,
    /// Since when, if it is not active.
    pub(super) stage_at: Option<Timestamp>,
    pub(super) password_hash: Option<String>,
    pub(super) password_at: Option<Timestamp>,
    pub(super) key: Option<WrappedKey>,
    /// Drawn anew at every change: whoever changes the row says which one they saw.
    pub(super) change: Uuid,
}

/// The columns of a row, in the order in which they are read.
type Columns = (
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    i8,
    Option<String>,
    i64,
    i64,
    i8,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Uuid,
);

impl Row {
    fn read(columns: Columns) -> Result<Self, Error> {
        let (
            quickpe_id,
            email,
            first,
            last,
            role,
            region,
            created,
            version,
            stage,
            stage_at,
            hash,
            hash_at,
            by,
            key,
            change,
        ) = columns;
        let unknown = |what: &str| Error::Unknown(format!("the {what} of a person is not known to this build"));
        let time = |column: Option<i64>| column.map(|at| from_cql(at).map(Timestamp)).transpose();
        let wrapped = |by: Vec<u8>, bytes| {
            let by = by.try_into().map_err(|_| unknown("data key"))?;
            Ok::<_, Error>(WrappedKey { by, bytes })
        };
        Ok(Self {
            quickpe_id: u32::try_from(quickpe_id).ok().and_then(QuickpeId::new).ok_or_else(|| unknown("QuickPe id"))?,
            email,
            first_name: first,
            last_name: last,
            role: u8::try_from(role).ok().and_then(Role::from_number).ok_or_else(|| unknown("role"))?,
            region: region.map(|text| text.parse().map_err(|_| unknown("region"))).transpose()?,
            created_at: Timestamp(from_cql(created)?),
            version: from_cql(version)?,
            stage: Stage::from_number(stage)?,
            stage_at: time(stage_at)?,
            password_hash: hash,
            password_at: time(hash_at)?,
            key: by.zip(key).map(|(by, key)| wrapped(by, key)).transpose()?,
            change,
        })
    }

    /// Whether the person is not erased.
    pub(super) fn is_live(&self) -> bool {
        self.stage != Stage::Erased
    }

    /// The live person of the row.
    pub(super) fn user(&self, id: UserId) -> Result<User, Error> {
        let text = |column: &Option<String>| {
            column.clone().ok_or_else(|| Error::Unknown(format!("{id} is live and has no name or e-mail")))
        };
        let wrong = || Error::Unknown(format!("the name or e-mail of {id} cannot be one"));
        Ok(User {
            id,
            quickpe_id: self.quickpe_id,
            email: Email::parse(&text(&self.email)?).map_err(|_| wrong())?,
            first_name: PersonName::parse(&text(&self.first_name)?).map_err(|_| wrong())?,
            last_name: PersonName::parse(&text(&self.last_name)?).map_err(|_| wrong())?,
            role: self.role,
            region: self.region,
            created_at: self.created_at,
            version: self.version,
            status: if self.stage == Stage::Erasing { Status::Erasing } else { Status::Active },
        })
    }

    /// The person of the row.
    pub(super) fn person(&self, id: UserId) -> Result<Person, Error> {
        if self.is_live() {
            return self.user(id).map(Person::Live);
        }
        let erased_at = self.stage_at.unwrap_or(self.created_at);
        Ok(Person::Erased(Tombstone { id, quickpe_id: self.quickpe_id, erased_at }))
    }

    /// What the person signs in with.
    pub(super) fn credentials(self) -> Option<Credentials> {
        let (password_hash, changed_at) = self.password_hash.zip(self.password_at)?;
        Some(Credentials { password_hash, changed_at })
    }
}

impl People {
    /// A person's row, as a quorum has it.
    pub(super) async fn row(&self, user: UserId) -> Result<Option<Row>, Error> {
        self.cql.row::<Columns>(Named::PersonRead, (user.0,)).await?.map(Row::read).transpose()
    }

    /// A person's row, with every change settled that was under way.
    pub(super) async fn settled_row(&self, user: UserId) -> Result<Option<Row>, Error> {
        self.cql.row::<Columns>(Named::PersonSerial, (user.0,)).await?.map(Row::read).transpose()
    }

    /// Writes a new person's row, unless there is one with the id.
    pub(super) async fn insert(&self, user: UserId, row: &Row) -> Result<bool, Error> {
        let (by, key) = key_columns(row);
        let values = (
            user.0,
            quickpe_number(row.quickpe_id)?,
            &row.email,
            &row.first_name,
            &row.last_name,
            role_number(row.role),
            region_text(row),
            to_cql(row.created_at.0)?,
            to_cql(row.version)?,
            row.stage.number(),
            &row.password_hash,
            time(row.password_at)?,
            by,
            key,
            row.change,
        );
        let settled = self.cql.transaction(Named::PersonInsert, user.0, values).await?;
        Ok(match settled.applied {
            Applied::Yes => true,
            // An earlier offer of ours may have made it.
            Applied::No(there) => there.uuid("change") == Some(row.change),
        })
    }

    /// Changes a person's row. `decide` changes what it is given and answers true, or false for no change; it may be
    /// asked again. Answers the row as it is then, and whether it was changed; nothing if there is no such person.
    pub(super) async fn change(
        &self,
        user: UserId,
        decide: impl Fn(&mut Row) -> bool + Send + Sync,
    ) -> Result<Option<(Row, bool)>, Error> {
        for _ in 0..TRIES_MAX {
            let Some(mut row) = self.settled_row(user).await? else { return Ok(None) };
            let seen = row.change;
            if !decide(&mut row) {
                return Ok(Some((row, false)));
            }
            row.change = Uuid::from_bytes(rand::random());
            if self.replace(user, seen, &row).await? {
                return Ok(Some((row, true)));
            }
        }
        Err(Error::Unavailable(format!("{TRIES_MAX} changes of one person in a row came in between")))
    }

    /// Writes a row if it is still the one that was seen.
    async fn replace(&self, user: UserId, seen: Uuid, row: &Row) -> Result<bool, Error> {
        let (by, key) = key_columns(row);
        let values = (
            &row.email,
            &row.first_name,
            &row.last_name,
            role_number(row.role),
            region_text(row),
            to_cql(row.version)?,
            row.stage.number(),
            time(row.stage_at)?,
            &row.password_hash,
            time(row.password_at)?,
            by,
            key,
            row.change,
            user.0,
            seen,
        );
        let settled = self.cql.transaction(Named::PersonChange, user.0, values).await?;
        Ok(match settled.applied {
            Applied::Yes => true,
            // The condition names `change`, so a refusal says which one is there: ours, if an earlier offer made it.
            Applied::No(there) => there.uuid("change") == Some(row.change),
        })
    }
}

fn key_columns(row: &Row) -> (Option<&[u8]>, Option<&[u8]>) {
    (row.key.as_ref().map(|key| &key.by[..]), row.key.as_ref().map(|key| &key.bytes[..]))
}

fn region_text(row: &Row) -> Option<&str> {
    row.region.as_ref().map(Region::as_str)
}

fn role_number(role: Role) -> i8 {
    i8::try_from(role.number()).unwrap_or(i8::MAX)
}

/// A QuickPe id as it is stored: nine digits fit.
pub(super) fn quickpe_number(id: QuickpeId) -> Result<i32, Error> {
    i32::try_from(id.get()).map_err(|_| Error::Unknown(format!("{id} is past what the store can hold")))
}

fn time(at: Option<Timestamp>) -> Result<Option<i64>, Error> {
    at.map(|at| to_cql(at.0)).transpose()
}
