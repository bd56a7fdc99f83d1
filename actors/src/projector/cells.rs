//! The index cells of the ledger's views: what each holds, and under which key.

use domain::ids::{AccountId, HoldId, TransferId};
use domain::ledger::{Party, ReleaseCause};
use domain::money::{Currency, Minor};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Sort of a transfer's cell: the event that its id stands for; a hold's too. Written by the deciding shard.
pub const EFFECT: &[u8] = &[0];
/// Sort of a transfer's cell: its credit. Written by the payee's shard.
pub const CREDIT: &[u8] = &[1];
/// Sort of a transfer's cell: what was given back. Written by the payee's shard.
pub const REFUNDED: &[u8] = &[2];
/// Sort of a transfer's cell: its return. Written by the payer's shard.
pub const RETURNED: &[u8] = &[3];

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// In which account.
    pub account: AccountId,
    /// At which offset.
    pub offset: u64,
}

/// What was given back of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refunded {
    /// The sum.
    pub sum: Minor,
    /// The offset of the last refund in the refunding account.
    pub through: u64,
}

/// How far a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldOutcome {
    /// It is open.
    Held,
    /// It was paid out, this much of it.
    Captured {
        /// The transfer.
        transfer: TransferId,
        /// How much.
        amount: Minor,
    },
    /// It was released.
    Released(ReleaseCause),
}

/// A hold, as it stands in the views.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// Which.
    pub hold: HoldId,
    /// Whose money it is.
    pub payer: Party,
    /// Who may capture it.
    pub payee: Party,
    /// How much.
    pub amount: Minor,
    /// In what.
    pub currency: Currency,
    /// The offset of the event that made it.
    pub offset: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is released by itself.
    pub expires_at: Timestamp,
    /// How far it is.
    pub outcome: HoldOutcome,
    /// The payer's words.
    pub note: Option<Sealed>,
}

/// Sort of a hold among the holds of an account: newest first.
pub fn hold_sort(created_at: Timestamp, hold: HoldId) -> Vec<u8> {
    let mut sort = Vec::with_capacity(24);
    sort.extend_from_slice(&(!created_at.0).to_be_bytes());
    sort.extend_from_slice(hold.0.as_bytes());
    sort
}
