//! The wall clock of the load tool: when a run was, and until when a token is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long ago 1970 began.
///
/// The one reading of the clock that the tool's processes share: what one of them stamps, another
/// compares, on the same machine.
#[allow(clippy::disallowed_methods, reason = "the load tool's own reading of the wall clock")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Now, as RFC 3339 to the second.
pub(crate) fn stamp() -> String {
    let seconds = i64::try_from(now().as_secs()).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |at| at.to_string())
}
