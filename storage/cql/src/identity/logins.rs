//! Refresh-token families: rows in their person's partition, and a row that says whose each is.

use std::cmp::Reverse;

use domain::ids::{LoginId, UserId};
use domain::time::Timestamp;
use storage::Error;
use storage::identity::{LOGINS_PER_USER_MAX, Login, NewLogin, ROTATION_GRACE, Rotate, Rotation};
use uuid::Uuid;

use super::People;
use super::login::{Columns, Row};
use super::person::Stage;
use crate::applied::Applied;
use crate::calendar::{self, Due, Purpose, Sweep};
use crate::number::{limit, to_cql};
use crate::statements::Named;

/// How many characters of what a device calls itself are kept.
const DEVICE_CHARS_MAX: usize = 64;

/// Logins of one person read at once: those allowed, and those that begin while others are ended.
const ROWS_MAX: usize = 4 * LOGINS_PER_USER_MAX;

/// How often a rotation is tried against others of the same login.
const TRIES_MAX: u32 = 16;

impl People {
    /// Begins a login of a live person who is not being erased.
    ///
    /// An erasure first says so and then ends all logins: a login that it did not see is begun before anybody looks
    /// here again whether there is one, and ended then.
    pub(super) async fn begin_login(&self, new: NewLogin) -> Result<Option<Login>, Error> {
        if !self.may_sign_in(new.user).await? {
            return Ok(None);
        }
        let row = Row {
            id: new.id,
            device: short(&new.device),
            created_at: new.at,
            used_at: new.at,
            expires_at: new.expires_at,
            generation: 0,
            rotated_by: None,
            change: Uuid::from_bytes(rand::random()),
        };
        self.insert_login(new.user, &row).await?;
        if !self.may_sign_in(new.user).await? {
            self.end(new.user, &row).await?;
            return Ok(None);
        }
        let mut others = self.rows_of(new.user).await?;
        others.retain(|other| other.id != row.id);
        others.sort_by_key(|other| other.used_at);
        let surplus = others.len().saturating_add(1).saturating_sub(LOGINS_PER_USER_MAX);
        for other in others.iter().take(surplus) {
            self.end(new.user, other).await?;
        }
        Ok(Some(row.login(new.user)))
    }

    /// Writes a login that was not there; the same again changes nothing.
    pub(super) async fn insert_login(&self, user: UserId, row: &Row) -> Result<(), Error> {
        self.cql.write(Named::LoginOwnerPut, (row.id.0, user.0)).await?;
        self.note(user, row).await?;
        let values = (
            user.0,
            row.id.0,
            &row.device,
            to_cql(row.created_at.0)?,
            to_cql(row.used_at.0)?,
            to_cql(row.expires_at.0)?,
            i64::from(row.generation),
            &row.rotated_by,
            row.change,
        );
        let inserted = self.cql.transaction(Named::LoginInsert, user.0, values).await?;
        if let Applied::No(there) = inserted.applied
            && there.uuid("change") != Some(row.change)
        {
            return Err(Error::Unknown(format!("the id of login {} was used before", row.id)));
        }
        Ok(())
    }

    async fn may_sign_in(&self, user: UserId) -> Result<bool, Error> {
        Ok(self.settled_row(user).await?.is_some_and(|row| row.stage == Stage::Active))
    }

    /// Exchanges a refresh token for its successor.
    pub(super) async fn rotate(&self, asked: &Rotate) -> Result<Rotation, Error> {
        let Some(user) = self.owner(asked.login).await? else { return Ok(Rotation::Unknown) };
        let device = short(&asked.device);
        for _ in 0..TRIES_MAX {
            let Some(row) = self.login_row(Named::LoginSerial, user, asked.login).await? else {
                return Ok(Rotation::Unknown);
            };
            if row.generation < asked.generation {
                return Ok(Rotation::Unknown);
            }
            if row.expires_at <= asked.at {
                if self.end(user, &row).await? {
                    return Ok(Rotation::Expired);
                }
                continue;
            }
            if row.generation == asked.generation {
                let next = Row {
                    generation: row.generation.saturating_add(1),
                    rotated_by: Some(device.clone()),
                    used_at: asked.at,
                    expires_at: asked.expires_at,
                    change: Uuid::from_bytes(rand::random()),
                    ..row.clone()
                };
                if self.replace_login(user, row.change, &next).await? {
                    return Ok(Rotation::Rotated(next.login(user)));
                }
                continue;
            }
            let is_repeated = row.generation == asked.generation.saturating_add(1)
                && row.rotated_by.as_deref() == Some(device.as_str())
                && asked.at.since(row.used_at) <= ROTATION_GRACE;
            if is_repeated {
                return Ok(Rotation::Repeated(row.login(user)));
            }
            if self.end(user, &row).await? {
                return Ok(Rotation::Reused { user });
            }
        }
        Err(Error::Unavailable(format!("{TRIES_MAX} changes of one login in a row came in between")))
    }

