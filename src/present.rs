//! What happened, as people see it: from the ledger's events and rows to the protocol's types.
//!
//! Everything here is read-only. Names come through a bounded cache over the identity store, sealed text is opened
//! here and nowhere before, and what an erased person wrote or was called reads as erased.

pub mod event;
pub mod hold;
pub mod note;
pub mod people;
pub mod room;
pub mod transaction;
