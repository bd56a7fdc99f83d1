//! A key has one effect, for ever; a refusal leaves it as good as before.

use domain::ledger::{Answer, Facts, Fingerprint, Past, Purpose, Refusal, Request};

use crate::people::{
    FINGERPRINT, PAYEE, Row, Subject, capture, check, deposit, hold, pay, refund, transfer_id, withdraw,
};

const REPLAYED: Result<Answer, Refusal> = Ok(Answer::Replayed(Past { offset: 2, fingerprint: FINGERPRINT }));

/// Every request that may come with a key.
fn keyed() -> [(&'static str, Request); 6] {
    [
        ("deposit", deposit(10)),
        ("withdraw", withdraw(10)),
        ("transfer", pay(10)),
        ("hold", hold(1, 10)),
        ("capture", capture(1, PAYEE, None)),
        ("refund", refund(None)),
    ]
}

fn rows(subject: &Subject, expected: Result<Answer, Refusal>) -> Vec<Row> {
    keyed().into_iter().map(|(name, request)| (name, subject.clone(), request, expected)).collect()
}

#[test]
fn the_same_request_is_replayed_whatever_became_of_the_account() {
    let subject = Subject::with(100).past(FINGERPRINT);
    check(rows(&subject, REPLAYED));
    check(rows(&subject.clone().closed(), REPLAYED));
    check(rows(&subject.frozen(true, true).limited(Some(0), Some(0)), REPLAYED));
    check(rows(&Subject::unopened().past(FINGERPRINT), REPLAYED));
}

#[test]
fn another_request_under_the_key_is_refused() {
    check(rows(&Subject::with(100).past(Some(Fingerprint([7; 16]))), Err(Refusal::KeyReused)));
    check(rows(&Subject::with(100).past(None), Err(Refusal::KeyReused)));
    check(rows(&Subject::unopened().past(Some(Fingerprint([7; 16]))), Err(Refusal::KeyReused)));
}

#[test]
fn a_replay_moves_nothing_not_even_time() {
    let late = Subject::holding().past(FINGERPRINT).later(domain::ledger::command::HOLD_LASTS);
    for (name, request) in keyed() {
        let decided = late.ask(&request);
        assert_eq!((decided.events, decided.account), (Vec::new(), late.account.clone()), "{name}");
    }
}

#[test]
fn a_refusal_does_not_burn_the_key() {
    // What the key did is read from events: a refused command must leave none that names its id.
    let poor = Subject::with(5);
    for request in [withdraw(10), pay(10), hold(1, 10)] {
        let decided = poor.ask(&request);
        assert_eq!(decided.answer, Err(Refusal::InsufficientFunds));
        assert!(decided.events.is_empty());
        let richer = poor.clone().then(&Request::Deposit {
            transfer: transfer_id(2),
            amount: domain::money::Minor::new(5),
            fingerprint: None,
            note: None,
        });
        assert_eq!(richer.ask(&request).answer, Ok(Answer::Done), "{request:?}");
    }
    let frozen = Subject::with(100).paid(Purpose::Transfer, 0).frozen(true, false);
    assert_eq!(frozen.ask(&refund(None)).answer, Err(Refusal::AccountFrozen));
    assert_eq!(frozen.frozen(false, false).ask(&refund(None)).answer, Ok(Answer::Done));
}

#[test]
fn the_effect_holds_the_fingerprint_it_will_be_told_by() {
    for (name, request) in keyed() {
        let subject = match name {
            "capture" => Subject::holding(),
            "refund" => Subject::with(100).paid(Purpose::Transfer, 0),
            _ => Subject::with(100),
        };
        let decided = subject.ask(&request);
        assert_eq!(decided.answer, Ok(Answer::Done), "{name}");
        let change = &decided.events.last().unwrap().change;
        let stored = match change {
            domain::ledger::Change::Held { fingerprint, .. } => *fingerprint,
            other => other.movement().unwrap().fingerprint,
        };
        assert_eq!(stored, FINGERPRINT, "{name}");
        assert_eq!(other_id(change), request.transfer(), "{name}");
    }
    assert_eq!(Facts::default().past, None);
}

fn other_id(change: &domain::ledger::Change) -> Option<domain::ids::TransferId> {
    change.movement().map(|movement| movement.transfer)
}
