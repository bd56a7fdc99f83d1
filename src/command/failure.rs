//! How a command ends, as its exit code says it.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which sort, by which scripts tell it.
    pub exit: Exit,
    /// For a person.
    pub message: String,
}

/// The exit codes. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Exit {
    /// It failed; for `verify`: an invariant is broken.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The store is locked and its holder does not answer.
    Locked = 3,
    /// The store is damaged.
    Damaged = 4,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl Failure {
    /// It failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// The store is locked.
    pub fn locked(message: impl Into<String>) -> Self {
        Self { exit: Exit::Locked, message: message.into() }
    }

    /// The store is damaged.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self { exit: Exit::Damaged, message: message.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        let message = error.to_string();
        match error {
            storage::Error::Locked(_) => Self::locked(message),
            // Bytes that this build does not understand: as `verify` has it, they are not what they should be.
            storage::Error::Damaged { .. } | storage::Error::Unknown(_) => Self::damaged(message),
            storage::Error::Misconfigured(_) => Self::usage(message),
            storage::Error::Unavailable(_) | storage::Error::Unsuitable(_) | storage::Error::Io { .. } => {
                Self::failed(message)
            }
        }
    }
}
