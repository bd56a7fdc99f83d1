//! The real binary from outside: how it starts and stops, what its commands answer, and with which exit code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail as tests do"
)]

#[path = "command_line/backing_up.rs"]
mod backing_up;
#[path = "command_line/calling.rs"]
mod calling;
#[path = "command_line/configuring.rs"]
mod configuring;
#[path = "command_line/examining.rs"]
mod examining;
#[path = "command_line/moving.rs"]
mod moving;
#[path = "command_line/operating.rs"]
mod operating;
#[path = "command_line/process.rs"]
mod process;
#[path = "command_line/reopening.rs"]
mod reopening;
#[path = "command_line/resharding.rs"]
mod resharding;
#[path = "command_line/serving.rs"]
mod serving;
#[path = "command_line/verifying.rs"]
mod verifying;
