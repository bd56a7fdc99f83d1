//! What this node remembers of what it has read, so that it need not be read again.
//!
//! Everything remembered is forgotten by an event: who changes something says so ([`crate::revoking`]), here and on the
//! other nodes; time alone is only the last resort, for what no event told of. [`kept`] is one cache in memory;
//! [`counts`] says how often each had what was asked for.

pub mod counts;
pub mod kept;
pub mod metrics;

use protocol::http::admin::{CacheLevel, CacheResponse};

use crate::app::App;

/// How often each cache of this node had what was asked for.
pub fn report(app: &App) -> CacheResponse {
    let mut caches: Vec<CacheLevel> = app.people.caches().into();
    caches.push(app.access.logins.cache());
    caches.extend(app.newest.caches());
    CacheResponse { caches }
}
