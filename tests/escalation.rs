//! What happens to messages that a person does not take: a node as a process, a server that hears of it, a folder of
//! mail, and who may ask what became of a message.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail as tests do"
)]

#[allow(dead_code, reason = "closes are another test's")]
#[path = "delivery/client.rs"]
mod client;
#[path = "escalation/hook.rs"]
mod hook;
#[allow(dead_code, unreachable_pub, reason = "what signals and commands need is the command line's")]
#[path = "command_line/process.rs"]
mod process;
#[path = "escalation/walk.rs"]
mod walk;
