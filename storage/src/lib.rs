//! What the stores of a node promise, and the embedded stores that keep the promises by default.
//!
//! A *port* is a trait with a guarantee a method; its conformance suite in [`conformance`] is what
//! every adapter passes. The adapters of one process and one disk are in [`embedded`].

pub mod cache;
pub mod conformance;
pub mod deliveries;
pub mod embedded;
pub mod encoding;
pub mod error;
pub mod identity;
pub mod journal;
pub mod metrics;
pub mod moving;
pub mod presence;
pub mod rate_limits;
mod recent;
pub mod revocations;
pub mod sealing;
pub mod views;
pub mod watches;

pub use error::Error;
