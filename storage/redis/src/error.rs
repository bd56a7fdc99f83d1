//! What went wrong with Redis, as the ports say it and as it is counted.

use redis::RedisError;
use storage::Error;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No answer in time.
    Timeout,
    /// The connection is of no use any more.
    Broken,
    /// The server answered that it does not do it.
    Refused,
}

impl Reason {
    pub(crate) fn of(error: &RedisError) -> Self {
        // A master that has become a replica goes on answering, and must be left.
        if error.code() == Some("READONLY") || error.is_connection_dropped() || error.is_connection_refusal() {
            Self::Broken
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_io_error() {
            Self::Broken
        } else {
            Self::Refused
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Refused => "refused",
        }
    }
}

/// The server did not do what it was asked.
pub(crate) fn failed(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("Redis, {what}: {why}"))
}

/// The server answered something that no build of ours wrote.
pub(crate) fn unreadable(what: &str) -> Error {
    Error::Unknown(format!("Redis holds {what} that cannot be read"))
}
