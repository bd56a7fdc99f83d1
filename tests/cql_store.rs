//! A node on a CQL store from outside: what a transfer asks of the store, what a node refuses to start on, and what its
//! clients see while servers of the store are gone. The store is Apache Cassandra, by `ops/cassandra`.
//!
//! Most tests start servers of their own, on loopback addresses of their own; one runs after the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "helpers of tests fail as tests do"
)]

#[allow(dead_code, reason = "what else a client can is for the tests of deliveries")]
#[path = "delivery/client.rs"]
mod client;
#[path = "cql_store/failing.rs"]
mod failing;
#[path = "cql_store/home.rs"]
mod home;
#[allow(dead_code, reason = "what signals and WebSockets need is the command line's")]
#[path = "command_line/process.rs"]
mod process;
#[path = "cql_store/refusing.rs"]
mod refusing;
#[path = "cql_store/requests.rs"]
mod requests;
#[path = "../storage/cql/tests/cql_faults/servers.rs"]
mod servers;
#[path = "cql_store/skewed.rs"]
mod skewed;
