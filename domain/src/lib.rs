//! The rules of QuickPe, pure: no tokio, no clock, no I/O.
//!
//! Everything here is a function of its arguments. Time and randomness are arguments. Arithmetic on
//! money is checked; the lints below keep it so.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests compute expectations")
)]

pub mod delivery;
pub mod ids;
pub mod ledger;
pub mod money;
pub mod room;
pub mod sealed;
pub mod time;
