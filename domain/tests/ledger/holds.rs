//! Money set aside: held, captured, released, expired; resolved once.

use std::time::Duration;

use domain::ids::{DeviceId, SessionId};
use domain::ledger::account::HOLDS_MAX;
use domain::ledger::command::{HOLD_LASTS, HOLD_LASTS_MAX, HOLD_LASTS_MIN};
use domain::ledger::{
    Answer, Balances, Change, Command, Opening, Purpose, Refusal, ReleaseCause, Request, Trace, decide,
};
use domain::money::{Currency, MINOR_MAX};
use uuid::Uuid;

use crate::people::{
    OWNER, PAYEE, Row, STRANGER, Subject, capture, check, freeze, hold, hold_id, minor, origin, party, pay, release,
    shard_of, user, withdraw,
};

const DONE: Result<Answer, Refusal> = Ok(Answer::Done);
const UNCHANGED: Result<Answer, Refusal> = Ok(Answer::Unchanged);

fn refused(name: &'static str, subject: Subject, request: Request, refusal: Refusal) -> Row {
    (name, subject, request, Err(refusal))
}

fn lasting(time: Duration) -> Request {
    let mut request = hold(2, 10);
    if let Request::Hold { lasts, .. } = &mut request {
        *lasts = time;
    }
    request
}

/// With `count` holds of 1, of which the first `short` end after a minute.
fn with_holds(count: usize, short: usize) -> Subject {
    let mut subject = Subject::with(2_000);
    for number in 0..count {
        let mut request = hold(u128::try_from(number).unwrap() << 64, 1);
        if let Request::Hold { lasts, .. } = &mut request {
            *lasts = if number < short { Duration::from_mins(1) } else { HOLD_LASTS };
        }
        subject = subject.then(&request);
    }
    subject
}

#[test]
fn holds_are_made() {
    let some = Subject::with(100);
    check(vec![
        ("all of it", some.clone(), hold(1, 100), DONE),
        ("all that is not held", Subject::holding(), hold(2, 40), DONE),
        ("for the shortest time", some.clone(), lasting(HOLD_LASTS_MIN), DONE),
        ("for the longest time", some.clone(), lasting(HOLD_LASTS_MAX), DONE),
        refused("for no time", some.clone(), lasting(Duration::ZERO), Refusal::ExpiryOutOfRange),
        refused("for ever", some.clone(), lasting(Duration::MAX), Refusal::ExpiryOutOfRange),
        refused(
            "a bit too long",
            some.clone(),
            lasting(HOLD_LASTS_MAX + Duration::from_micros(1)),
            Refusal::ExpiryOutOfRange,
        ),
        refused("what is held", Subject::holding(), hold(2, 41), Refusal::InsufficientFunds),
        refused("from an account that nobody used", Subject::unopened(), hold(1, 1), Refusal::InsufficientFunds),
        refused("nothing", some.clone(), hold(1, 0), Refusal::AmountOutOfRange),
        refused("too much for any", some.clone(), hold(1, MINOR_MAX + 1), Refusal::AmountOutOfRange),
        refused("frozen", some.clone().frozen(true, false), hold(1, 1), Refusal::AccountFrozen),
        refused("closed", some.clone().closed(), hold(1, 1), Refusal::AccountClosed),
        refused("above one transaction", some.clone().limited(Some(9), None), hold(1, 10), Refusal::TransactionLimit),
        refused("above the day", some.limited(None, Some(9)), hold(1, 10), Refusal::DayLimit),
    ]);
    let held = Subject::holding();
    assert_eq!(held.account.balances, Balances { posted: minor(100), held: minor(60) });
    assert_eq!(held.account.entries, 1, "a hold is no entry");
}

