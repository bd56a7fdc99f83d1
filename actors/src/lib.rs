//! The actors of a node: accounts and shards that serialise changes of money and make them durable,
//! projectors that derive what is read, rooms that order what people say, and sessions that deliver
//! what happened.

pub mod account;
pub mod call;
pub mod clock;
pub mod config;
pub mod dead_letters;
pub mod deadlines;
pub mod ledger;
pub mod metrics;
pub mod mutant;
pub mod node;
pub mod outbox;
pub mod presence;
pub mod projector;
pub mod room;
pub mod room_projector;
pub mod room_shard;
pub mod rooms;
pub mod session;
pub mod sessions;
pub mod shard;
pub mod shards;
pub mod streams;
mod sweeping;
