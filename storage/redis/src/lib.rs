//! The stores that all nodes share and that may be lost, on Redis (or Valkey).
//!
//! [`client`] talks to the server, whichever kind it is; a circuit breaker ([`breaker`]) keeps requests from waiting
//! for one that is away. The adapters stand on it: each says what it does meanwhile.

pub mod breaker;
pub mod cache;
pub mod client;
pub mod config;
mod endpoint;
mod error;
mod keeper;
pub mod metrics;
pub mod presence;
pub mod rate_limits;
pub mod revocations;

pub use breaker::State;
pub use cache::RedisCache;
pub use client::Redis;
pub use config::{RedisConfig, RedisKind};
pub use presence::RedisPresence;
pub use rate_limits::RedisRateLimits;
pub use revocations::RedisRevocations;
