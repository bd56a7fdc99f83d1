//! Delivery from outside: a node as a process, an administrator over HTTP, and clients that refuse, go away, come back,
//! say nothing and read nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail as tests do"
)]

#[path = "delivery/client.rs"]
mod client;
#[allow(dead_code, unreachable_pub, reason = "what signals and commands need is the command line's")]
#[path = "command_line/process.rs"]
mod process;
#[path = "delivery/rooms.rs"]
mod rooms;
#[path = "delivery/walk.rs"]
mod walk;
