//! Erasing people step by step. Each step is idempotent, and an erasure is listed from before its first step until
//! after its last, so that one cut short is gone on with at the next start.

use domain::ids::UserId;
use domain::time::Timestamp;
use storage::Error;
use storage::identity::Erasure;
use uuid::Uuid;

use super::People;
use super::person::Stage;
use crate::number::limit;
use crate::statements::Named;

/// How many unfinished erasures one call answers.
const UNFINISHED_MAX: usize = 1_000;

/// The partition of the list: there are few at a time.
const LISTING: i8 = 0;

impl People {
    /// Begins an erasure and ends all logins.
    pub(super) async fn begin_erasure(&self, user: UserId, at: Timestamp) -> Result<bool, Error> {
        if !self.settled_row(user).await?.is_some_and(|row| row.is_live()) {
            return Ok(false);
        }
        self.list_erasure(user).await?;
        let begun = self
            .change(user, |row| {
                let begins = row.stage == Stage::Active;
                if begins {
                    (row.stage, row.stage_at) = (Stage::Erasing, Some(at));
                    row.version = row.version.saturating_add(1);
                }
                begins
            })
            .await?;
        let is_begun = begun.is_some_and(|(row, _)| row.is_live());
        if is_begun {
            self.end_logins(user, None).await?;
        }
        Ok(is_begun)
    }

    /// Lists an erasure as not ended.
    pub(super) async fn list_erasure(&self, user: UserId) -> Result<(), Error> {
        self.cql.write(Named::ErasurePut, (LISTING, user.0)).await
    }

    /// Takes an erasure back whose key is still there.
    pub(super) async fn abandon_erasure(&self, user: UserId) -> Result<bool, Error> {
        let abandoned = self
            .change(user, |row| {
                let may = row.stage == Stage::Erasing && row.key.is_some();
                if may {
                    (row.stage, row.stage_at) = (Stage::Active, None);
                    row.version = row.version.saturating_add(1);
                }
                may
            })
            .await?;
        let is_abandoned = abandoned.is_some_and(|(_, is_changed)| is_changed);
        if is_abandoned {
            self.cql.write(Named::ErasureRemove, (LISTING, user.0)).await?;
        }
        Ok(is_abandoned)
    }

    /// Destroys a data key.
    pub(super) async fn destroy_key(&self, user: UserId) -> Result<(), Error> {
        self.change(user, |row| row.key.take().is_some()).await.map(drop)
    }

    /// Removes everything about a person but the tombstone. What leads to them goes first: while they are live, this
    /// can be done again.
    pub(super) async fn remove(&self, user: UserId, at: Timestamp) -> Result<bool, Error> {
        let Some(row) = self.settled_row(user).await? else { return Ok(false) };
        if row.is_live() {
            self.unindex_all(user, &row).await?;
            self.end_logins(user, None).await?;
            if let Some(email) = &row.email {
                self.release_email(email, user).await?;
            }
            let tombstone = |row: &mut super::person::Row| {
                let is_live = row.is_live();
                if is_live {
                    (row.stage, row.stage_at) = (Stage::Erased, Some(at));
                    (row.email, row.first_name, row.last_name) = (None, None, None);
                    (row.password_hash, row.password_at, row.key) = (None, None, None);
                    row.region = None;
                }
                is_live
            };
            self.change(user, tombstone).await?;
        }
        self.cql.write(Named::ErasureRemove, (LISTING, user.0)).await?;
        Ok(true)
    }

    /// Erasures that have not ended.
    pub(super) async fn unfinished_erasures(&self) -> Result<Vec<Erasure>, Error> {
        let mut unfinished = Vec::new();
        let listed = self.cql.rows::<(Uuid,)>(Named::ErasuresRead, (LISTING, limit(UNFINISHED_MAX))).await?;
        for (user,) in listed {
            let user = UserId(user);
            let Some(row) = self.settled_row(user).await?.filter(|row| row.stage == Stage::Erasing) else { continue };
            let began_at = row.stage_at.unwrap_or(row.created_at);
            unfinished.push(Erasure { user, began_at, key_destroyed: row.key.is_none() });
        }
        Ok(unfinished)
    }
}
