//! Of several rules broken, the first of [`Refusal`]'s order is named: for every set of rules that a
//! request can break at once.

use std::time::Duration;

use domain::ledger::account::{HOLDS_MAX, Hold};
use domain::ledger::{Fingerprint, Limits, Past, PastHold, Purpose, Refusal, ReleaseCause, Request};
use domain::money::MINOR_MAX;

use crate::people::{
    OWNER, PAYEE, STRANGER, Subject, capture, deposit, hold, hold_id, minor, party, pay, refund, release, user,
    withdraw,
};

/// Breaks one rule, whatever else is broken.
type Fault = (Refusal, fn(&mut Subject, &mut Request));

const KEY_REUSED: Fault = (Refusal::KeyReused, |subject, _| {
    subject.facts.past = Some(Past { offset: 1, fingerprint: Some(Fingerprint([2; 16])) });
});
const CLOSED: Fault = (Refusal::AccountClosed, |subject, _| subject.account.standing.closed = true);
const FROZEN_OUT: Fault = (Refusal::AccountFrozen, |subject, _| subject.account.standing.freeze.debit = true);
const FROZEN_IN: Fault = (Refusal::AccountFrozen, |subject, _| subject.account.standing.freeze.credit = true);
const OUT_OF_RANGE: Fault = (Refusal::AmountOutOfRange, |_, request| raise(request, MINOR_MAX + 1));
const TO_SELF: Fault = (Refusal::PayeeIsSelf, |_, request| match request {
    Request::Transfer { payee, .. } | Request::Hold { payee, .. } => *payee = party(OWNER),
    other => panic!("has no payee: {other:?}"),
});
const TOO_LONG: Fault = (Refusal::ExpiryOutOfRange, |_, request| match request {
    Request::Hold { lasts, .. } => *lasts = Duration::from_hours(31 * 24),
    other => panic!("has no end: {other:?}"),
});
const PER_TRANSACTION: Fault = (Refusal::TransactionLimit, |subject, _| {
    subject.account.standing.limits.per_transaction = Some(minor(9));
});
const PER_DAY: Fault = (Refusal::DayLimit, |subject, _| subject.account.standing.limits.per_day = Some(minor(9)));
const MANY_HOLDS: Fault = (Refusal::TooManyHolds, |subject, _| {
    let expires_at = subject.now.at.after(Duration::from_hours(24));
    let open = Hold { amount: minor(1), payee: party(PAYEE), expires_at };
    subject.account.holds = (100..)
        .take(HOLDS_MAX)
        .map(|number| (hold_id(number), open.clone()))
        .collect::<Vec<_>>()
        .into_iter()
        .collect::<std::collections::BTreeMap<_, _>>()
        .into();
});
const NO_FUNDS: Fault = (Refusal::InsufficientFunds, |subject, _| subject.account.balances.posted = minor(9));
const FULL: Fault = (Refusal::BalanceLimit, |subject, _| subject.account.balances.posted = minor(MINOR_MAX));
const NO_HOLD: Fault = (Refusal::HoldNotFound, |subject, _| subject.account.holds = std::sync::Arc::default());
const BY_STRANGER: Fault = (Refusal::HoldForbidden, |_, request| match request {
    Request::Capture { by, .. } | Request::Release { by, .. } => *by = user(STRANGER),
    other => panic!("asks for no hold: {other:?}"),
});
const EXPIRES_NOW: Fault = (Refusal::HoldExpired, |subject, _| {
    subject.now.at = subject.account.holds.values().map(|open| open.expires_at).max().unwrap();
});
const EXPIRED_BEFORE: Fault = (Refusal::HoldExpired, |subject, _| gone(subject, Some(ReleaseCause::Expired)));
const CAPTURED_BEFORE: Fault = (Refusal::HoldResolved, |subject, _| gone(subject, None));
const RELEASED_BEFORE: Fault = (Refusal::HoldResolved, |subject, _| gone(subject, Some(ReleaseCause::Payer)));
const MORE_THAN_HELD: Fault = (Refusal::CaptureExceedsHold, |_, request| raise(request, 61));
const NO_ORIGINAL: Fault = (Refusal::OriginalNotFound, |subject, _| subject.facts.original = None);
const OF_A_REFUND: Fault = (Refusal::NotRefundable, |subject, _| {
    let of = crate::people::transfer_id(8);
    subject.facts.original =
        subject.facts.original.map(|it| domain::ledger::Original { purpose: Purpose::Refund { of }, ..it });
});
const MORE_THAN_LEFT: Fault = (Refusal::RefundExceedsOriginal, |_, request| raise(request, 51));
const NOTHING_LEFT: Fault = (Refusal::RefundExceedsOriginal, |subject, _| {
    subject.facts.original = subject.facts.original.map(|it| domain::ledger::Original { refunded: it.amount, ..it });
});
const LIMIT_BELOW_ZERO: Fault = (Refusal::AmountOutOfRange, |_, request| match request {
    Request::SetLimits { limits } => limits.per_day = Some(minor(-1)),
    other => panic!("sets no limits: {other:?}"),
});
const HAS_MONEY: Fault = (Refusal::NotEmpty, |subject, _| subject.account.balances.posted = minor(1));
const HAS_HOLD: Fault = (Refusal::HasHolds, |subject, _| {
    // Held money is posted money, so that no history leads here: the rule is for a state that is damaged.
    let expires_at = subject.now.at.after(Duration::from_hours(24));
    let open = Hold { amount: minor(1), payee: party(PAYEE), expires_at };
    subject.account.holds = std::sync::Arc::new(std::iter::once((hold_id(1), open)).collect());
});
const UNSETTLED: Fault = (Refusal::HasUnsettled, |subject, _| subject.facts.unsettled = true);

