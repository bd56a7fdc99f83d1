//! The identity store of one process: one redb file, `identity.redb`.
//!
//! Owns people, credentials, logins, wrapped data keys and erasures. Bounds: a search reads at most
//! twice its limit of index rows, a person has at most 64 logins, a call makes at most 10,000 people.

mod erasure;
mod logins;
mod moving;
mod people;
mod records;
mod search;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{LoginId, QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use redb::{ReadTransaction, WriteTransaction};

use crate::Error;
use crate::embedded::database::{Database, Failed, Schema, copy_table};
use crate::embedded::snapshot::Snapshot;
use crate::identity::{
    CREATE_MAX, CompactionDue, Credentials, Email, Erasure, Identity, Login, NewLogin, NewUser, PEOPLE_MAX, Person,
    ProfileChange, ProfileChanged, QuickpeIds, Role, Rotate, Rotation, SEARCH_MAX, SignUp, User,
};
use crate::sealing::{DataKey, Keyring};
use people::Draft;

/// What the engine may keep in memory: 32 MiB, some hundred thousand people's rows.
const CACHE_BYTES: usize = 32 << 20;

/// The tables, and that a rewrite keeps every row but the count of what it makes good.
const SCHEMA: Schema = Schema { create, copy };

/// The identity store on redb.
pub struct EmbeddedIdentity {
    database: Database,
    keyring: Arc<Keyring>,
    quickpe_ids: QuickpeIds,
}

impl EmbeddedIdentity {
    /// Opens or makes `identity.redb` in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is open already.
    pub fn open(folder: &Path, keyring: Keyring, quickpe_ids: QuickpeIds) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(format!("make {}", folder.display()), error))?;
        let database = Database::open(&folder.join("identity.redb"), CACHE_BYTES, SCHEMA)?;
        Ok(Self { database, keyring: Arc::new(keyring), quickpe_ids })
    }

    /// All that is committed now, to be copied while the store goes on.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.database.snapshot()
    }
}

fn create(transaction: &WriteTransaction) -> Result<(), Failed> {
    transaction.open_table(records::PEOPLE)?;
    transaction.open_table(records::CREDENTIALS)?;
    transaction.open_table(records::KEYS)?;
    transaction.open_table(records::EMAILS)?;
    transaction.open_table(records::QUICKPE_IDS)?;
    transaction.open_table(records::NAMES)?;
    transaction.open_table(records::LOGINS)?;
    transaction.open_table(records::LOGINS_OF_USER)?;
    transaction.open_table(records::LOGINS_BY_EXPIRY)?;
    transaction.open_table(records::ERASURES)?;
    transaction.open_table(records::COMPACTION)?;
    Ok(())
}

