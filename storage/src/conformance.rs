//! What every adapter of a port must pass: one suite a port, called by the adapter's own tests.

pub mod cache;
pub mod deliveries;
pub mod identity;
pub mod journal;
pub mod presence;
pub mod rate_limits;
pub mod revocations;
pub mod time;
pub mod views;
pub mod watches;
