//! Records as bytes, and what goes wrong inside a transaction.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// A record with a stored form: a version byte, then postcard.
///
/// A field is never changed in place: a new form is a new version, and [`Stored::decode`] of the type
/// reads all old ones. Golden files hold each.
pub(crate) trait Stored: Serialize + DeserializeOwned {
    /// What it is, for errors.
    const NAME: &'static str;
    /// The version that this build writes.
    const VERSION: u8 = 1;

    /// The bytes.
    fn encode(&self) -> Result<Vec<u8>, Failed> {
        postcard::to_extend(self, vec![Self::VERSION])
            .map_err(|error| Failed::Undecodable(format!("a {} cannot be encoded: {error}", Self::NAME)))
    }

    /// The record in the bytes.
    fn decode(bytes: &[u8]) -> Result<Self, Failed> {
        match bytes.split_first() {
            Some((version, rest)) if *version == Self::VERSION => postcard::from_bytes(rest)
                .map_err(|error| Failed::Undecodable(format!("a {} cannot be decoded: {error}", Self::NAME))),
            Some((version, _)) => Err(Failed::Undecodable(format!(
                "a {} has version {version}, which this build does not know",
                Self::NAME
            ))),
            None => Err(Failed::Undecodable(format!("a {} is empty", Self::NAME))),
        }
    }
}

/// Why a transaction did not go through.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The engine said so.
    Engine(redb::Error),
    /// Bytes that this build does not understand, or a request past its bounds.
    Undecodable(String),
    /// Another part was not able to.
    Other(String),
}

impl Failed {
    /// The error to answer, with the file it is about.
    pub(crate) fn of(&self, file: &Path) -> Error {
        match self {
            Self::Engine(redb::Error::Corrupted(what)) => {
                Error::Damaged { file: file.to_owned(), offset: 0, what: what.clone() }
            }
            Self::Engine(error) => Error::Unavailable(format!("{}: {error}", file.display())),
            Self::Undecodable(what) => Error::Unknown(format!("{}: {what}", file.display())),
            Self::Other(what) => Error::Unavailable(format!("{}: {what}", file.display())),
        }
    }
}

/// Errors of the engine's calls, all of which `?` takes.
macro_rules! from_engine {
    ($($error:ty),*) => {
        $(impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self::Engine(error.into())
            }
        })*
    };
}

from_engine!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::DatabaseError);

/// An error of another part, inside a transaction.
impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown(what) => Self::Undecodable(what),
            other => Self::Other(other.to_string()),
        }
    }
}
