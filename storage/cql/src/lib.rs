//! The stores of a node on ScyllaDB (2025.4 or newer) or Apache Cassandra (5.0): the ports of `storage` over CQL.
//!
//! [`Cql`] is the connection with every statement prepared; [`CqlJournal`], [`CqlViews`], [`CqlIdentity`] and
//! [`CqlDeliveries`] keep the ports' promises on it. What decides (the journal's slots, unique names, versions) is
//! written by lightweight transactions only; what is derived or only grows, by stamped upserts. No table has both.

mod applied;
mod calendar;
pub mod checks;
mod client;
pub mod config;
mod deliveries;
mod error;
pub mod founding;
mod identity;
mod journal;
pub mod metrics;
pub mod migrate;
mod number;
pub mod paxos;
mod pulse;
pub mod schema;
pub mod statements;
mod views;
mod watches;

pub use client::{Connection, Cql};
pub use config::CqlConfig;
pub use deliveries::CqlDeliveries;
pub use identity::CqlIdentity;
pub use journal::{CqlJournal, SEGMENT_SLOTS};
pub use pulse::{Pulse, Standing};
pub use views::{CqlViews, clear_views};
pub use watches::CqlWatches;
