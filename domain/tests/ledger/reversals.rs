//! Refunds: what a transfer brought goes back, in parts or whole, once.

use domain::ledger::{Answer, Balances, Change, Purpose, Refusal, Request};

use crate::people::{PAYEE, Row, Subject, check, hold, hold_id, minor, party, refund, shard_of, transfer_id, withdraw};

const DONE: Result<Answer, Refusal> = Ok(Answer::Done);
const CAPTURE: Purpose = Purpose::Capture { hold: hold_of_a_payer(), held: domain::money::Minor::MAX };

const fn hold_of_a_payer() -> domain::ids::HoldId {
    domain::ids::HoldId(uuid::Uuid::from_u128(5))
}

fn refused(name: &'static str, subject: Subject, request: Request, refusal: Refusal) -> Row {
    (name, subject, request, Err(refusal))
}

#[test]
fn refunds() {
    let some = Subject::with(100);
    let paid = some.clone().paid(Purpose::Transfer, 0);
    let partly = some.clone().paid(Purpose::Transfer, 30);
    let wholly = some.clone().paid(Purpose::Transfer, 50);
    let spent = paid.clone().then(&withdraw(60));
    let back = |purpose| some.clone().paid(purpose, 0);
    let over = Refusal::RefundExceedsOriginal;
    check(vec![
        ("all of it", paid.clone(), refund(None), DONE),
        ("all of it, said", paid.clone(), refund(Some(50)), DONE),
        ("a part", paid.clone(), refund(Some(1)), DONE),
        ("all that is left", partly.clone(), refund(None), DONE),
        ("all that is left, said", partly.clone(), refund(Some(20)), DONE),
        ("of a capture", back(CAPTURE), refund(None), DONE),
        ("limits are for spending", paid.clone().limited(Some(0), Some(0)), refund(None), DONE),
        ("frozen for what comes in", paid.clone().frozen(false, true), refund(None), DONE),
        refused("more than it was", paid.clone(), refund(Some(51)), over),
        refused("more than is left", partly, refund(Some(21)), over),
        refused("when nothing is left", wholly.clone(), refund(None), over),
        refused("a bit when nothing is left", wholly, refund(Some(1)), over),
        refused("nothing", paid.clone(), refund(Some(0)), Refusal::AmountOutOfRange),
        refused("less than nothing", paid.clone(), refund(Some(-1)), Refusal::AmountOutOfRange),
        refused("of nothing known", some.clone(), refund(None), Refusal::OriginalNotFound),
        refused("of a refund", back(Purpose::Refund { of: transfer_id(8) }), refund(None), Refusal::NotRefundable),
        refused(
            "of a return",
            back(Purpose::Return { of: transfer_id(8), refund_of: None }),
            refund(None),
            Refusal::NotRefundable,
        ),
        refused("frozen", paid.clone().frozen(true, false), refund(None), Refusal::AccountFrozen),
        refused("closed", paid.closed(), refund(None), Refusal::AccountClosed),
        refused("of what is spent", spent.clone(), refund(None), Refusal::InsufficientFunds),
        ("of what is not spent", spent, refund(Some(40)), DONE),
    ]);
    let held = Subject::with(100).paid(Purpose::Transfer, 0).then(&hold(1, 60));
    assert_eq!(held.ask(&refund(Some(41))).answer, Err(Refusal::InsufficientFunds), "of what is held");
    assert!(held.account.holds.contains_key(&hold_id(1)));
}

#[test]
fn a_refund_goes_to_who_paid() {
    let decided = Subject::with(100).paid(Purpose::Transfer, 30).ask(&refund(None));
    let [event] = decided.events.as_slice() else { panic!("one event: {decided:?}") };
    let Change::Debited { movement, payee, channel, purpose, .. } = &event.change else { panic!("{event:?}") };
    assert_eq!((*payee, *purpose), (party(PAYEE), Purpose::Refund { of: transfer_id(9) }));
    assert_eq!((channel.peer, channel.number), (shard_of(party(PAYEE)), 0));
    assert_eq!(movement.entry.amount, minor(20));
    assert_eq!(movement.entry.after, Balances { posted: minor(80), held: minor(0) });
}
