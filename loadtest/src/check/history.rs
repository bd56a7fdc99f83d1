//! What was seen from outside: who asked for what, what was answered, what was heard.
//!
//! Plain data, so that the [judge](super::judge) is a function of it and can be tried with histories
//! that have a fault planted. Times are microseconds since the start of the run.

pub(crate) mod delivery;
pub(crate) mod rooms;

use std::collections::{HashMap, HashSet};

use protocol::http::hold::HoldStatus;
use protocol::http::transaction::{Direction, TransactionKind, TransactionStatus};
use uuid::Uuid;

pub(crate) use self::delivery::{Connection, Device, LetterSeen, MessageSeen, Step, Stream, refusal, refused_by};
pub(crate) use self::rooms::{Act, Look, RoomEventSeen, RoomSeen, Said, Shows, Talk, Talked, Visit, What};

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The people, by number.
    pub(crate) people: Vec<PersonSeen>,
    /// The operations, in no order.
    pub(crate) operations: Vec<Operation>,
    /// The devices, once for each stream that they follow.
    pub(crate) devices: Vec<Device>,
    /// How long each stream was when everybody had stopped.
    pub(crate) heads: HashMap<Stream, u64>,
    /// The rooms, by number.
    pub(crate) rooms: Vec<RoomSeen>,
    /// What was done in rooms, in no order.
    pub(crate) talks: Vec<Talk>,
    /// What people saw of what they had changed in rooms.
    pub(crate) looks: Vec<Look>,
    /// People who came to a room and left it.
    pub(crate) visits: Vec<Visit>,
    /// All dead letters of these people; nothing if nobody could read them.
    pub(crate) letters: Option<Vec<LetterSeen>>,
    /// Holds that were made to run out before the end.
    pub(crate) short_holds: HashSet<Uuid>,
    /// Answers and frames that are not of the protocol.
    pub(crate) foreign: Vec<String>,
}

/// What a person saw of their account at the end, and when they looked before.
#[derive(Clone, Debug, Default)]
pub(crate) struct PersonSeen {
    /// The public handle.
    pub(crate) handle: String,
    /// The whole statement, oldest first.
    pub(crate) statement: Vec<Entry>,
    /// The balance after everything else.
    pub(crate) balance: Balance,
    /// All holds that the person is a party to.
    pub(crate) holds: Vec<HoldSeen>,
    /// Balances read on the way, in order.
    pub(crate) reads: Vec<Read>,
    /// First pages of the statement read on the way.
    pub(crate) glances: Vec<Glance>,
}

/// A balance, with the place in the stream that it reflects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the words of the API")]
pub(crate) struct Balance {
    /// What stands in the account, in minor units.
    pub(crate) balance: i64,
    /// What can be spent.
    pub(crate) available: i64,
    /// What open holds set aside.
    pub(crate) held: i64,
    /// The offset that it reflects.
    pub(crate) offset: u64,
}

/// A balance that was read while others moved money.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    /// The highest offset that the reader had been told of before asking.
    pub(crate) known: u64,
    /// What was answered.
    pub(crate) seen: Balance,
}

/// The first page of a statement, read while others moved money.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    /// The offset of the reader's own newest entry that was acknowledged before asking.
    pub(crate) known: u64,
    /// The offset of the newest entry on the page; 0 if it was empty.
    pub(crate) newest: u64,
}

/// One line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the words of the API")]
pub(crate) struct Entry {
    /// The transfer's id.
    pub(crate) id: Uuid,
    /// Why money moved.
    pub(crate) kind: TransactionKind,
    /// In or out.
    pub(crate) direction: Direction,
    /// How far it is.
    pub(crate) status: Option<TransactionStatus>,
    /// How much, in minor units.
    pub(crate) amount: i64,
    /// The balance after it.
    pub(crate) balance_after: i64,
    /// Its number in the account.
    pub(crate) entry: u64,
    /// Its offset in the stream.
    pub(crate) offset: u64,
    /// The other person's handle.
    pub(crate) counterparty: Option<String>,
    /// The text that was sent along: the operation's tag.
    pub(crate) description: Option<String>,
    /// What it gives back.
    pub(crate) reverses: Option<Uuid>,
}

/// A hold as it is at the end.
#[derive(Clone, Debug)]
pub(crate) struct HoldSeen {
    /// The id.
    pub(crate) id: Uuid,
    /// How far it is.
    pub(crate) status: HoldStatus,
    /// How much was set aside.
    pub(crate) amount: i64,
    /// How much was taken.
    pub(crate) captured: i64,
    /// The payer's handle.
    pub(crate) payer: Option<String>,
}

/// Something that a person asked for, under one idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Who asked.
    pub(crate) person: usize,
    /// For what.
    pub(crate) kind: Kind,
    /// How much, in minor units.
    pub(crate) amount: i64,
    /// The text that was sent along; unique. Captures, releases and refunds have none.
    pub(crate) tag: String,
    /// When it was first sent.
    pub(crate) started: u64,
    /// When its outcome was known.
    pub(crate) ended: u64,
    /// What is known of it.
    pub(crate) outcome: Outcome,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Money in.
    Deposit,
    /// Money out.
    Withdraw,
    /// Money to this person.
    Transfer(usize),
    /// Money set aside for this person.
    Hold(usize),
    /// This hold taken.
    Capture(Uuid),
    /// This hold given up.
    Release(Uuid),
    /// This transfer given back.
    Refund(Uuid),
    /// This person's account frozen for money going out.
    Freeze(usize),
    /// And let go again.
    Unfreeze(usize),
}

/// What is known of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It happened. What every answer under its key said, the first first.
    Acknowledged(Vec<Acknowledged>),
    /// It did not, for this reason.
    Refused(String),
    /// Nothing could be learned.
    Unknown,
}

/// An answer that said that it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// The id of the transfer or hold.
    pub(crate) id: Uuid,
    /// The number and offset of the caller's entry, where the answer has it.
    pub(crate) entry: Option<(u64, u64)>,
    /// The balance as of the entry, where the answer has it.
    pub(crate) balance: Option<i64>,
}

impl Acknowledged {
    /// Whether two answers can both be true: where both say something, they say the same.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        fn same<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        self.id == other.id && same(self.entry, other.entry) && same(self.balance, other.balance)
    }
}
