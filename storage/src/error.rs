//! What every port answers when it cannot keep its promise.

use std::path::PathBuf;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not answer now; what was asked may be asked again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Bytes that were durable are not what they were.
    #[error("{} is damaged at byte {offset}: {what}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The store is sound, and as it or this node is configured its promises could be broken: a setting must be changed.
    #[error("{0}")]
    Misconfigured(String),
    /// The store is sound, and not one for this build or this command: of another version, not made, or not empty.
    #[error("{0}")]
    Unsuitable(String),
    /// Bytes that this build does not understand.
    #[error("{0}")]
    Unknown(String),
    /// Another process holds the store.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The disk answered an error.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    /// Says what was being done when the disk answered `source`.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }
}