#[test]
fn captures_and_releases() {
    let held = Subject::holding();
    check(vec![
        ("all", held.clone(), capture(1, PAYEE, None), DONE),
        ("all, said", held.clone(), capture(1, PAYEE, Some(60)), DONE),
        ("a part", held.clone(), capture(1, PAYEE, Some(1)), DONE),
        (
            "limits were looked at when it was held",
            held.clone().limited(Some(0), Some(0)),
            capture(1, PAYEE, None),
            DONE,
        ),
        refused("too much", held.clone(), capture(1, PAYEE, Some(61)), Refusal::CaptureExceedsHold),
        refused("nothing", held.clone(), capture(1, PAYEE, Some(0)), Refusal::AmountOutOfRange),
        refused("less than nothing", held.clone(), capture(1, PAYEE, Some(-1)), Refusal::AmountOutOfRange),
        refused("by its payer", held.clone(), capture(1, OWNER, None), Refusal::HoldForbidden),
        refused("by a stranger", held.clone(), capture(1, STRANGER, None), Refusal::HoldForbidden),
        refused("another", held.clone(), capture(2, PAYEE, None), Refusal::HoldNotFound),
        refused("frozen", held.clone().frozen(true, false), capture(1, PAYEE, None), Refusal::AccountFrozen),
        ("released by its payer", held.clone(), release(1, OWNER), DONE),
        ("released by its payee", held.clone(), release(1, PAYEE), DONE),
        ("released though frozen", held.clone().frozen(true, true), release(1, OWNER), DONE),
        refused("released by a stranger", held.clone(), release(1, STRANGER), Refusal::HoldForbidden),
        refused("another released", held, release(2, OWNER), Refusal::HoldNotFound),
    ]);
}

#[test]
fn a_hold_is_resolved_once() {
    let captured = Subject::with(100).resolved(None);
    let by_payer = Subject::with(100).resolved(Some(ReleaseCause::Payer));
    let by_payee = Subject::with(100).resolved(Some(ReleaseCause::Payee));
    let expired = Subject::with(100).resolved(Some(ReleaseCause::Expired));
    check(vec![
        refused("capture a captured", captured.clone(), capture(1, PAYEE, None), Refusal::HoldResolved),
        refused("release a captured", captured.clone(), release(1, OWNER), Refusal::HoldResolved),
        refused("capture a released", by_payer.clone(), capture(1, PAYEE, None), Refusal::HoldResolved),
        refused("capture one given up", by_payee.clone(), capture(1, PAYEE, None), Refusal::HoldResolved),
        refused("capture an expired", expired.clone(), capture(1, PAYEE, None), Refusal::HoldExpired),
        refused("release an expired", expired.clone(), release(1, OWNER), Refusal::HoldExpired),
        ("release again", by_payer.clone(), release(1, OWNER), UNCHANGED),
        ("release again by the other", by_payer.clone(), release(1, PAYEE), UNCHANGED),
        ("give up what is released", by_payee.clone(), release(1, OWNER), UNCHANGED),
        refused("a stranger, of a captured", captured.clone(), release(1, STRANGER), Refusal::HoldForbidden),
        refused("a stranger, of a released", by_payer.clone(), release(1, STRANGER), Refusal::HoldForbidden),
        refused("a stranger, of an expired", expired, release(1, STRANGER), Refusal::HoldForbidden),
        refused("a stranger captures a captured", captured, capture(1, STRANGER, None), Refusal::HoldForbidden),
        refused("its payer captures a released", by_payer, capture(1, OWNER, None), Refusal::HoldForbidden),
    ]);
}

#[test]
fn a_partial_capture_releases_the_rest() {
    let decided = Subject::holding().ask(&capture(1, PAYEE, Some(20)));
    let [event] = decided.events.as_slice() else { panic!("one event: {decided:?}") };
    let Change::Debited { movement, payee, purpose, .. } = &event.change else { panic!("{event:?}") };
    assert_eq!((*payee, *purpose), (party(PAYEE), Purpose::Capture { hold: hold_id(1), held: minor(60) }));
    assert_eq!(movement.entry.amount, minor(20));
    assert_eq!(movement.entry.after, Balances { posted: minor(80), held: minor(0) });
    assert!(decided.account.holds.is_empty());
}

#[test]
fn a_release_says_whose_it_was() {
    for (by, expected) in [(OWNER, ReleaseCause::Payer), (PAYEE, ReleaseCause::Payee)] {
        let decided = Subject::holding().ask(&release(1, by));
        let [event] = decided.events.as_slice() else { panic!("one event: {decided:?}") };
        let Change::Released { cause, amount, after, .. } = event.change else { panic!("{event:?}") };
        assert_eq!((cause, amount, after), (expected, minor(60), Balances { posted: minor(100), held: minor(0) }));
    }
}

