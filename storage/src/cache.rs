//! The port of caches that all nodes share: what was read once and may be read again elsewhere.
//!
//! Every entry has the version of what it was read from, and an older one never takes the place of a newer one: who
//! reads slowly and writes late does no harm. That an entry is there says nothing of whether it is new enough: who
//! reads knows the version that they want.
//!
//! All of it may be lost, at any time: then it is read anew. Nothing of a person is put here but in its sealed form.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Error;

/// The most bytes of a key.
pub const KEY_BYTES_MAX: usize = 128;

/// The most bytes of a value. What is larger costs more to bring than to read anew.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// How long it is remembered that an entry is forgotten: longer than any reader takes from reading what is old to
/// writing it here.
pub const FORGOTTEN_LASTS: Duration = Duration::from_mins(10);

/// The version above all others: of what is forgotten for good.
pub const VERSION_MAX: u64 = (1 << 53) - 1;

/// What was read, and of which version it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The version, 1 to [`VERSION_MAX`].
    pub version: u64,
    /// What was read.
    pub value: Bytes,
}

/// A cache that all nodes share.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The entry of a key, if there is one.
    async fn get(&self, key: &str) -> Result<Option<Versioned>, Error>;

    /// Keeps an entry for `lasts`, unless one of the same or a newer version is there or was forgotten. Atomic a key.
    /// Answers whether it is kept now.
    ///
    /// # Errors
    /// A key, a value or a version that is out of bounds is [`Error::Unknown`].
    async fn put(&self, key: &str, entry: Versioned, lasts: Duration) -> Result<bool, Error>;

    /// Forgets the entry of a key if it is of `version` or older, and for [`FORGOTTEN_LASTS`] keeps none of these
    /// again. Atomic a key.
    async fn forget(&self, key: &str, version: u64) -> Result<(), Error>;
}

/// Whether an entry may be kept at all. For adapters.
///
/// # Errors
/// It may not: [`Error::Unknown`].
pub fn check(key: &str, version: u64, value: &[u8]) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::Unknown(what));
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return wrong(format!("a key of {} bytes cannot be cached", key.len()));
    }
    if version == 0 || version > VERSION_MAX {
        return wrong(format!("nothing of version {version} can be cached"));
    }
    if value.len() > VALUE_BYTES_MAX {
        return wrong(format!("{} bytes are too many to be cached", value.len()));
    }
    Ok(())
}
