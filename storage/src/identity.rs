//! The port of identity: people, their credentials, logins and data keys.
//!
//! What is here can be corrected and erased; nothing of it is in the journal, which knows people by id
//! only. Every write is durable before it answers. A write whose caller goes away is still done.

mod login;
mod names;
mod refresh;
mod user;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::{LoginId, QuickpeId, UserId};
use domain::room::Region;
use domain::time::Timestamp;

use crate::Error;
use crate::sealing::DataKey;
pub use login::{Login, NewLogin, Rotate, Rotation};
pub use names::{Email, NotAName, NotAnEmail, PersonName, folded};
pub use refresh::{RefreshToken, RefreshTokens};
pub use user::{Credentials, NewUser, Person, ProfileChange, ProfileChanged, Role, SignUp, Status, Tombstone, User};

/// The most people that one [`Identity::create_users`] takes.
pub const CREATE_MAX: usize = 10_000;

/// The most people that one [`Identity::people`] looks up.
pub const PEOPLE_MAX: usize = 1_000;

/// The most people that one search answers.
pub const SEARCH_MAX: usize = 20;

/// The most logins one person has; beyond it the one used longest ago ends.
pub const LOGINS_PER_USER_MAX: usize = 64;

/// How long after a rotation the same device gets the same successor for the same old token: its
/// answer may have been lost on the way.
pub const ROTATION_GRACE: Duration = Duration::from_secs(10);

/// Where candidates for new QuickPe ids come from. A candidate that is taken is passed over.
pub type QuickpeIds = Arc<dyn Fn() -> QuickpeId + Send + Sync>;

/// Random QuickPe ids.
pub fn random_quickpe_ids() -> QuickpeIds {
    Arc::new(|| {
        loop {
            // Always at the first turn: the range is the ids' own.
            if let Some(id) = QuickpeId::new(rand::random_range(0..QuickpeId::COUNT)) {
                return id;
            }
        }
    })
}

/// An erasure that has begun and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Whose.
    pub user: UserId,
    /// When it began.
    pub began_at: Timestamp,
    /// Whether the data key is gone: from then on it can only be finished.
    pub key_destroyed: bool,
}

/// What was erased since the store was last rewritten, and is still in freed pages of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionDue {
    /// How many people.
    pub erasures: u64,
    /// When the first of them was erased. The file must be rewritten within 24 h of it.
    pub since: Timestamp,
}