fn raise(request: &mut Request, to: i64) {
    match request {
        Request::Deposit { amount, .. }
        | Request::Withdraw { amount, .. }
        | Request::Transfer { amount, .. }
        | Request::Hold { amount, .. } => *amount = minor(to.max(amount.get())),
        Request::Capture { amount, .. } | Request::Refund { amount, .. } => {
            *amount = Some(minor(to.max(amount.map_or(0, domain::money::Minor::get))));
        }
        other => panic!("has no amount: {other:?}"),
    }
}

fn gone(subject: &mut Subject, released: Option<ReleaseCause>) {
    subject.account.holds = std::sync::Arc::default();
    subject.facts.resolved = Some(PastHold { payer: user(OWNER), payee: user(PAYEE), released });
}

/// Breaks every set of the rules; each time the first in the list must be named, and nothing move.
fn check(name: &str, subject: &Subject, request: &Request, faults: &[Fault]) {
    assert!(faults.is_sorted_by_key(|(refusal, _)| *refusal), "{name}: the list is in Refusal's order");
    assert!(subject.ask(request).answer.is_ok(), "{name}: breaks no rule by itself");
    for set in 1_u32..1 << faults.len() {
        let mut case = (subject.clone(), request.clone());
        let broken: Vec<_> =
            (0..).zip(faults).filter(|(bit, _)| set & (1 << bit) != 0).map(|(_, fault)| fault).collect();
        for (_, fault) in &broken {
            fault(&mut case.0, &mut case.1);
        }
        let rules: Vec<_> = broken.iter().map(|(refusal, _)| *refusal).collect();
        assert_eq!(case.0.ask(&case.1).answer, Err(rules[0]), "{name}: breaks {rules:?}");
    }
}

#[test]
fn the_first_broken_rule_is_named() {
    let rich = Subject::with(100);
    let held = Subject::holding();
    let paid = Subject::with(100).paid(Purpose::Transfer, 0);
    check("deposit", &rich, &deposit(10), &[KEY_REUSED, CLOSED, FROZEN_IN, OUT_OF_RANGE, FULL]);
    let spending = [KEY_REUSED, CLOSED, FROZEN_OUT, OUT_OF_RANGE, PER_TRANSACTION, PER_DAY, NO_FUNDS];
    check("withdraw", &rich, &withdraw(10), &spending);
    let paying = [KEY_REUSED, CLOSED, FROZEN_OUT, OUT_OF_RANGE, TO_SELF, PER_TRANSACTION, PER_DAY, NO_FUNDS];
    check("transfer", &rich, &pay(10), &paying);
    let holding = [
        KEY_REUSED,
        CLOSED,
        FROZEN_OUT,
        OUT_OF_RANGE,
        TO_SELF,
        TOO_LONG,
        PER_TRANSACTION,
        PER_DAY,
        MANY_HOLDS,
        NO_FUNDS,
    ];
    check("hold", &rich, &hold(1, 10), &holding);
    let all = capture(1, PAYEE, Some(60));
    let amounts = [FROZEN_OUT, OUT_OF_RANGE, MORE_THAN_HELD];
    let capturing = |first: &[Fault]| [first, &amounts].concat();
    check("capture of none", &held, &all, &capturing(&[KEY_REUSED, NO_HOLD]));
    check("capture too late", &held, &all, &capturing(&[KEY_REUSED, BY_STRANGER, EXPIRES_NOW]));
    check("capture far too late", &held, &all, &capturing(&[KEY_REUSED, BY_STRANGER, EXPIRED_BEFORE]));
    check("capture of a captured", &held, &all, &capturing(&[KEY_REUSED, BY_STRANGER, CAPTURED_BEFORE]));
    check("capture of a released", &held, &all, &capturing(&[KEY_REUSED, BY_STRANGER, RELEASED_BEFORE]));
    check("release of none", &held, &release(1, OWNER), &[NO_HOLD]);
    check("release too late", &held, &release(1, OWNER), &[BY_STRANGER, EXPIRES_NOW]);
    check("release far too late", &held, &release(1, PAYEE), &[BY_STRANGER, EXPIRED_BEFORE]);
    check("release of a captured", &held, &release(1, PAYEE), &[BY_STRANGER, CAPTURED_BEFORE]);
    let backing = [CLOSED, FROZEN_OUT, OUT_OF_RANGE, MORE_THAN_LEFT, NO_FUNDS];
    let refunding = |first: &[Fault]| [first, &backing].concat();
    check("refund of none", &paid, &refund(Some(10)), &refunding(&[KEY_REUSED, NO_ORIGINAL]));
    check("refund of a refund", &paid, &refund(Some(10)), &refunding(&[KEY_REUSED, OF_A_REFUND]));
    check("refund of all again", &paid, &refund(None), &[KEY_REUSED, CLOSED, FROZEN_OUT, NOTHING_LEFT, NO_FUNDS]);
    let limits = Request::SetLimits { limits: Limits { per_transaction: Some(minor(5)), per_day: None } };
    check("limits", &rich, &limits, &[CLOSED, LIMIT_BELOW_ZERO]);
    check("close", &Subject::unopened(), &Request::Close, &[HAS_MONEY, HAS_HOLD, UNSETTLED]);
}

#[test]
fn a_refund_of_nothing_is_out_of_range_even_if_nothing_is_left() {
    let mut subject = Subject::with(100).paid(Purpose::Transfer, 50);
    assert_eq!(subject.ask(&refund(Some(0))).answer, Err(Refusal::AmountOutOfRange));
    subject.facts.original = None;
    assert_eq!(subject.ask(&refund(Some(0))).answer, Err(Refusal::OriginalNotFound));
}
