//! The rules of the ledger from outside: tables, a row a case; and random histories against a model.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod people;

mod commands;
mod credits;
mod holds;
mod model;
mod refusal_table;
mod replays;
mod reversals;
mod shard_fold;
