//! Presence, regions, sessions, notices and the limits of connections from outside: a node as a process, and people who
//! call it and stay connected.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail as tests do"
)]

#[path = "presence/client.rs"]
mod client;
#[path = "presence/limits.rs"]
mod limits;
#[path = "presence/notices.rs"]
mod notices;
#[path = "presence/online.rs"]
mod online;
#[allow(dead_code, unreachable_pub, reason = "what signals and commands need is the command line's")]
#[path = "command_line/process.rs"]
mod process;
#[path = "presence/regions.rs"]
mod regions;
#[path = "presence/sessions.rs"]
mod sessions;
#[path = "presence/world.rs"]
mod world;
