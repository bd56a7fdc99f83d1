//! Names, units and help of what is measured of caches.

use metrics::{Unit, describe_counter};

/// What was asked of caches.
pub const REQUESTS: &str = "quickpe_cache_requests_total";
/// Label: which cache.
pub const CACHE: &str = "cache";
/// Label: `1` in this node's memory, `2` shared by all nodes.
pub const LEVEL: &str = "level";
/// Label: `hit` or `miss`.
pub const OUTCOME: &str = "outcome";

/// Tells the recorder units and help. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "What was asked of caches, by cache, level and whether it was there.");
}