#[test]
fn a_hold_past_its_time_expires_before_all_else() {
    let almost = Subject::holding().later(HOLD_LASTS.saturating_sub(Duration::from_micros(1)));
    let late = Subject::holding().later(HOLD_LASTS);
    check(vec![
        ("captured at the last moment", almost.clone(), capture(1, PAYEE, None), DONE),
        refused("its money is not free yet", almost.clone(), pay(41), Refusal::InsufficientFunds),
        ("nothing has expired", almost, Request::Expire, UNCHANGED),
        ("the timer", late.clone(), Request::Expire, DONE),
        ("its money is free", late.clone(), pay(100), DONE),
        refused("captured too late", late.clone(), capture(1, PAYEE, None), Refusal::HoldExpired),
        refused("released too late", late.clone(), release(1, OWNER), Refusal::HoldExpired),
        refused("a stranger learns nothing", late.clone(), release(1, STRANGER), Refusal::HoldForbidden),
        refused("nor by a capture", late.clone(), capture(1, STRANGER, None), Refusal::HoldForbidden),
        refused("refused for another reason", late.clone(), withdraw(101), Refusal::InsufficientFunds),
        ("nothing else to do", late.clone(), freeze(None, None), UNCHANGED),
    ]);
    // Whatever is answered, the expiry is said, and said first.
    for request in [Request::Expire, pay(100), capture(1, PAYEE, None), withdraw(101), freeze(None, None)] {
        let decided = late.ask(&request);
        let Change::Released { hold, cause, amount, .. } = decided.events[0].change else { panic!("{decided:?}") };
        assert_eq!((hold, cause, amount), (hold_id(1), ReleaseCause::Expired, minor(60)), "{request:?}");
        assert!(decided.account.holds.is_empty(), "{request:?}");
    }
}

#[test]
fn an_account_has_a_thousand_holds_at_most() {
    let full = with_holds(HOLDS_MAX, 1);
    assert_eq!(full.account.holds.len(), 1_000);
    check(vec![
        refused("one more", full.clone(), hold(1, 1), Refusal::TooManyHolds),
        ("one more when one has expired", full.clone().later(Duration::from_mins(2)), hold(1, 1), DONE),
        ("one more when one is released", full.then(&release(5 << 64, PAYEE)), hold(1, 1), DONE),
    ]);
}

#[test]
fn all_that_is_due_expires_at_once() {
    // A decision that let only some of them expire paid out a hold that was over.
    let late = with_holds(200, 199).later(Duration::from_mins(2));
    let decided = late.ask(&capture(198 << 64, PAYEE, None));
    assert_eq!(decided.answer, Err(Refusal::HoldExpired));
    assert_eq!((decided.events.len(), decided.account.balances.held), (199, minor(1)));
    check(vec![
        ("all that is free", late.clone(), pay(1_999), DONE),
        ("the one that is left", late, capture(199 << 64, PAYEE, None), DONE),
    ]);
}

#[test]
fn the_longest_decision_fits_into_a_record() {
    // 256 KiB is what a record may hold; a decision is never split.
    let late = with_holds(HOLDS_MAX, HOLDS_MAX).later(Duration::from_mins(2));
    let mut origin = origin(OWNER);
    origin.by.session = Some(SessionId(Uuid::max()));
    origin.by.device = Some(DeviceId(Uuid::max()));
    origin.trace = Some(Trace { id: [0xff; 16], parent: [0xff; 8], flags: 0xff });
    let opening = Opening { owner: user(OWNER), currency: Currency::Inr };
    let command = Command { origin, opening, request: pay(2_000) };
    let decided = decide(&late.account, &late.facts, &command, late.now, shard_of);
    assert_eq!((decided.answer, decided.events.len()), (DONE, 1_001));
    let bytes = postcard::to_stdvec(&decided.events).unwrap().len();
    assert!(bytes < 224 << 10, "{bytes}");
}
