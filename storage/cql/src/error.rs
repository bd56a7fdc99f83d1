//! What an error of the driver says of what was asked.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError, MetadataError,
    NewSessionError, RequestAttemptError, WriteType,
};
use scylla::statement::Consistency;
use storage::Error;

/// What is known of a request that was not answered by a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It can never have an effect and never will: a fault of ours or of the schema.
    Wrong,
    /// It had no effect; later it may have.
    Refused,
    /// It may have its effect now, later or never.
    Unknown,
}

/// What is known of a request that ended like this.
pub(crate) fn fate(error: &ExecutionError) -> Fate {
    match error {
        ExecutionError::BadQuery(_) | ExecutionError::PrepareError(_) => Fate::Wrong,
        ExecutionError::EmptyPlan
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId) => Fate::Refused,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => match error {
            DbError::SyntaxError | DbError::Invalid | DbError::Unauthorized | DbError::ConfigError => Fate::Wrong,
            // Unavailable before the first promise: the phase in which what was agreed on is learned names another level.
            DbError::IsBootstrapping
            | DbError::RateLimitReached { .. }
            | DbError::Unavailable { consistency: Consistency::Serial | Consistency::LocalSerial, .. } => Fate::Refused,
            // Time-outs and failures of any phase, and what this driver has no name for (0x1700, CAS_WRITE_UNKNOWN).
            _ => Fate::Unknown,
        },
        // No answer in time, or a connection that broke.
        _ => Fate::Unknown,
    }
}

/// Whether a lightweight transaction gave way to another.
pub(crate) fn is_contention(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::WriteTimeout { write_type: WriteType::Cas, .. },
            _
        ))
    )
}

/// The port's error for a request that failed.
pub(crate) fn failed(what: &str, error: &ExecutionError) -> Error {
    match fate(error) {
        Fate::Wrong if is_forbidden(error) => Error::Misconfigured(format!("{what}: {error}")),
        Fate::Wrong => Error::Unsuitable(format!("{what}: {error}")),
        Fate::Refused | Fate::Unknown => Error::Unavailable(format!("{what}: {error}")),
    }
}

/// Whether the store understood and does not let this user, or lets nobody, do it.
fn is_forbidden(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized | DbError::ConfigError, _))
    )
}

/// The port's error for a session that was not made.
pub(crate) fn unconnected(error: &NewSessionError) -> Error {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error,
    })) = error
    else {
        return Error::Unavailable(format!("no node of the store answers: {error}"));
    };
    if let ConnectionError::ConnectionSetupRequestError(refused) = last_connection_error {
        match refused.get_error() {
            ConnectionSetupRequestErrorKind::MissingAuthentication => {
                let why = "the store asks who signs in: set `storage.cql.user` and `storage.cql.password`";
                return Error::Misconfigured(why.to_owned());
            }
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, why) => {
                return Error::Misconfigured(format!("the store does not let `storage.cql.user` sign in: {why}"));
            }
            _ => {}
        }
    }
    Error::Unavailable(format!("no node of the store answers: {last_connection_error}"))
}

/// The port's error for rows that are not what this build wrote.
pub(crate) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Unknown(format!("{what}: a row is not as this build writes it: {error}"))
}
