//! What is asked of an account, and what its rules must know beyond its state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{HoldId, TransferId, UserId};
use crate::ledger::account::{Freeze, Limits, Opening};
use crate::ledger::event::{Fingerprint, Origin, Party, Purpose, ReleaseCause};
use crate::money::{Currency, Minor};
use crate::sealed::Sealed;
use crate::time::{BusinessDay, Timestamp};

/// How long a hold lasts if nobody says: 7 days.
pub const HOLD_LASTS: Duration = Duration::from_hours(7 * 24);
/// How long a hold may last: 30 days.
pub const HOLD_LASTS_MAX: Duration = Duration::from_hours(30 * 24);
/// How short a hold may be: 1 second.
pub const HOLD_LASTS_MIN: Duration = Duration::from_secs(1);

/// A command to one account.
#[derive(Clone, Debug)]
pub struct Command {
    /// Where it comes from.
    pub origin: Origin,
    /// The account's owner and currency, in case the command opens it.
    pub opening: Opening,
    /// What is asked.
    pub request: Request,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// Take money from outside.
    Deposit {
        /// Names the effect, for ever.
        transfer: TransferId,
        /// How much.
        amount: Minor,
        /// Of the request, if it had a key.
        fingerprint: Option<Fingerprint>,
        /// The caller's words.
        note: Option<Sealed>,
    },
    /// Give money to the outside.
    Withdraw {
        /// Names the effect, for ever.
        transfer: TransferId,
        /// How much.
        amount: Minor,
        /// Of the request, if it had a key.
        fingerprint: Option<Fingerprint>,
        /// The caller's words.
        note: Option<Sealed>,
    },
    /// Pay another account.
    Transfer {
        /// Names the effect, for ever.
        transfer: TransferId,
        /// To whom.
        payee: Party,
        /// How much.
        amount: Minor,
        /// Of the request, if it had a key.
        fingerprint: Option<Fingerprint>,
        /// The caller's words.
        note: Option<Sealed>,
    },
    /// Set money aside for a payee.
    Hold {
        /// Names the effect, for ever.
        hold: HoldId,
        /// For whom.
        payee: Party,
        /// How much.
        amount: Minor,
        /// For how long.
        lasts: Duration,
        /// Of the request, if it had a key.
        fingerprint: Option<Fingerprint>,
        /// The caller's words.
        note: Option<Sealed>,
    },
    /// Pay out a hold; its rest is released.
    Capture {
        /// Names the effect, for ever.
        transfer: TransferId,
        /// Which.
        hold: HoldId,
        /// Who asks.
        by: UserId,
        /// How much; all of it if absent.
        amount: Option<Minor>,
        /// Of the request, if it had a key.
        fingerprint: Option<Fingerprint>,
    },
    /// Release a hold.
    Release {
        /// Which.
        hold: HoldId,
        /// Who asks.
        by: UserId,
    },
    /// Give back what a transfer brought.
    Refund {
        /// Names the effect, for ever.
        transfer: TransferId,
        /// Which.
        of: TransferId,
        /// How much; all that is left if absent.
        amount: Option<Minor>,
        /// Of the request, if it had a key.
        fingerprint: Option<Fingerprint>,
    },
    /// Stop or free directions: `Some` sets, `None` leaves.
    Freeze {
        /// Money going out.
        debit: Option<bool>,
        /// Money coming in.
        credit: Option<bool>,
        /// The operator's words.
        reason: Option<Sealed>,
    },
    /// Set the limits.
    SetLimits {
        /// All of them.
        limits: Limits,
    },
    /// End the account.
    Close,
    /// Release the holds whose time is over.
    Expire,
}

impl Request {
    /// The id of the transfer that the command makes, if it makes one.
    pub const fn transfer(&self) -> Option<TransferId> {
        match self {
            Self::Deposit { transfer, .. }
            | Self::Withdraw { transfer, .. }
            | Self::Transfer { transfer, .. }
            | Self::Capture { transfer, .. }
            | Self::Refund { transfer, .. } => Some(*transfer),
            _ => None,
        }
    }

    /// The fingerprint that it came with: it has an idempotency key.
    pub const fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Deposit { fingerprint, .. }
            | Self::Withdraw { fingerprint, .. }
            | Self::Transfer { fingerprint, .. }
            | Self::Hold { fingerprint, .. }
            | Self::Capture { fingerprint, .. }
            | Self::Refund { fingerprint, .. } => *fingerprint,
            _ => None,
        }
    }

    /// The account that gets money at once if the command succeeds.
    pub const fn payee(&self) -> Option<Party> {
        match self {
            Self::Transfer { payee, .. } => Some(*payee),
            _ => None,
        }
    }
}

/// A numbered credit on its way from one shard to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The transfer: the same id on both sides.
    pub transfer: TransferId,
    /// Who paid.
    pub payer: Party,
    /// Who gets it.
    pub payee: Party,
    /// How much.
    pub amount: Minor,
    /// In what.
    pub currency: Currency,
    /// What for.
    pub purpose: Purpose,
    /// The payer's words.
    pub note: Option<Sealed>,
    /// Where the transfer comes from.
    pub origin: Origin,
    /// When it was debited.
    pub debited_at: Timestamp,
}

/// The time, as a decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The shard's clock.
    pub at: Timestamp,
    /// The business day of it.
    pub day: BusinessDay,
}

/// What the rules must know beyond the account's state. Read before, joined with the tail's index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What the command's id did before.
    pub past: Option<Past>,
    /// What is to be refunded.
    pub original: Option<Original>,
    /// The hold, if it is resolved already.
    pub resolved: Option<PastHold>,
    /// Transfers of the account are still on their way. Asked for by `Close` only.
    pub unsettled: bool,
}

/// An effect of a command that was decided before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The offset of its event.
    pub offset: u64,
    /// The fingerprint in it.
    pub fingerprint: Option<Fingerprint>,
}

/// A credit that may be refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    /// Who paid it.
    pub payer: Party,
    /// How much it was.
    pub amount: Minor,
    /// How much of it was given back.
    pub refunded: Minor,
    /// What it was for.
    pub purpose: Purpose,
}

/// A hold that is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastHold {
    /// Whose money it was.
    pub payer: UserId,
    /// Who might have captured it.
    pub payee: UserId,
    /// How it was released; `None` if it was captured.
    pub released: Option<ReleaseCause>,
}

impl Freeze {
    /// This, with some directions set.
    #[must_use]
    pub fn with(self, debit: Option<bool>, credit: Option<bool>) -> Self {
        Self { debit: debit.unwrap_or(self.debit), credit: credit.unwrap_or(self.credit) }
    }
}
