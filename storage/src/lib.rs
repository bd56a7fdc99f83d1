//! What the stores of a node promise, and the embedded stores that keep the promises by default.
//!
//! A *port* is a trait with a guarantee a method; its conformance suite in [`conformance`] is what
//! every adapter passes. The adapters of one process and one disk are in [`embedded`].

pub mod error;
pub mod journal;
pub mod views;

pub use error::Error;
