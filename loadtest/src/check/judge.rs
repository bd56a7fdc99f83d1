//! Whether a history keeps the promises of the protocol.
//!
//! Pure: a history in, faults out. Each file below holds one kind of promise.

mod accounts;
mod effects;
mod holds;
mod letters;
mod places;
mod rooms;
mod story;
mod streams;

use std::collections::BTreeMap;
use std::fmt;

use super::history::History;

/// The most faults of one kind that are told; the rest is counted.
const TOLD_MAX: usize = 20;

/// A promise that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Promise {
    /// Every outcome can be learned.
    OutcomeKnown,
    /// What was acknowledged happened once.
    AcknowledgedOnce,
    /// What was refused did not happen.
    RefusedNever,
    /// What nobody was told of did not happen.
    NothingUnasked,
    /// A key has one effect, and every answer under it says the same.
    OneAnswer,
    /// Entries are numbered densely, and balances are their sums.
    EntriesDense,
    /// Both sides see the same transfer.
    BothSides,
    /// No money is made or lost.
    Conserved,
    /// A balance reflects what its reader knew, and is one that the account had.
    ReadsForward,
    /// Nothing is pending at the end.
    NothingPending,
    /// A hold is resolved once, and captures stay within it.
    HoldOnce,
    /// Refunds stay within the original.
    RefundWithin,
    /// A frozen account pays nothing.
    FrozenStill,
    /// Every offset is heard, in order, or named in a gap.
    NothingSkipped,
    /// A repeated message is the same message.
    SameMessage,
    /// A message says what the statement says.
    MessageTrue,
    /// A device goes on where it was: nothing lies behind its place that it is not done with.
    NothingForgotten,
    /// Who acknowledges nothing is closed.
    SilentClosed,
    /// A dead letter tells of what was refused or left, in the words of who did.
    LetterTrue,
    /// A dead letter ends when what it tells of is applied.
    LetterResolved,
    /// The events of a room are numbered densely.
    RoomDense,
    /// What was said is there once, where the answer says.
    SaidOnce,
    /// What nobody said is not there.
    SaidUnasked,
    /// Messages stand in the order in which they were said.
    SaidInOrder,
    /// A message reads as its last change left it.
    ReadsAsLeft,
    /// Nothing of a room is heard by who is not in it.
    RoomPrivate,
    /// What is answered and sent is of the protocol.
    Understood,
}

/// A promise that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Fault {
    /// Which promise.
    pub(crate) promise: Promise,
    /// Where, and how.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}

/// What a judge found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The faults that are told.
    pub(crate) faults: Vec<Fault>,
    /// How many there are of each kind.
    pub(crate) counts: BTreeMap<Promise, usize>,
}

impl Verdict {
    /// Records a fault.
    fn fault(&mut self, promise: Promise, what: impl Into<String>) {
        let count = self.counts.entry(promise).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            self.faults.push(Fault { promise, what: what.into() });
        }
    }
}

/// Judges a history that is complete: every worker has stopped, every statement was read to its end.
pub(crate) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    accounts::judge(history, &mut verdict);
    effects::judge(history, &mut verdict);
    holds::judge(history, &mut verdict);
    streams::judge(history, &mut verdict);
    places::judge(history, &mut verdict);
    letters::judge(history, &mut verdict);
    rooms::judge(history, &mut verdict);
    for what in &history.foreign {
        verdict.fault(Promise::Understood, what.as_str());
    }
    verdict
}

#[cfg(test)]
mod tests;
