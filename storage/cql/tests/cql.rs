//! The CQL stores against a real server: Apache Cassandra, by `ops/cassandra`.
//!
//! `CQL_TEST_NODE` names a server that is there (`address:port`); without it one is started in `target/cassandra`,
//! and goes on running for the next time (`ops/cassandra/stop` ends it). Nothing is skipped: no server is a failure.
//! The tests share one keyspace, `quickpe_tests`, which is made anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of tests fail as tests do"
)]

#[allow(dead_code, reason = "shared with tests that have servers of their own")]
#[path = "cql_faults/servers.rs"]
mod servers;

mod cql {
    mod deliveries;
    mod entries;
    mod identity;
    mod journal;
    mod migrating;
    mod retention;
    mod server;
    mod views;
    mod watches;
    mod writers;
}
