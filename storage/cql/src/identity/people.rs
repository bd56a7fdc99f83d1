//! Making, finding and changing people.

use domain::ids::{QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use storage::Error;
use storage::identity::{Credentials, NewUser, Person, ProfileChange, ProfileChanged, Role, SignUp, User};
use storage::sealing::DataKey;
use uuid::Uuid;

use super::People;
use super::person::{Row, Stage, quickpe_number};
use crate::applied::Applied;
use crate::statements::Named;

/// How many taken candidates are passed over before a sign-up gives up. With a tenth of all ids given away, so many in
/// a row are taken once in 10^64 sign-ups.
const CANDIDATES_MAX: usize = 64;

impl People {
    /// Makes one person. The address is held first and confirmed last; what was begun and cut short expires.
    pub(super) async fn create(&self, new: NewUser) -> Result<SignUp, Error> {
        let user = new.id;
        if self.row(user).await?.is_some() {
            return Ok(SignUp::IdTaken);
        }
        let email = new.email.as_str();
        if !self.reserve_email(email, user).await? {
            return Ok(SignUp::EmailTaken);
        }
        let made = self.make(&new).await;
        match made {
            Ok(Some(row)) if self.confirm_email(email, user).await? => {
                self.index_names(user, &row).await?;
                row.user(user).map(SignUp::Created)
            }
            Ok(Some(row)) => {
                // It took longer than the address was held, and somebody else has it now.
                self.cql.transaction(Named::PersonRemove, user.0, (user.0, row.change)).await?;
                Ok(SignUp::EmailTaken)
            }
            Ok(None) => {
                self.release_unless_theirs(email, user).await?;
                Ok(SignUp::IdTaken)
            }
            Err(error) => {
                self.release_unless_theirs(email, user).await.ok();
                Err(error)
            }
        }
    }

    /// Lets an address go that was held for a sign-up that came to nothing. If the same id signed up at the same time
    /// with the same address, it is that one's.
    async fn release_unless_theirs(&self, email: &str, user: UserId) -> Result<(), Error> {
        let there = self.settled_row(user).await?;
        if there.is_some_and(|row| row.email.as_deref() == Some(email)) {
            return Ok(());
        }
        self.release_email(email, user).await
    }

    /// Writes a new person's row; nothing if there is one with the id.
    async fn make(&self, new: &NewUser) -> Result<Option<Row>, Error> {
        let key = self.keyring.wrap(new.id, &DataKey::generate()?)?;
        let row = Row {
            quickpe_id: self.free_quickpe_id(new.id).await?,
            email: Some(new.email.as_str().to_owned()),
            first_name: Some(new.first_name.as_str().to_owned()),
            last_name: Some(new.last_name.as_str().to_owned()),
            role: new.role,
            region: new.region,
            created_at: new.created_at,
            version: 1,
            stage: Stage::Active,
            stage_at: None,
            password_hash: Some(new.password_hash.clone()),
            password_at: Some(new.created_at),
            key: Some(key),
            change: Uuid::from_bytes(rand::random()),
        };
        Ok(self.insert(new.id, &row).await?.then_some(row))
    }

    /// A QuickPe id that nobody has or had, taken for `user`. Never given again, whatever becomes of the sign-up.
    async fn free_quickpe_id(&self, user: UserId) -> Result<QuickpeId, Error> {
        for _ in 0..CANDIDATES_MAX {
            let candidate = (self.quickpe_ids)();
            let number = quickpe_number(candidate)?;
            let settled = self.cql.transaction(Named::QuickpeIdTake, number, (number, user.0)).await?;
            match settled.applied {
                Applied::Yes => return Ok(candidate),
                Applied::No(there) if settled.repeated && there.uuid("user_id") == Some(user.0) => {
                    return Ok(candidate);
                }
                Applied::No(_) => {}
            }
        }
        Err(Error::Unavailable(format!("{CANDIDATES_MAX} QuickPe ids in a row were taken")))
    }

    /// The person with this id.
    pub(super) async fn find(&self, user: UserId) -> Result<Option<Person>, Error> {
        self.row(user).await?.map(|row| row.person(user)).transpose()
    }

    /// The person with this handle.
    pub(super) async fn by_quickpe_id(&self, id: QuickpeId) -> Result<Option<Person>, Error> {
        let row = self.cql.row::<(Uuid,)>(Named::QuickpeIdRead, (quickpe_number(id)?,)).await?;
        let Some((user,)) = row else { return Ok(None) };
        let person = self.find(UserId(user)).await?;
        // A sign-up that was cut short left the id taken and nobody with it.
        Ok(person.filter(|person| person.quickpe_id() == id))
    }

    /// Changes a profile if it has the version that the caller saw.
    pub(super) async fn update(
        &self,
        user: UserId,
        version: u64,
        change: ProfileChange,
    ) -> Result<ProfileChanged, Error> {
        let Some(before) = self.settled_row(user).await?.filter(Row::is_live) else {
            return Ok(ProfileChanged::Unknown);
        };
        if before.version != version {
            return before.user(user).map(ProfileChanged::Stale);
        }
        let email = change.email.as_ref().map(storage::identity::Email::as_str);
        let moved = email.filter(|email| before.email.as_deref() != Some(email));
        if let Some(email) = moved
            && !self.take_email(email, user).await?
        {
            return Ok(ProfileChanged::EmailTaken);
        }
        let mut names = before.clone();
        set(&mut names, &change);
        // Found by both names for a moment: who is found is looked at again.
        names.version = before.version.saturating_add(1);
        self.index_names(user, &names).await?;
        let changed = self
            .change(user, |row| {
                let sees = row.is_live() && row.version == version;
                if sees {
                    set(row, &change);
                    row.version = row.version.saturating_add(1);
                }
                sees
            })
            .await?;
        let (row, is_changed) = match changed {
            Some((row, is_changed)) if row.is_live() => (row, is_changed),
            _ => return Ok(ProfileChanged::Unknown),
        };
        // Which address is let go: the one that is left, or the one that was taken for nothing.
        let left = if is_changed { moved.and(before.email.as_deref()) } else { moved };
        if let Some(email) = left.filter(|email| row.email.as_deref() != Some(email)) {
            self.release_email(email, user).await?;
        }
        if is_changed {
            self.unindex_names(user, &before, &row).await?;
            return row.user(user).map(ProfileChanged::Changed);
        }
        row.user(user).map(ProfileChanged::Stale)
    }

    /// Gives a role.
    pub(super) async fn change_role(&self, user: UserId, role: Role) -> Result<Option<User>, Error> {
        let changed = self
            .change(user, |row| {
                if row.is_live() {
                    row.role = role;
                    row.version = row.version.saturating_add(1);
                }
                row.is_live()
            })
            .await?;
        changed.filter(|(_, is_changed)| *is_changed).map(|(row, _)| row.user(user)).transpose()
    }

    /// Says where somebody is.
    pub(super) async fn change_region(&self, user: UserId, region: Option<Region>) -> Result<Option<User>, Error> {
        let changed = self
            .change(user, |row| {
                if row.is_live() {
                    row.region = region;
                    row.version = row.version.saturating_add(1);
                }
                row.is_live()
            })
            .await?;
        changed.filter(|(_, is_changed)| *is_changed).map(|(row, _)| row.user(user)).transpose()
    }

    /// What a person signs in with.
    pub(super) async fn credentials(&self, user: UserId) -> Result<Option<Credentials>, Error> {
        Ok(self.row(user).await?.and_then(Row::credentials))
    }

    /// Replaces one password hash by another.
    pub(super) async fn change_password(
        &self,
        user: UserId,
        from: &str,
        to: &str,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let changed = self
            .change(user, |row| {
                let is_from = row.is_live() && row.password_hash.as_deref() == Some(from);
                if is_from {
                    (row.password_hash, row.password_at) = (Some(to.to_owned()), Some(at));
                }
                is_from
            })
            .await?;
        Ok(changed.is_some_and(|(_, is_changed)| is_changed))
    }

    /// A person's data key.
    pub(super) async fn data_key(&self, user: UserId) -> Result<Option<DataKey>, Error> {
        let wrapped = self.row(user).await?.and_then(|row| row.key);
        wrapped.map(|wrapped| self.keyring.unwrap(user, &wrapped)).transpose()
    }
}

/// Takes a change of a profile into a row.
fn set(row: &mut Row, change: &ProfileChange) {
    if let Some(name) = &change.first_name {
        row.first_name = Some(name.as_str().to_owned());
    }
    if let Some(name) = &change.last_name {
        row.last_name = Some(name.as_str().to_owned());
    }
    if let Some(email) = &change.email {
        row.email = Some(email.as_str().to_owned());
    }
}
