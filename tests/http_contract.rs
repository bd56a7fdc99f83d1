//! The HTTP contract, against the real router over the real embedded stores, through a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "http_contract/concurrency.rs"]
mod concurrency;
#[path = "http_contract/node.rs"]
mod node;
#[path = "http_contract/problems.rs"]
mod problems;
#[path = "http_contract/rooms.rs"]
mod rooms;
#[path = "http_contract/sessions.rs"]
mod sessions;
#[path = "http_contract/sharing.rs"]
mod sharing;
#[path = "http_contract/tokens.rs"]
mod tokens;
#[path = "http_contract/walk.rs"]
mod walk;
