//! The delivery machine: a table of its edges, and a model that every sequence of doings must agree with.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test that fails says so")]

#[path = "delivery/edges.rs"]
mod edges;
#[path = "delivery/model.rs"]
mod model;
#[path = "delivery/person.rs"]
mod person;
