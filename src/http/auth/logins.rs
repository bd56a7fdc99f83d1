//! Which logins live: what an access token must belong to.
//!
//! Owns a cache of at most [`LOGINS_MAX`] answers of the identity store, each for at most [`LOGIN_AGE_MAX`]. A login
//! that ended on this node is ended at once; one that ended elsewhere within that time.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::LoginId;
use moka::sync::Cache;
use storage::Error;
use storage::identity::Identity;

/// How many logins are remembered: about 100 bytes each, so 13 MiB.
const LOGINS_MAX: u64 = 131_072;

/// How long an answer is good for.
const LOGIN_AGE_MAX: Duration = Duration::from_secs(10);

/// Living and ended logins.
pub struct Logins {
    identity: Arc<dyn Identity>,
    known: Cache<LoginId, bool>,
}

impl Logins {
    /// The logins of an identity store.
    pub fn new(identity: Arc<dyn Identity>) -> Self {
        let known = Cache::builder().max_capacity(LOGINS_MAX).time_to_live(LOGIN_AGE_MAX).build();
        Self { identity, known }
    }

    /// Whether a login has not ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_live(&self, login: LoginId) -> Result<bool, Error> {
        if let Some(live) = self.known.get(&login) {
            return Ok(live);
        }
        let live = self.identity.login(login).await?.is_some();
        self.known.insert(login, live);
        Ok(live)
    }

    /// A login began.
    pub fn began(&self, login: LoginId) {
        self.known.insert(login, true);
    }

    /// A login ended, durably.
    pub fn ended(&self, login: LoginId) {
        self.known.insert(login, false);
    }

    /// All logins of somebody ended: every answer is asked for again.
    pub fn forget_all(&self) {
        self.known.invalidate_all();
    }
}
