//! The stores of one process and one disk, which a node has unless it is told otherwise.

pub mod cache;
mod database;
pub mod deliveries;
#[cfg(test)]
mod golden;
pub mod identity;
pub mod journal;
pub mod lock;
pub mod presence;
pub mod rate_limits;
pub mod revocations;
pub mod snapshot;
pub mod views;
