//! Who somebody is: passwords, tokens, logins, and the routes that give and take them.

pub mod caller;
pub mod logins;
pub mod passwords;
pub mod renewing;
pub mod sessions;
pub mod signing;
pub mod tokens;

use std::sync::Arc;

use storage::identity::Identity;

use crate::failure::Failure;
use crate::http::config::AuthConfig;
use logins::Logins;
use passwords::Passwords;

/// What signing in needs beside the stores.
pub struct Access {
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Which logins live.
    pub logins: Logins,
}

impl Access {
    /// Hashes one password, which takes a moment.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn new(config: &AuthConfig, identity: Arc<dyn Identity>) -> Result<Self, Failure> {
        Ok(Self { passwords: Passwords::new(config)?, logins: Logins::new(identity) })
    }
}
