//! Deadlines of persons: what is owed to whom, and what becomes of it, in the actor over stores that outlive it. Time is
//! paused.

#![allow(clippy::unwrap_used, reason = "a test that fails says so")]

#[path = "deadlines/healing.rs"]
mod healing;
#[path = "deadlines/scene.rs"]
mod scene;
#[path = "deadlines/store.rs"]
mod store;
