//! Passwords: hashed and checked by argon2id, few at a time.
//!
//! Each hash takes 19 MiB and some 25 ms of a core (OWASP's first choice: m = 19 MiB, t = 2, p = 1), so no more run
//! at once than the node has cores, on threads of their own. A bounded number waits for a bounded time; beyond either
//! the answer is `busy`.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use protocol::code::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;
use crate::http::config::AuthConfig;

/// Kibibytes of memory of one hash.
const MEMORY_KIB: u32 = 19 << 10;
/// Passes over them.
const PASSES: u32 = 2;

/// Hashes and checks passwords.
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    patience: Duration,
    /// The hash of a password that nobody has: what an unknown person's is checked against, so that it takes as long
    /// as a known one's.
    nobody: Box<str>,
}

/// The right to hash one password.
pub struct Turn {
    _running: OwnedSemaphorePermit,
}

impl Passwords {
    /// Bounded as configured. Hashes one password, which takes a moment.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn new(config: &AuthConfig) -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let running = config.hashes_max.map_or(cores, usize::from).max(1);
        let secret: [u8; 32] = rand::random();
        Ok(Self {
            running: Arc::new(Semaphore::new(running)),
            waiting: Arc::new(Semaphore::new(usize::from(config.hashes_waiting_max).max(1))),
            patience: Duration::from_millis(config.hash_wait_ms.into()),
            nobody: hash(&secret)?.into(),
        })
    }

    /// Waits until a password may be hashed.
    ///
    /// # Errors
    /// [`Code::Busy`]: too many wait, or this one waited too long.
    pub async fn turn(&self) -> Result<Turn, Failure> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Failure::of(Code::Busy))?;
        let running = tokio::time::timeout(self.patience, Arc::clone(&self.running).acquire_owned()).await;
        match running {
            Ok(Ok(running)) => Ok(Turn { _running: running }),
            Ok(Err(_)) | Err(_) => Err(Code::Busy.into()),
        }
    }

    /// The PHC string of a password's hash under a new salt.
    ///
    /// # Errors
    /// [`Code::Busy`], or the system has no random bytes.
    pub async fn hash(&self, password: String) -> Result<String, Failure> {
        let turn = self.turn().await?;
        // The turn goes along: who asked may leave, the thread works on.
        blocking(turn, move || hash(password.as_bytes())).await?
    }

    /// Whether a password is the one of `hash`; without a hash never, in the same time.
    ///
    /// # Errors
    /// The stored hash is none.
    pub async fn verify(&self, turn: Turn, hash: Option<String>, password: String) -> Result<bool, Failure> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let matches = blocking(turn, move || matches(&hash, password.as_bytes())).await??;
        Ok(matches && is_known)
    }
}

async fn blocking<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let worked = tokio::task::spawn_blocking(move || {
        let worked = work();
        drop(turn);
        worked
    });
    worked.await.map_err(|error| {
        tracing::error!(%error, "hashing a password failed");
        Failure::of(Code::Internal)
    })
}

fn argon2() -> Result<Argon2<'static>, Failure> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| Failure::of(Code::Internal))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<String, Failure> {
    let hashed = argon2()?.hash_password(password);
    hashed.map(|hash| hash.to_string()).map_err(|_| Failure::of(Code::Internal))
}

fn matches(hash: &str, password: &[u8]) -> Result<bool, Failure> {
    let parsed = PasswordHash::new(hash).map_err(|_| {
        tracing::error!("a stored password hash cannot be read");
        Failure::of(Code::Internal)
    })?;
    Ok(argon2()?.verify_password(password, &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(config: &AuthConfig) -> Passwords {
        Passwords::new(config).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let passwords = passwords(&AuthConfig::default());
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap(), "each has a salt of its own");
        for (stored, password, expected) in [
            (Some(hash.clone()), "correct horse", true),
            (Some(hash.clone()), "correct hors", false),
            (Some(hash), "", false),
            (None, "correct horse", false),
        ] {
            let turn = passwords.turn().await.unwrap();
            assert_eq!(passwords.verify(turn, stored, password.into()).await, Ok(expected), "{password}");
        }
        let turn = passwords.turn().await.unwrap();
        assert!(passwords.verify(turn, Some("not a hash".into()), "x".into()).await.is_err());
    }

    #[tokio::test]
    async fn few_wait_and_not_for_long() {
        let config =
            AuthConfig { hashes_max: Some(1), hashes_waiting_max: 1, hash_wait_ms: 1, ..AuthConfig::default() };
        let passwords = passwords(&config);
        let turn = passwords.turn().await.unwrap();
        assert_eq!(passwords.turn().await.err().map(|failure| failure.code), Some(Code::Busy), "waited too long");
        let config = AuthConfig { hash_wait_ms: 60_000, ..config };
        let passwords = Arc::new(super::Passwords::new(&config).unwrap());
        drop(turn);
        let turn = passwords.turn().await.unwrap();
        let waiting = tokio::spawn({
            let passwords = Arc::clone(&passwords);
            async move { passwords.turn().await.map(drop) }
        });
        while passwords.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.turn().await.err().map(|failure| failure.code), Some(Code::Busy), "too many wait");
        drop(turn);
        waiting.await.unwrap().unwrap();
    }
}
