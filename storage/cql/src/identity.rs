//! People on CQL: each person one row that changes by comparison, each name that must be unique a row of its own.
//!
//! What is changed is read, changed and written back if nobody has changed it since ([`person::Row::change`] tells):
//! whatever a port's method promises to be atomic is one such step. Rows by which people are found (names) are stamped
//! with the person's version, and who is found is looked at again.

mod emails;
mod erasure;
mod login;
mod logins;
mod moving;
mod names;
mod people;
mod person;

use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{LoginId, QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::identity::{
    CREATE_MAX, CompactionDue, Credentials, Email, Erasure, Identity, Login, NewLogin, NewUser, PEOPLE_MAX, Person,
    ProfileChange, ProfileChanged, QuickpeIds, Role, Rotate, Rotation, SignUp, User,
};
use storage::sealing::{DataKey, Keyring};

use crate::Cql;

/// People made or read at once.
const TOGETHER_MAX: usize = 32;

/// The identity store on CQL.
pub struct CqlIdentity {
    people: Arc<People>,
}

/// What writes that outlive their callers share.
struct People {
    cql: Arc<Cql>,
    keyring: Keyring,
    quickpe_ids: QuickpeIds,
}

impl CqlIdentity {
    /// The identity store.
    pub fn new(cql: Arc<Cql>, keyring: Keyring, quickpe_ids: QuickpeIds) -> Self {
        Self { people: Arc::new(People { cql, keyring, quickpe_ids }) }
    }

    /// Does a write, also if the caller goes away.
    async fn write<T, F>(&self, work: impl FnOnce(Arc<People>) -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        crate::client::to_its_end(work(Arc::clone(&self.people))).await
    }
}

#[async_trait]
impl Identity for CqlIdentity {
    async fn create_users(&self, users: Vec<NewUser>) -> Result<Vec<SignUp>, Error> {
        if users.len() > CREATE_MAX {
            return Err(Error::Unknown(format!("more than {CREATE_MAX} people to make at once")));
        }
        self.write(|people| async move {
            stream::iter(users).map(|user| people.create(user)).buffered(TOGETHER_MAX).try_collect().await
        })
        .await
    }

    async fn person(&self, user: UserId) -> Result<Option<Person>, Error> {
        self.people.find(user).await
    }

    async fn people(&self, users: &[UserId]) -> Result<Vec<Option<Person>>, Error> {
        let users: Vec<_> = users.iter().take(PEOPLE_MAX).copied().collect();
        let reads = stream::iter(users).map(|user| self.people.find(user)).buffered(TOGETHER_MAX);
        reads.try_collect().await
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<User>, Error> {
        self.people.by_email(email).await
    }

    async fn person_by_quickpe_id(&self, id: QuickpeId) -> Result<Option<Person>, Error> {
        self.people.by_quickpe_id(id).await
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Vec<User>, Error> {
        self.people.search(text, limit).await
    }

    async fn update_profile(&self, user: UserId, version: u64, change: ProfileChange) -> Result<ProfileChanged, Error> {
        self.write(move |people| async move { people.update(user, version, change).await }).await
    }

    async fn change_role(&self, user: UserId, role: Role) -> Result<Option<User>, Error> {
        self.write(move |people| async move { people.change_role(user, role).await }).await
    }

    async fn change_region(&self, user: UserId, region: Option<Region>) -> Result<Option<User>, Error> {
        self.write(move |people| async move { people.change_region(user, region).await }).await
    }

    async fn credentials(&self, user: UserId) -> Result<Option<Credentials>, Error> {
        self.people.credentials(user).await
    }

    async fn change_password(&self, user: UserId, from: String, to: String, at: Timestamp) -> Result<bool, Error> {
        self.write(move |people| async move { people.change_password(user, &from, &to, at).await }).await
    }

    async fn begin_login(&self, login: NewLogin) -> Result<Option<Login>, Error> {
        self.write(move |people| async move { people.begin_login(login).await }).await
    }

    async fn rotate(&self, rotate: Rotate) -> Result<Rotation, Error> {
        self.write(move |people| async move { people.rotate(&rotate).await }).await
    }

    async fn login(&self, login: LoginId) -> Result<Option<Login>, Error> {
        self.people.login(login).await
    }

    async fn logins(&self, user: UserId) -> Result<Vec<Login>, Error> {
        self.people.logins(user).await
    }

    async fn end_login(&self, user: UserId, login: LoginId) -> Result<bool, Error> {
        self.write(move |people| async move { people.end_login(user, login).await }).await
    }

    async fn end_logins(&self, user: UserId, except: Option<LoginId>) -> Result<Vec<LoginId>, Error> {
        self.write(move |people| async move { people.end_logins(user, except).await }).await
    }

    async fn sweep_logins(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        self.write(move |people| async move { people.sweep_logins(now, max).await }).await
    }

    async fn data_key(&self, user: UserId) -> Result<Option<DataKey>, Error> {
        self.people.data_key(user).await
    }

    async fn begin_erasure(&self, user: UserId, at: Timestamp) -> Result<bool, Error> {
        self.write(move |people| async move { people.begin_erasure(user, at).await }).await
    }

    async fn abandon_erasure(&self, user: UserId) -> Result<bool, Error> {
        self.write(move |people| async move { people.abandon_erasure(user).await }).await
    }

    async fn destroy_key(&self, user: UserId) -> Result<(), Error> {
        self.write(move |people| async move { people.destroy_key(user).await }).await
    }

    async fn remove_identity(&self, user: UserId, at: Timestamp) -> Result<bool, Error> {
        self.write(move |people| async move { people.remove(user, at).await }).await
    }

    async fn unfinished_erasures(&self) -> Result<Vec<Erasure>, Error> {
        self.people.unfinished_erasures().await
    }

    /// Nothing waits for a node: the store's own compaction takes what was erased off its disks, a day after it was
    /// (`gc_grace_seconds` of the tables of people) or when an operator asks it to.
    async fn compaction_due(&self) -> Result<Option<CompactionDue>, Error> {
        Ok(None)
    }

    async fn compact(&self) -> Result<(), Error> {
        Ok(())
    }
}