fn copy(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Failed> {
    copy_table(records::PEOPLE, from, to)?;
    copy_table(records::CREDENTIALS, from, to)?;
    copy_table(records::KEYS, from, to)?;
    copy_table(records::EMAILS, from, to)?;
    copy_table(records::QUICKPE_IDS, from, to)?;
    copy_table(records::NAMES, from, to)?;
    copy_table(records::LOGINS, from, to)?;
    copy_table(records::LOGINS_OF_USER, from, to)?;
    copy_table(records::LOGINS_BY_EXPIRY, from, to)?;
    copy_table(records::ERASURES, from, to)
}

#[async_trait]
impl Identity for EmbeddedIdentity {
    async fn create_users(&self, users: Vec<NewUser>) -> Result<Vec<SignUp>, Error> {
        if users.len() > CREATE_MAX {
            return Err(Error::Unknown(format!("more than {CREATE_MAX} people to make at once")));
        }
        // Encoding and wrapping are done here, so that the one writer does not do them for everybody.
        let drafts =
            users.into_iter().map(|user| Draft::new(user, &self.keyring)).collect::<Result<Vec<_>, Error>>()?;
        let quickpe_ids = Arc::clone(&self.quickpe_ids);
        self.database
            .write(move |txn| drafts.iter().map(|draft| people::create(txn, draft, &quickpe_ids)).collect())
            .await
    }

    async fn person(&self, user: UserId) -> Result<Option<Person>, Error> {
        self.database.read(|txn| people::get(&txn.open_table(records::PEOPLE)?, user))
    }

    async fn people(&self, users: &[UserId]) -> Result<Vec<Option<Person>>, Error> {
        self.database.read(|txn| {
            let table = txn.open_table(records::PEOPLE)?;
            users.iter().take(PEOPLE_MAX).map(|user| people::get(&table, *user)).collect()
        })
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<User>, Error> {
        self.database.read(|txn| people::by_email(txn, email))
    }

    async fn person_by_quickpe_id(&self, id: QuickpeId) -> Result<Option<Person>, Error> {
        self.database.read(|txn| people::by_quickpe_id(txn, id))
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Vec<User>, Error> {
        self.database.read(|txn| search::search(txn, text, limit.min(SEARCH_MAX)))
    }

    async fn update_profile(&self, user: UserId, version: u64, change: ProfileChange) -> Result<ProfileChanged, Error> {
        self.database.write(move |txn| people::update(txn, user, version, &change)).await
    }

    async fn change_role(&self, user: UserId, role: Role) -> Result<Option<User>, Error> {
        self.database.write(move |txn| people::change_role(txn, user, role)).await
    }

    async fn change_region(&self, user: UserId, region: Option<Region>) -> Result<Option<User>, Error> {
        self.database.write(move |txn| people::change_region(txn, user, region)).await
    }

    async fn credentials(&self, user: UserId) -> Result<Option<Credentials>, Error> {
        self.database.read(|txn| people::credentials(txn, user))
    }

    async fn change_password(&self, user: UserId, from: String, to: String, at: Timestamp) -> Result<bool, Error> {
        self.database.write(move |txn| people::change_password(txn, user, &from, &to, at)).await
    }

    async fn begin_login(&self, login: NewLogin) -> Result<Option<Login>, Error> {
        self.database.write(move |txn| logins::begin(txn, &login)).await
    }

    async fn rotate(&self, rotate: Rotate) -> Result<Rotation, Error> {
        self.database.write(move |txn| logins::rotate(txn, &rotate)).await
    }

    async fn login(&self, login: LoginId) -> Result<Option<Login>, Error> {
        self.database.read(|txn| logins::get(&txn.open_table(records::LOGINS)?, login))
    }

    async fn logins(&self, user: UserId) -> Result<Vec<Login>, Error> {
        self.database.read(|txn| {
            let mut logins =
                logins::of_user(&txn.open_table(records::LOGINS_OF_USER)?, &txn.open_table(records::LOGINS)?, user)?;
            logins.sort_by_key(|login| std::cmp::Reverse(login.used_at));
            Ok(logins)
        })
    }

    async fn end_login(&self, user: UserId, login: LoginId) -> Result<bool, Error> {
        self.database.write(move |txn| logins::end(txn, user, login)).await
    }

    async fn end_logins(&self, user: UserId, except: Option<LoginId>) -> Result<Vec<LoginId>, Error> {
        self.database.write(move |txn| logins::end_all(txn, user, except)).await
    }

    async fn sweep_logins(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        self.database.write(move |txn| logins::sweep(txn, now, max)).await
    }

    async fn data_key(&self, user: UserId) -> Result<Option<DataKey>, Error> {
        let wrapped = self.database.read(|txn| erasure::wrapped_key(txn, user))?;
        wrapped.map(|wrapped| self.keyring.unwrap(user, &wrapped)).transpose()
    }

    async fn begin_erasure(&self, user: UserId, at: Timestamp) -> Result<bool, Error> {
        self.database.write(move |txn| erasure::begin(txn, user, at)).await
    }

    async fn abandon_erasure(&self, user: UserId) -> Result<bool, Error> {
        self.database.write(move |txn| erasure::abandon(txn, user)).await
    }

    async fn destroy_key(&self, user: UserId) -> Result<(), Error> {
        self.database.write(move |txn| erasure::destroy_key(txn, user)).await
    }

    async fn remove_identity(&self, user: UserId, at: Timestamp) -> Result<bool, Error> {
        self.database.write(move |txn| erasure::remove(txn, user, at)).await
    }

    async fn unfinished_erasures(&self) -> Result<Vec<Erasure>, Error> {
        self.database.read(erasure::unfinished)
    }

    async fn compaction_due(&self) -> Result<Option<CompactionDue>, Error> {
        self.database.read(erasure::compaction_due)
    }

    async fn compact(&self) -> Result<(), Error> {
        self.database.rewrite().await
    }
}
