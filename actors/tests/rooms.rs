//! Rooms on the embedded stores: actors that fail come to life again, and what is too old goes without
//! taking along what is still needed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "rooms/healing.rs"]
mod healing;
#[path = "rooms/node.rs"]
mod node;
#[path = "rooms/retaining.rs"]
mod retaining;
