//! What happened to an account: the events of its stream.
//!
//! These types are what the journal holds. Variants and fields are only ever added at the end, under
//! a new number of the encoding.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{AccountId, DeviceId, HoldId, OperationId, SessionId, ShardId, TransferId, UserId};
use crate::ledger::account::Standing;
use crate::money::{Currency, Minor};
use crate::sealed::Sealed;
use crate::time::{BusinessDay, Timestamp};

/// One event of one account: one offset of its stream, one message to those who follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The account.
    pub account: AccountId,
    /// Dense from 1 in the account.
    pub offset: u64,
    /// When, in the course of what, and by whom.
    pub meta: Meta,
    /// What.
    pub change: Change,
}

/// The circumstances of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// When it was decided. Increases within an account.
    pub at: Timestamp,
    /// In the course of what.
    pub origin: Origin,
}

/// What a change goes back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The request or the timer's wake.
    pub operation: OperationId,
    /// Who asked.
    pub by: By,
    /// The W3C trace that the request came in.
    pub trace: Option<Trace>,
}

/// Who asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub principal: Principal,
    /// Over which connection.
    pub session: Option<SessionId>,
    /// From which device.
    pub device: Option<DeviceId>,
    /// By which way in.
    pub via: Via,
}

impl By {
    /// The platform itself.
    pub const SYSTEM: Self = Self { principal: Principal::System, session: None, device: None, via: Via::System };
}

/// Who asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Principal {
    /// A person.
    Person(UserId),
    /// The platform itself.
    System,
}

impl Principal {
    /// The id that idempotency keys are scoped by.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Person(user) => user.0,
            Self::System => Uuid::nil(),
        }
    }
}

/// The way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Via {
    /// An HTTP request.
    Http,
    /// A call over a WebSocket.
    WebSocket,
    /// The command line on the node's machine.
    Operator,
    /// A timer, a return, the platform's own doing.
    System,
}

/// A W3C trace context: where the request stands in its caller's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 16],
    /// The caller's span.
    pub parent: [u8; 8],
    /// The caller's flags; bit 0 is *sampled*.
    pub flags: u8,
}

/// One side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// The person.
    pub user: UserId,
    /// Their account.
    pub account: AccountId,
}

/// A keyed hash of a command's plaintext, to tell the same request from another under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

/// A credit's number on the channel between two shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelNumber {
    /// The shard at the other end.
    pub peer: ShardId,
    /// Dense from 1 on the channel. 0 until the sending shard numbers the credit.
    pub number: u64,
}

/// What an account has, after an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balances {
    /// All of it: the prefix sum of the entries.
    pub posted: Minor,
    /// The part that is set aside in holds.
    pub held: Minor,
}

impl Balances {
    /// What may be spent.
    pub fn available(self) -> Minor {
        self.posted.minus(self.held).unwrap_or(Minor::ZERO)
    }
}

/// A money entry of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Dense from 1 in the account.
    pub number: u64,
    /// What moved, always positive.
    pub amount: Minor,
    /// Its currency: the account's.
    pub currency: Currency,
    /// The account after it.
    pub after: Balances,
}

/// Money that moved into or out of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// The transfer it belongs to: the same id on both sides.
    pub transfer: TransferId,
    /// The entry it makes.
    pub entry: Entry,
    /// Of the request, if it had an idempotency key.
    pub fingerprint: Option<Fingerprint>,
    /// The payer's words, sealed.
    pub note: Option<Sealed>,
}

/// What a transfer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// One person pays another.
    Transfer,
    /// A payee takes what was held for them; the hold's rest is released.
    Capture {
        /// The hold.
        hold: HoldId,
        /// All that was held.
        held: Minor,
    },
    /// A payee gives back what was paid.
    Refund {
        /// The transfer or capture.
        of: TransferId,
    },
    /// What could not be credited goes back.
    Return {
        /// The transfer, capture or refund.
        of: TransferId,
        /// If it was a refund: of which transfer or capture. That one may be refunded again.
        refund_of: Option<TransferId>,
    },
}

/// Why a hold was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseCause {
    /// Its payer took it back.
    Payer,
    /// Its payee gave it up.
    Payee,
    /// Its time was over.
    Expired,
}

/// What became of a transfer after its debit was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LateOutcome {
    /// The payee's side has it.
    Settled,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It began, with its first command or credit.
    Opened {
        /// Whose it is.
        owner: UserId,
        /// What it is kept in.
        currency: Currency,
    },
    /// Money came in from outside.
    Deposited {
        /// The entry.
        movement: Movement,
    },
    /// Money went out of the platform.
    Withdrawn {
        /// The entry.
        movement: Movement,
        /// The day that it counts to.
        day: BusinessDay,
    },
    /// Money went to another account and is in transit until that account's shard has it.
    Debited {
        /// The entry.
        movement: Movement,
        /// The day that it counts to.
        day: BusinessDay,
        /// Whose money it was.
        owner: UserId,
        /// Who gets it.
        payee: Party,
        /// The credit's number on the channel to the payee's shard.
        channel: ChannelNumber,
        /// What for.
        purpose: Purpose,
    },
    /// Money came from another account.
    Credited {
        /// The entry.
        movement: Movement,
        /// Who paid.
        payer: Party,
        /// The credit's number on the channel from the payer's shard.
        channel: ChannelNumber,
        /// What for.
        purpose: Purpose,
    },
    /// Money was set aside for a payee.
    Held {
        /// The hold.
        hold: HoldId,
        /// How much.
        amount: Minor,
        /// Its currency: the account's.
        currency: Currency,
        /// Whose money it is.
        owner: UserId,
        /// Who may capture it.
        payee: Party,
        /// When it is released by itself.
        expires_at: Timestamp,
        /// The day that it counts to.
        day: BusinessDay,
        /// The account after it.
        after: Balances,
        /// Of the request, if it had an idempotency key.
        fingerprint: Option<Fingerprint>,
        /// The payer's words, sealed.
        note: Option<Sealed>,
    },
    /// Money set aside is the owner's again.
    Released {
        /// The hold.
        hold: HoldId,
        /// How much was held.
        amount: Minor,
        /// Why.
        cause: ReleaseCause,
        /// The account after it.
        after: Balances,
    },
    /// It was frozen or unfrozen.
    FreezeChanged {
        /// The account's standing after it.
        standing: Standing,
        /// The operator's words about the owner, sealed under the owner's key.
        reason: Option<Sealed>,
    },
    /// Its limits were set.
    LimitsChanged {
        /// The account's standing after it.
        standing: Standing,
    },
    /// It ended, empty.
    Closed {
        /// The account's standing after it.
        standing: Standing,
    },
    /// A transfer that was answered as pending came to its end.
    TransferUpdated {
        /// The transfer.
        transfer: TransferId,
        /// What became of it.
        outcome: LateOutcome,
    },
}

impl Change {
    /// The money entry that it makes, if it makes one.
    pub const fn movement(&self) -> Option<&Movement> {
        match self {
            Self::Deposited { movement }
            | Self::Withdrawn { movement, .. }
            | Self::Debited { movement, .. }
            | Self::Credited { movement, .. } => Some(movement),
            _ => None,
        }
    }

    /// The change of the owner's balance: positive in, negative out, zero if none.
    pub fn posted(&self) -> Minor {
        match self {
            Self::Deposited { movement } | Self::Credited { movement, .. } => movement.entry.amount,
            Self::Withdrawn { movement, .. } | Self::Debited { movement, .. } => {
                movement.entry.amount.negated().unwrap_or(Minor::ZERO)
            }
            _ => Minor::ZERO,
        }
    }
}
