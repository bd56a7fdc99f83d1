//! Promises of one account: entries, balances, reads, and the sum over all.

use protocol::http::transaction::{Direction, TransactionKind, TransactionStatus};

use super::{Promise, Verdict};
use crate::check::history::{Entry, History, PersonSeen};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    for (number, person) in history.people.iter().enumerate() {
        statement(number, person, verdict);
        reads(number, person, verdict);
        glances(number, person, verdict);
    }
    conserved(history, verdict);
}

fn statement(number: usize, person: &PersonSeen, verdict: &mut Verdict) {
    let mut sum = 0_i64;
    let mut offset = 0;
    for (line, (entry, expected)) in person.statement.iter().zip(1_u64..).enumerate() {
        let at = || format!("person {number}, line {line}, transfer {}", entry.id);
        if entry.entry != expected {
            verdict.fault(Promise::EntriesDense, format!("{}: entry {} where {expected} is due", at(), entry.entry));
        }
        if entry.offset <= offset {
            verdict.fault(Promise::EntriesDense, format!("{}: offset {} after {offset}", at(), entry.offset));
        }
        offset = entry.offset;
        if entry.amount <= 0 {
            verdict.fault(Promise::EntriesDense, format!("{}: an amount of {}", at(), entry.amount));
        }
        sum += signed(entry);
        if entry.balance_after != sum {
            let after = entry.balance_after;
            verdict.fault(Promise::EntriesDense, format!("{}: a balance of {after} where the sum is {sum}", at()));
            // Told once, where it begins.
            sum = after;
        }
        if sum < 0 {
            verdict.fault(Promise::Conserved, format!("{}: a balance below zero: {sum}", at()));
        }
        if entry.status == Some(TransactionStatus::Pending) {
            verdict.fault(Promise::NothingPending, at());
        }
    }
    let last = person.balance;
    if last.balance != sum {
        let told = last.balance;
        verdict.fault(Promise::EntriesDense, format!("person {number}: a balance of {told}, a statement of {sum}"));
    }
    if last.available != last.balance - last.held || last.available < 0 || last.held < 0 {
        verdict.fault(Promise::Conserved, format!("person {number}: {last:?} does not add up"));
    }
    if last.offset < offset {
        let told = last.offset;
        verdict
            .fault(Promise::ReadsForward, format!("person {number}: a balance of offset {told}, an entry of {offset}"));
    }
}

fn reads(number: usize, person: &PersonSeen, verdict: &mut Verdict) {
    let mut newest = 0;
    for read in &person.reads {
        let seen = read.seen;
        let known = newest.max(read.known);
        if seen.offset < known {
            let told = seen.offset;
            verdict.fault(Promise::ReadsForward, format!("person {number}: told of offset {known}, then read {told}"));
        }
        newest = newest.max(seen.offset);
        let after = person.statement.partition_point(|entry| entry.offset <= seen.offset);
        let due = after.checked_sub(1).map_or(0, |last| person.statement[last].balance_after);
        if seen.balance != due {
            verdict.fault(Promise::ReadsForward, format!("person {number}: read {seen:?} where the balance was {due}"));
        }
        if seen.available != seen.balance - seen.held || seen.available < 0 || seen.held < 0 {
            verdict.fault(Promise::ReadsForward, format!("person {number}: read {seen:?}, which does not add up"));
        }
    }
}

fn glances(number: usize, person: &PersonSeen, verdict: &mut Verdict) {
    for glance in &person.glances {
        if glance.newest < glance.known {
            verdict.fault(
                Promise::ReadsForward,
                format!("person {number}: a statement without the own write: {glance:?}"),
            );
        }
    }
}

/// The balances of all people together are what came from outside less what went there.
fn conserved(history: &History, verdict: &mut Verdict) {
    let from_outside: i64 = history
        .people
        .iter()
        .flat_map(|person| &person.statement)
        .filter(|entry| matches!(entry.kind, TransactionKind::Deposit | TransactionKind::Withdrawal))
        .map(signed)
        .sum();
    let balances: i64 = history.people.iter().map(|person| person.balance.balance).sum();
    if balances != from_outside {
        let what = format!("all balances are {balances}, deposits less withdrawals {from_outside}");
        verdict.fault(Promise::Conserved, what);
    }
}

/// The amount as it changes the balance.
pub(super) fn signed(entry: &Entry) -> i64 {
    match entry.direction {
        Direction::Credit => entry.amount,
        Direction::Debit => -entry.amount,
    }
}