    /// The login with this id.
    pub(super) async fn login(&self, login: LoginId) -> Result<Option<Login>, Error> {
        let Some(user) = self.owner(login).await? else { return Ok(None) };
        Ok(self.login_row(Named::LoginRead, user, login).await?.map(|row| row.login(user)))
    }

    /// A person's logins, the one used last first.
    pub(super) async fn logins(&self, user: UserId) -> Result<Vec<Login>, Error> {
        let mut logins: Vec<_> = self.rows_of(user).await?.iter().map(|row| row.login(user)).collect();
        logins.sort_by_key(|login| Reverse(login.used_at));
        Ok(logins)
    }

    /// Ends one login of a person.
    pub(super) async fn end_login(&self, user: UserId, login: LoginId) -> Result<bool, Error> {
        for _ in 0..TRIES_MAX {
            let Some(row) = self.login_row(Named::LoginSerial, user, login).await? else { return Ok(false) };
            if self.end(user, &row).await? {
                return Ok(true);
            }
        }
        Err(Error::Unavailable(format!("{TRIES_MAX} changes of one login in a row came in between")))
    }

    /// Ends all logins of a person but one.
    pub(super) async fn end_logins(&self, user: UserId, except: Option<LoginId>) -> Result<Vec<LoginId>, Error> {
        let mut ended = Vec::new();
        loop {
            let mut rows = self.rows_of(user).await?;
            rows.retain(|row| Some(row.id) != except);
            if rows.is_empty() {
                return Ok(ended);
            }
            for row in rows {
                if self.end_login(user, row.id).await? {
                    ended.push(row.id);
                }
            }
        }
    }

    /// Drops logins that expired before `now`.
    pub(super) async fn sweep_logins(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        let mut sweep = Sweep::begin(&self.cql, Purpose::Login, now).await?;
        let mut ended = 0;
        while ended < max
            && let Some(due) = sweep.next().await?
        {
            let (user, login) = (UserId(due.owner), LoginId(due.item));
            let row = self.login_row(Named::LoginSerial, user, login).await?;
            // One used since has a later note.
            if let Some(row) = row.filter(|row| row.expires_at < now) {
                ended += usize::from(self.end(user, &row).await?);
            }
            sweep.done(due).await?;
        }
        Ok(ended)
    }

    async fn owner(&self, login: LoginId) -> Result<Option<UserId>, Error> {
        Ok(self.cql.row::<(Uuid,)>(Named::LoginOwnerRead, (login.0,)).await?.map(|(user,)| UserId(user)))
    }

    async fn login_row(&self, named: Named, user: UserId, login: LoginId) -> Result<Option<Row>, Error> {
        self.cql.row::<Columns>(named, (user.0, login.0)).await?.map(Row::read).transpose()
    }

    pub(super) async fn rows_of(&self, user: UserId) -> Result<Vec<Row>, Error> {
        let rows = self.cql.rows::<Columns>(Named::LoginsOfUser, (user.0, limit(ROWS_MAX))).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Writes a login if it is still the one that was seen.
    async fn replace_login(&self, user: UserId, seen: Uuid, row: &Row) -> Result<bool, Error> {
        // Noted before: a login without a note would never be swept.
        self.note(user, row).await?;
        let (used, expires) = (to_cql(row.used_at.0)?, to_cql(row.expires_at.0)?);
        let generation = i64::from(row.generation);
        let values = (used, expires, generation, &row.rotated_by, row.change, user.0, row.id.0, seen);
        let settled = self.cql.transaction(Named::LoginChange, user.0, values).await?;
        Ok(match settled.applied {
            Applied::Yes => true,
            Applied::No(there) => there.uuid("change") == Some(row.change),
        })
    }

    /// Ends a login if it is still as it was seen; `false` if it is not.
    async fn end(&self, user: UserId, row: &Row) -> Result<bool, Error> {
        let settled = self.cql.transaction(Named::LoginEnd, user.0, (user.0, row.id.0, row.change)).await?;
        let is_ended = match settled.applied {
            Applied::Yes => true,
            // Gone, and an earlier offer may have been what ended it.
            Applied::No(there) => settled.repeated && there.uuid("change").is_none(),
        };
        if is_ended {
            self.cql.write(Named::LoginOwnerRemove, (row.id.0,)).await?;
            calendar::forget(&self.cql, Purpose::Login, due(user, row)).await?;
        }
        Ok(is_ended)
    }

    async fn note(&self, user: UserId, row: &Row) -> Result<(), Error> {
        calendar::note(&self.cql, Purpose::Login, due(user, row)).await
    }
}

fn due(user: UserId, row: &Row) -> Due {
    Due { at: row.expires_at, owner: user.0, item: row.id.0 }
}

/// The part of a device's name that is kept.
fn short(device: &str) -> String {
    device.chars().take(DEVICE_CHARS_MAX).collect()
}
