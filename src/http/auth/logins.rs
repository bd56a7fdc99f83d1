//! Which logins live: what an access token must belong to.
//!
//! Owns a cache of at most [`LOGINS_MAX`] answers of the identity store, each for at most [`LOGIN_AGE_MAX`]. A login
//! that ended on this node is ended at once; one that ended elsewhere as soon as its node tells
//! ([`crate::revoking`]), or within that time.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::LoginId;
use protocol::http::admin::CacheLevel;
use storage::Error;
use storage::identity::Identity;

use crate::cache::kept::Kept;

/// How many logins are remembered: about 100 bytes each, so 13 MiB.
const LOGINS_MAX: u64 = 131_072;

/// How long an answer is good for.
const LOGIN_AGE_MAX: Duration = Duration::from_secs(10);

/// Living and ended logins.
pub struct Logins {
    identity: Arc<dyn Identity>,
    known: Kept<LoginId, bool>,
}

impl Logins {
    /// The logins of an identity store.
    pub fn new(identity: Arc<dyn Identity>) -> Self {
        Self { identity, known: Kept::new("logins", LOGINS_MAX, Some(LOGIN_AGE_MAX)) }
    }

    /// Whether a login has not ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_live(&self, login: LoginId) -> Result<bool, Error> {
        self.known.get(login, |_| true, async || Ok(self.identity.login(login).await?.is_some())).await
    }

    /// A login began.
    pub fn began(&self, login: LoginId) {
        self.known.put(login, true);
    }

    /// A login ended, durably.
    pub fn ended(&self, login: LoginId) {
        self.known.put(login, false);
    }

    /// All logins of somebody ended: every answer is asked for again.
    pub fn forget_all(&self) {
        self.known.forget_all();
    }

    /// For administrators.
    pub fn cache(&self) -> CacheLevel {
        self.known.report()
    }
}
