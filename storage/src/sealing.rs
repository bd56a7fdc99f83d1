//! Sealing: what a person writes, and what is written about them, leaves memory only encrypted under
//! their data key.
//!
//! The [`Sealer`] owns the decrypted keys of the people in use, a bounded number of them. They come
//! from the [`Identity`] port, which keeps them wrapped. Erasing a person destroys their key; what it
//! sealed is then read as erased, wherever it lies.

pub mod keyring;
mod keys;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::UserId;
use domain::sealed::Sealed;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::Error;
use crate::identity::Identity;
use crate::recent::Recent;
pub use keyring::{DataKey, KeyEncryptionKey, Keyring, WrappedKey};
use keys::Keys;
pub use keys::OVERHEAD_BYTES;

/// How many people's keys are kept decrypted: about 1.5 KiB each, so 12 MiB.
const KEYS_MAX: usize = 8_192;

/// How long a decrypted key is used before the identity store is asked again. An erasure on another
/// node is followed here after at most this long.
const KEY_AGE_MAX: Duration = Duration::from_mins(1);

/// What a sealed text is for. It is authenticated: a text moved to another use does not open.
///
/// The number is part of what was sealed and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// The free text of a money command.
    Description = 1,
    /// Why an operator did something to an account.
    Reason = 2,
    /// What a message says.
    Message = 3,
    /// What a room is called.
    RoomName = 4,
}

/// Seals and unseals text, and fingerprints plaintext, under people's data keys.
pub struct Sealer {
    identity: Arc<dyn Identity>,
    cache: Mutex<Cache>,
}

/// The decrypted keys in use.
struct Cache {
    keys: Recent<UserId, Cached>,
    /// How many destructions there were. A key that was read before one and arrives after it is not
    /// kept: it may be the destroyed one.
    destructions: u64,
}

/// A decrypted key, and since when it is kept.
struct Cached {
    keys: Arc<Keys>,
    since: Instant,
}

impl Sealer {
    /// A sealer with the keys of `identity`.
    pub fn new(identity: Arc<dyn Identity>) -> Self {
        Self { identity, cache: Mutex::new(Cache { keys: Recent::new(KEYS_MAX), destructions: 0 }) }
    }

    /// Encrypts `plaintext` under the data key of `owner`. The result is longer by
    /// [`OVERHEAD_BYTES`]. `None` if the person has no data key: erased, or never signed up.
    pub async fn seal(&self, owner: UserId, purpose: Purpose, plaintext: &str) -> Result<Option<Sealed>, Error> {
        let Some(keys) = self.keys(owner).await? else { return Ok(None) };
        Ok(Some(Sealed { owner, bytes: keys.seal(owner, purpose, plaintext.as_bytes())? }))
    }

    /// The plaintext. `None` if its owner is erased.
    ///
    /// Answers at its first poll if the key is cached, or if the identity store reads at once.
    ///
    /// # Errors
    /// Bytes that were changed, cut, or sealed for another purpose are [`Error::Unknown`].
    pub async fn unseal(&self, purpose: Purpose, sealed: &Sealed) -> Result<Option<Zeroizing<String>>, Error> {
        let Some(keys) = self.keys(sealed.owner).await? else { return Ok(None) };
        keys.unseal(sealed.owner, purpose, &sealed.bytes).map(Some)
    }

    /// HMAC-SHA256 of `canonical` under the data key of `owner`, cut to 16 bytes: says whether two
    /// requests are the same without keeping either. `None` if the person has no data key.
    pub async fn fingerprint(&self, owner: UserId, canonical: &[u8]) -> Result<Option<[u8; 16]>, Error> {
        Ok(self.keys(owner).await?.map(|keys| keys.fingerprint(canonical)))
    }

    /// Destroys the data key of `owner` in the identity store, durably, and here. What it sealed can
    /// never be read again. Idempotent.
    pub async fn destroy(&self, owner: UserId) -> Result<(), Error> {
        let outcome = self.identity.destroy_key(owner).await;
        // Also after an error: it may have been durable, and a key too few here costs a read.
        let mut cache = self.cache.lock();
        cache.destructions = cache.destructions.wrapping_add(1);
        cache.keys.remove(&owner);
        outcome
    }

    /// Forgets a key here: it was destroyed elsewhere.
    pub fn forget(&self, owner: UserId) {
        let mut cache = self.cache.lock();
        cache.destructions = cache.destructions.wrapping_add(1);
        cache.keys.remove(&owner);
    }

    /// Forgets all keys here: any may have been destroyed elsewhere.
    pub fn forget_all(&self) {
        let mut cache = self.cache.lock();
        cache.destructions = cache.destructions.wrapping_add(1);
        cache.keys = Recent::new(KEYS_MAX);
    }

    /// The decrypted keys of `owner`.
    async fn keys(&self, owner: UserId) -> Result<Option<Arc<Keys>>, Error> {
        let destructions = {
            let mut cache = self.cache.lock();
            if let Some(cached) = cache.keys.get_mut(&owner)
                && cached.since.elapsed() < KEY_AGE_MAX
            {
                return Ok(Some(Arc::clone(&cached.keys)));
            }
            cache.keys.remove(&owner);
            cache.destructions
        };
        let Some(key) = self.identity.data_key(owner).await? else { return Ok(None) };
        let keys = Arc::new(Keys::new(&key)?);
        let mut cache = self.cache.lock();
        if cache.destructions == destructions {
            cache.keys.insert(owner, Cached { keys: Arc::clone(&keys), since: Instant::now() });
        }
        Ok(Some(keys))
    }
}
