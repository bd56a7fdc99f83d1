//! The rules of rooms from outside: tables, a row a case; random histories against a model; and the
//! journal's encoding.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod people;

mod commands;
mod golden;
mod model;
mod refusal_table;