/// People and what they sign in with.
#[async_trait]
pub trait Identity: Send + Sync + 'static {
    /// Makes people, each with a QuickPe id and a data key of their own, in the order given. Atomic a
    /// person, not over all; at most [`CREATE_MAX`]. Of two with one e-mail, at any time and from any
    /// number of callers, one is made.
    async fn create_users(&self, users: Vec<NewUser>) -> Result<Vec<SignUp>, Error>;

    /// Makes one person.
    async fn create_user(&self, user: NewUser) -> Result<SignUp, Error> {
        let made = self.create_users(vec![user]).await?.pop();
        made.ok_or_else(|| Error::Unavailable("the identity store answered nothing".to_owned()))
    }

    /// The person, live or erased.
    async fn person(&self, user: UserId) -> Result<Option<Person>, Error>;

    /// Many people at once, in the order asked; the first [`PEOPLE_MAX`].
    async fn people(&self, users: &[UserId]) -> Result<Vec<Option<Person>>, Error>;

    /// The live person with this e-mail.
    async fn user_by_email(&self, email: &Email) -> Result<Option<User>, Error>;

    /// The person with this QuickPe id, live or erased: an id is never given twice.
    async fn person_by_quickpe_id(&self, id: QuickpeId) -> Result<Option<Person>, Error>;

    /// Live people whose first name, last name or QuickPe id (`QP` and at least one digit) begins with
    /// `text`, without case; or whose e-mail is `text`. At most `limit`, at most [`SEARCH_MAX`];
    /// reads no more rows than that needs.
    async fn search(&self, text: &str, limit: usize) -> Result<Vec<User>, Error>;

    /// Changes a profile if `version` is the one it has.
    async fn update_profile(&self, user: UserId, version: u64, change: ProfileChange) -> Result<ProfileChanged, Error>;

    /// Gives a live person a role. `None` if there is no such person.
    async fn change_role(&self, user: UserId, role: Role) -> Result<Option<User>, Error>;

    /// Says where a live person is. `None` if there is no such person.
    async fn change_region(&self, user: UserId, region: Option<Region>) -> Result<Option<User>, Error>;

    /// What a live person signs in with.
    async fn credentials(&self, user: UserId) -> Result<Option<Credentials>, Error>;

    /// Replaces the password hash `from` by `to`; `false`, and nothing, if it is not `from` any more.
    async fn change_password(&self, user: UserId, from: String, to: String, at: Timestamp) -> Result<bool, Error>;

    /// Begins a login with generation 0. Ends the one used longest ago when there are
    /// [`LOGINS_PER_USER_MAX`]. `None` if there is no such live person, or one being erased.
    async fn begin_login(&self, login: NewLogin) -> Result<Option<Login>, Error>;

    /// Exchanges a refresh token for its successor, atomically: of two callers with one token exactly
    /// one rotates. See [`Rotation`].
    async fn rotate(&self, rotate: Rotate) -> Result<Rotation, Error>;

    /// The login, if it has not ended. One past its expiry may still be answered.
    async fn login(&self, login: LoginId) -> Result<Option<Login>, Error>;

    /// A person's logins, the one used last first.
    async fn logins(&self, user: UserId) -> Result<Vec<Login>, Error>;

    /// Ends a login of `user`. `false` if there was none.
    async fn end_login(&self, user: UserId, login: LoginId) -> Result<bool, Error>;

    /// Ends all logins of `user` but `except`; answers those that ended.
    async fn end_logins(&self, user: UserId, except: Option<LoginId>) -> Result<Vec<LoginId>, Error>;

    /// Drops logins that expired before `now`, at most `max`; answers how many there were. To be
    /// called again while it answers `max`.
    async fn sweep_logins(&self, now: Timestamp, max: usize) -> Result<usize, Error>;

    /// The data key of `user`. `None` if it was destroyed or never was.
    async fn data_key(&self, user: UserId) -> Result<Option<DataKey>, Error>;

    /// Begins an erasure: the person can no longer sign in, and all their logins end. Idempotent.
    /// `false` if there is no such person, or they are erased.
    async fn begin_erasure(&self, user: UserId, at: Timestamp) -> Result<bool, Error>;

    /// Takes a begun erasure back: the account could not be closed. `false`, and nothing, if none was
    /// begun or the data key is gone.
    async fn abandon_erasure(&self, user: UserId) -> Result<bool, Error>;

    /// Destroys the data key. Idempotent. Go through [`crate::sealing::Sealer::destroy`], which also
    /// forgets the decrypted one.
    async fn destroy_key(&self, user: UserId) -> Result<(), Error>;

    /// Ends an erasure: name, e-mail, credentials, logins and what may be left of the data key go; a
    /// [`Tombstone`] stays. Idempotent. `false` if there is no such person.
    async fn remove_identity(&self, user: UserId, at: Timestamp) -> Result<bool, Error>;

    /// Erasures that were begun and not ended, at most 1,000, to be gone on with at start.
    async fn unfinished_erasures(&self) -> Result<Vec<Erasure>, Error>;

    /// What waits for [`Identity::compact`].
    async fn compaction_due(&self) -> Result<Option<CompactionDue>, Error>;

    /// Makes what was erased unreadable on the disk too, by whatever the engine needs. Readers go on,
    /// writers wait; a crash in the middle leaves the store as it was before or after.
    async fn compact(&self) -> Result<(), Error>;
}
