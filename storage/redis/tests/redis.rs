//! The adapters on real servers: Redis as Debian has it, alone, as a cluster, behind Sentinels, and over TLS.
//!
//! `REDIS_TEST_URL` names a server that is there; without it one is started in `target/redis` by `ops/redis/start`, and
//! goes on running for the next time (`ops/redis/stop` ends it). Tests that take a server down start one of their own.
//! Nothing is skipped: no server is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

mod redis {
    mod conformance;
    mod faults;
    mod kinds;
    mod missing;
    mod proxy;
    mod secured;
    mod server;
}
