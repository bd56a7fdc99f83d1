//! E-mail addresses: each a row that one person holds.

use domain::ids::UserId;
use storage::Error;
use storage::identity::{Email, User};
use uuid::Uuid;

use super::People;
use crate::applied::Applied;
use crate::statements::Named;

impl People {
    /// Holds an address for somebody who is being made. It expires in ten minutes unless it is confirmed: a sign-up cut
    /// short keeps nobody out for longer.
    pub(super) async fn reserve_email(&self, email: &str, user: UserId) -> Result<bool, Error> {
        self.hold_email(Named::EmailReserve, email, user).await
    }

    /// Holds an address for good.
    pub(super) async fn take_email(&self, email: &str, user: UserId) -> Result<bool, Error> {
        self.hold_email(Named::EmailTake, email, user).await
    }

    async fn hold_email(&self, named: Named, email: &str, user: UserId) -> Result<bool, Error> {
        let settled = self.cql.transaction(named, email, (email, user.0)).await?;
        Ok(match settled.applied {
            Applied::Yes => true,
            Applied::No(there) => there.uuid("user_id") == Some(user.0),
        })
    }

    /// Holds a reserved address for good; `false` if it has expired and another has it.
    pub(super) async fn confirm_email(&self, email: &str, user: UserId) -> Result<bool, Error> {
        let settled = self.cql.transaction(Named::EmailConfirm, email, (user.0, email, user.0)).await?;
        Ok(match settled.applied {
            Applied::Yes => true,
            Applied::No(there) => there.uuid("user_id") == Some(user.0),
        })
    }

    /// Lets an address go, if `user` holds it.
    pub(super) async fn release_email(&self, email: &str, user: UserId) -> Result<(), Error> {
        self.cql.transaction(Named::EmailRelease, email, (email, user.0)).await.map(drop)
    }

    /// The live person with this address.
    pub(super) async fn by_email(&self, email: &Email) -> Result<Option<User>, Error> {
        let Some((user,)) = self.cql.row::<(Uuid,)>(Named::EmailRead, (email.as_str(),)).await? else {
            return Ok(None);
        };
        let user = UserId(user);
        let row = self.row(user).await?.filter(|row| row.is_live() && row.email.as_deref() == Some(email.as_str()));
        row.map(|row| row.user(user)).transpose()
    }
}
