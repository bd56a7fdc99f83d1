//! Promises of an operation: acknowledged once, refused never, the same on both sides.

use std::collections::{HashMap, HashSet};

use protocol::http::transaction::{Direction, TransactionKind, TransactionStatus};
use uuid::Uuid;

use super::{Promise, Verdict};
use crate::check::history::{Acknowledged, Entry, History, Kind, Operation, Outcome};

/// All entries by the id of their transfer, with the person they belong to.
struct Entries<'a>(HashMap<Uuid, Vec<(usize, &'a Entry)>>);

impl<'a> Entries<'a> {
    fn of(history: &'a History) -> Self {
        let mut entries: HashMap<_, Vec<_>> = HashMap::new();
        for (person, seen) in history.people.iter().enumerate() {
            for entry in &seen.statement {
                entries.entry(entry.id).or_default().push((person, entry));
            }
        }
        Self(entries)
    }

    fn of_transfer(&self, id: Uuid) -> &[(usize, &'a Entry)] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let entries = Entries::of(history);
    let mut tags: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for entry in history.people.iter().flat_map(|person| &person.statement) {
        if let Some(tag) = entry.description.as_deref() {
            let ids = tags.entry(tag).or_default();
            if !ids.contains(&entry.id) {
                ids.push(entry.id);
            }
        }
    }
    let mut acknowledged = HashSet::new();
    for operation in &history.operations {
        let effects = tags.get(operation.tag.as_str()).map_or(&[][..], Vec::as_slice);
        match &operation.outcome {
            Outcome::Unknown => {
                verdict.fault(Promise::OutcomeKnown, format!("{operation:?}"));
            }
            Outcome::Refused(code) if !effects.is_empty() => {
                verdict
                    .fault(Promise::RefusedNever, format!("{} was refused ({code}) and is {effects:?}", operation.tag));
            }
            Outcome::Refused(_) => {}
            Outcome::Acknowledged(answers) => {
                one_answer(operation, answers, verdict);
                if let Some(first) = answers.first() {
                    acknowledged.insert(first.id);
                    happened(operation, *first, effects, &entries, history, verdict);
                }
            }
        }
    }
    nothing_unasked(&entries, &acknowledged, history, verdict);
    for (&id, sides) in &entries.0 {
        both_sides(id, sides, &entries, history, verdict);
    }
    refunds(&entries, verdict);
    frozen(history, verdict);
}

/// Every answer under a key says the same.
fn one_answer(operation: &Operation, answers: &[Acknowledged], verdict: &mut Verdict) {
    if answers.windows(2).any(|pair| matches!(pair, [one, next] if !one.agrees(next))) {
        verdict.fault(Promise::OneAnswer, format!("{operation:?}"));
    }
}

/// An acknowledged operation stands in the caller's statement once, as it was asked for.
fn happened(
    operation: &Operation,
    answer: Acknowledged,
    effects: &[Uuid],
    entries: &Entries<'_>,
    history: &History,
    verdict: &mut Verdict,
) {
    let (kind, direction) = match operation.kind {
        Kind::Deposit => (TransactionKind::Deposit, Direction::Credit),
        Kind::Withdraw => (TransactionKind::Withdrawal, Direction::Debit),
        Kind::Transfer(_) => (TransactionKind::Transfer, Direction::Debit),
        Kind::Capture(_) => (TransactionKind::Capture, Direction::Credit),
        Kind::Refund(_) => (TransactionKind::Refund, Direction::Debit),
        Kind::Hold(_) | Kind::Release(_) | Kind::Freeze(_) | Kind::Unfreeze(_) => return,
    };
    let own: Vec<&Entry> = entries
        .of_transfer(answer.id)
        .iter()
        .filter(|(person, entry)| *person == operation.person && entry.direction == direction)
        .map(|(_, entry)| *entry)
        .collect();
    let [entry] = own.as_slice() else {
        let count = own.len();
        verdict.fault(Promise::AcknowledgedOnce, format!("{count} entries of {operation:?}"));
        return;
    };
    if effects.iter().any(|id| *id != answer.id) {
        verdict.fault(Promise::AcknowledgedOnce, format!("{} is {effects:?}: more than {}", operation.tag, answer.id));
    }
    if entry.kind != kind || entry.amount != operation.amount {
        verdict.fault(Promise::AcknowledgedOnce, format!("{entry:?} is not what was asked: {operation:?}"));
    }
    if answer.entry.is_some_and(|told| told != (entry.entry, entry.offset))
        || answer.balance.is_some_and(|told| told != entry.balance_after)
    {
        verdict.fault(Promise::OneAnswer, format!("told {answer:?}, booked {entry:?}"));
    }
    if let Kind::Transfer(payee) = operation.kind {
        let handle = history.people.get(payee).map(|person| person.handle.as_str());
        if entry.counterparty.as_deref() != handle {
            verdict.fault(Promise::BothSides, format!("{entry:?} went elsewhere: {operation:?}"));
        }
    }
}

/// Every debit and every deposit is one that somebody was told of.
fn nothing_unasked(entries: &Entries<'_>, acknowledged: &HashSet<Uuid>, history: &History, verdict: &mut Verdict) {
    // An operation without an outcome may have happened; that is a fault of its own.
    let unknown = |operation: &&Operation| operation.outcome == Outcome::Unknown;
    let spared: HashSet<&str> = history.operations.iter().filter(unknown).map(|it| it.tag.as_str()).collect();
    for (&id, sides) in &entries.0 {
        // A return is the platform's own; it answers for itself in `both_sides`.
        let own = sides.iter().all(|(_, entry)| entry.kind == TransactionKind::Return);
        let excused =
            sides.iter().any(|(_, entry)| entry.description.as_deref().is_some_and(|tag| spared.contains(tag)));
        if !own && !excused && !acknowledged.contains(&id) {
            verdict.fault(Promise::NothingUnasked, format!("{sides:?}"));
        }
    }
}

/// What left one account reached one other, once, or was given back.
fn both_sides(id: Uuid, sides: &[(usize, &Entry)], entries: &Entries<'_>, history: &History, verdict: &mut Verdict) {
    let side = |direction| sides.iter().filter(move |(_, entry)| entry.direction == direction).collect::<Vec<_>>();
    let (debits, credits) = (side(Direction::Debit), side(Direction::Credit));
    let Some((_, first)) = sides.first() else { return };
    match first.kind {
        TransactionKind::Deposit | TransactionKind::Withdrawal => {
            if sides.len() != 1 {
                verdict
                    .fault(Promise::AcknowledgedOnce, format!("transfer {id} has {} entries: {sides:?}", sides.len()));
            }
        }
        TransactionKind::Return => {
            let original = first.reverses.map_or(&[][..], |original| entries.of_transfer(original));
            let fits = |(person, entry): &(usize, &Entry)| {
                entry.direction == Direction::Debit
                    && entry.status == Some(TransactionStatus::Returned)
                    && entry.amount == first.amount
                    && credits.iter().any(|(payer, _)| payer == person)
            };
            if sides.len() != 1 || !original.iter().any(fits) {
                verdict.fault(Promise::BothSides, format!("return {id} gives back nothing: {sides:?}"));
            }
        }
        TransactionKind::Transfer | TransactionKind::Capture | TransactionKind::Refund => {
            let returned = debits.iter().any(|(_, entry)| entry.status == Some(TransactionStatus::Returned));
            match (debits.as_slice(), credits.as_slice()) {
                ([(payer, debit)], [(payee, credit)]) if !returned => {
                    let handle = |person: usize| history.people.get(person).map(|person| person.handle.as_str());
                    let same = debit.amount == credit.amount
                        && debit.kind == credit.kind
                        && debit.reverses == credit.reverses
                        && debit.counterparty.as_deref() == handle(*payee)
                        && credit.counterparty.as_deref() == handle(*payer);
                    if !same {
                        verdict.fault(Promise::BothSides, format!("transfer {id} differs: {sides:?}"));
                    }
                }
                ([_], []) if returned => {
                    let back = entries
                        .0
                        .values()
                        .flatten()
                        .filter(|(_, entry)| entry.kind == TransactionKind::Return && entry.reverses == Some(id));
                    if back.count() != 1 {
                        verdict.fault(Promise::BothSides, format!("transfer {id} was not given back once: {sides:?}"));
                    }
                }
                _ => {
                    let (debits, credits) = (debits.len(), credits.len());
                    let what = format!("transfer {id} has {debits} debits and {credits} credits: {sides:?}");
                    verdict.fault(Promise::BothSides, what);
                }
            }
        }
    }
}

/// The refunds of a transfer are at most the transfer, and no refund is refunded.
fn refunds(entries: &Entries<'_>, verdict: &mut Verdict) {
    let mut refunded: HashMap<Uuid, i64> = HashMap::new();
    for (_, entry) in entries.0.values().flatten() {
        if entry.kind == TransactionKind::Refund && entry.direction == Direction::Debit {
            if let Some(original) = entry.reverses {
                *refunded.entry(original).or_default() += entry.amount;
            } else {
                verdict.fault(Promise::RefundWithin, format!("a refund of nothing: {entry:?}"));
            }
        }
    }
    for (original, sum) in refunded {
        let credit = entries.of_transfer(original).iter().find(|(_, entry)| entry.direction == Direction::Credit);
        match credit {
            None => verdict.fault(Promise::RefundWithin, format!("{sum} of {original}, which nobody got")),
            Some((_, entry)) if entry.kind == TransactionKind::Refund || sum > entry.amount => {
                verdict.fault(Promise::RefundWithin, format!("{sum} of {entry:?}"));
            }
            Some(_) => {}
        }
    }
}

/// Between a freeze that was answered and an unfreeze that was not yet sent, nothing goes out.
fn frozen(history: &History, verdict: &mut Verdict) {
    let happened = |operation: &&Operation| matches!(operation.outcome, Outcome::Acknowledged(_));
    let done: Vec<&Operation> = history.operations.iter().filter(happened).collect();
    let mut freezes: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
    for freeze in &done {
        let Kind::Freeze(person) = freeze.kind else { continue };
        let thaws = history.operations.iter().filter(|it| it.kind == Kind::Unfreeze(person));
        let thaw = thaws.map(|it| it.started).filter(|started| *started >= freeze.ended).min().unwrap_or(u64::MAX);
        freezes.entry(person).or_default().push((freeze.ended, thaw));
    }
    for operation in done {
        if !matches!(operation.kind, Kind::Withdraw | Kind::Transfer(_) | Kind::Hold(_)) {
            continue;
        }
        let spans = freezes.get(&operation.person).map_or(&[][..], Vec::as_slice);
        if spans.iter().any(|(from, to)| *from <= operation.started && operation.ended <= *to) {
            verdict.fault(Promise::FrozenStill, format!("{operation:?}"));
        }
    }
}
