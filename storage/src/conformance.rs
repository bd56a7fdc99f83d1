//! What every adapter of a port must pass: one suite a port, called by the adapter's own tests.

pub mod deliveries;
pub mod identity;
pub mod journal;
pub mod views;
