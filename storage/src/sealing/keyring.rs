//! Data keys, and the key-encryption keys that wrap them.
//!
//! A data key lies on the disk only wrapped. The key-encryption keys come from configuration, so a
//! copy of the identity store alone opens nothing.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use domain::ids::UserId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Error;

/// The AES-256 key of one person's text. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A new random one.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice())
            .map_err(|_| Error::Unavailable("the system has no random bytes".to_owned()))?;
        Ok(Self(bytes))
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// The 32 bytes of one key-encryption key, as configuration gives them. Wiped when dropped.
pub struct KeyEncryptionKey(Zeroizing<[u8; 32]>);

impl KeyEncryptionKey {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyEncryptionKey(..)")
    }
}

/// A data key as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Which key-encryption key opens it: the start of an HMAC under it.
    pub by: [u8; 8],
    /// Nonce, ciphertext, tag.
    pub bytes: Vec<u8>,
}

/// The key-encryption keys of a store: the first wraps, all unwrap.
pub struct Keyring {
    keys: Vec<([u8; 8], RandomizedNonceKey)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// Takes the configured keys.
    ///
    /// # Errors
    /// An empty list is [`Error::Unknown`].
    pub fn new(keys: &[KeyEncryptionKey]) -> Result<Self, Error> {
        if keys.is_empty() {
            return Err(Error::Unknown("no key-encryption key is configured".to_owned()));
        }
        let keys = keys.iter().map(|key| {
            let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.0.as_slice())
                .map_err(|_| Error::Unavailable("a key-encryption key cannot be used".to_owned()))?;
            Ok((name(key), cipher))
        });
        Ok(Self { keys: keys.collect::<Result<_, Error>>()? })
    }

    /// Wraps a data key for `owner`.
    pub fn wrap(&self, owner: UserId, key: &DataKey) -> Result<WrappedKey, Error> {
        let failed = || Error::Unavailable("a data key could not be wrapped".to_owned());
        let (by, cipher) = self.keys.first().ok_or_else(failed)?;
        let mut body = Zeroizing::new(*key.0);
        let (nonce, tag) = cipher
            .seal_in_place_separate_tag(Aad::from(owner.0.as_bytes()), body.as_mut_slice())
            .map_err(|_| failed())?;
        let bytes = [nonce.as_ref().as_slice(), body.as_slice(), tag.as_ref()].concat();
        Ok(WrappedKey { by: *by, bytes })
    }

    /// The data key of `owner` that [`Keyring::wrap`] wrapped.
    ///
    /// # Errors
    /// A key wrapped by a key-encryption key that is not configured, or changed since, is
    /// [`Error::Unknown`].
    pub fn unwrap(&self, owner: UserId, wrapped: &WrappedKey) -> Result<DataKey, Error> {
        let Some((_, cipher)) = self.keys.iter().find(|(name, _)| *name == wrapped.by) else {
            return Err(Error::Unknown(format!(
                "the data key of {owner} is wrapped by a key-encryption key that is not configured"
            )));
        };
        let damaged = || Error::Unknown(format!("the data key of {owner} does not open: it was changed"));
        let (nonce, body) = wrapped.bytes.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = cipher.open_in_place(nonce, Aad::from(owner.0.as_bytes()), &mut body).map_err(|_| damaged())?;
        let mut key = Zeroizing::new([0; 32]);
        if plain.len() != key.len() {
            return Err(damaged());
        }
        key.copy_from_slice(plain);
        Ok(DataKey(key))
    }
}

/// The name of a key-encryption key: says which one it is and nothing about it.
fn name(key: &KeyEncryptionKey) -> [u8; 8] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.0.as_slice()), b"quickpe 2026 key-encryption key");
    let mut name = [0; 8];
    for (to, from) in name.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_first_wraps_and_all_unwrap() {
        let key = |byte| KeyEncryptionKey::new([byte; 32]);
        let owner = UserId(Uuid::from_u128(1));
        let old = Keyring::new(&[key(1)]).unwrap();
        let rotated = Keyring::new(&[key(2), key(1)]).unwrap();
        let other = Keyring::new(&[key(3)]).unwrap();
        let data = DataKey::generate().unwrap();
        let wrapped = old.wrap(owner, &data).unwrap();
        assert_eq!(rotated.unwrap(owner, &wrapped).unwrap(), data);
        assert!(old.unwrap(owner, &rotated.wrap(owner, &data).unwrap()).is_err(), "the first wraps");
        assert!(other.unwrap(owner, &wrapped).unwrap_err().to_string().contains("not configured"));
        assert!(old.unwrap(UserId(Uuid::from_u128(2)), &wrapped).is_err(), "moved to another person");
        let mut cut = wrapped.clone();
        cut.bytes.truncate(11);
        assert!(old.unwrap(owner, &cut).is_err());
        assert!(!format!("{data:?}{old:?}").contains(&format!("{:?}", [1_u8; 4])));
        assert!(Keyring::new(&[]).is_err());
    }
}
