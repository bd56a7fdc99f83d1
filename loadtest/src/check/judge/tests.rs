//! A history without a fault passes; each planted fault is found, and named for what it is.

use protocol::event::EventName;
use protocol::frame::{GapReason, Stage};
use protocol::http::hold::HoldStatus;
use protocol::http::transaction::{Direction, TransactionKind, TransactionStatus};
use uuid::Uuid;

use super::{Promise, judge};
use crate::check::history::{
    Acknowledged, Balance, Connection, Device, Entry, Glance, History, HoldSeen, Kind, MessageSeen, Operation, Outcome,
    PersonSeen, Read, Step, Stream,
};

mod delivery;
mod rooms;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

const DEPOSIT: u128 = 1;
const TRANSFER: u128 = 2;
const HOLD: u128 = 3;
const CAPTURE: u128 = 4;
const REFUND: u128 = 5;
const WITHDRAWAL: u128 = 6;

fn entry(
    number: u128,
    kind: TransactionKind,
    change: i64,
    after: i64,
    place: (u64, u64),
    other: Option<&str>,
) -> Entry {
    Entry {
        id: id(number),
        kind,
        direction: if change < 0 { Direction::Debit } else { Direction::Credit },
        status: Some(TransactionStatus::Completed),
        amount: change.abs(),
        balance_after: after,
        entry: place.0,
        offset: place.1,
        counterparty: other.map(Into::into),
        description: None,
        reverses: None,
    }
}

fn done(
    person: usize,
    kind: Kind,
    amount: i64,
    number: u128,
    entry: Option<(u64, u64)>,
    balance: Option<i64>,
) -> Operation {
    Operation {
        person,
        kind,
        amount,
        tag: format!("op-{number}"),
        started: 10 * u64::try_from(number).unwrap(),
        ended: 10 * u64::try_from(number).unwrap() + 5,
        outcome: Outcome::Acknowledged(vec![Acknowledged { id: id(number), entry, balance }]),
    }
}

fn message(offset: u64, entry: Option<(Uuid, i64, i64)>) -> Step {
    let event = if entry.is_some() { EventName::TransactionNew } else { EventName::BalanceUpdate };
    let (id, data) = (format!("m{offset}").into(), offset * 31);
    Step::Message(MessageSeen { offset, id, event, attempt: 1, data, entry, said: None })
}

/// A device takes in all up to here.
fn applied(upto: u64) -> Step {
    Step::Acked { upto, also: Vec::new(), stage: Stage::Applied }
}

/// How a device that stayed to the end goes: it asks, and is answered.
fn answered() -> Vec<Step> {
    vec![Step::Asked(99), Step::Answered(99)]
}

fn connection(from: u64, head: u64, steps: Vec<Step>) -> Connection {
    Connection { from, head, steps, ..Connection::default() }
}

/// Asha (0) deposits 1000, pays Ravi (1) 300, holds 200 for him of which he takes 150; he gives 100
/// of the transfer back and withdraws 50. Asha's offsets: 1 opened, 2 deposit, 3 transfer, 4 hold,
/// 5 capture, 6 refund. Ravi's: 1 opened, 2 transfer, 3 capture, 4 refund, 5 withdrawal.
fn good() -> History {
    use TransactionKind::{Capture, Deposit, Refund, Transfer, Withdrawal};
    let tagged = |number: u128, entry: Entry| Entry { description: Some(format!("op-{number}")), ..entry };
    let refund = |entry: Entry| Entry { reverses: Some(id(TRANSFER)), ..entry };
    let asha = vec![
        tagged(DEPOSIT, entry(DEPOSIT, Deposit, 1000, 1000, (1, 2), None)),
        tagged(TRANSFER, entry(TRANSFER, Transfer, -300, 700, (2, 3), Some("R"))),
        entry(CAPTURE, Capture, -150, 550, (3, 5), Some("R")),
        refund(entry(REFUND, Refund, 100, 650, (4, 6), Some("R"))),
    ];
    let ravi = vec![
        tagged(TRANSFER, entry(TRANSFER, Transfer, 300, 300, (1, 2), Some("A"))),
        entry(CAPTURE, Capture, 150, 450, (2, 3), Some("A")),
        refund(entry(REFUND, Refund, -100, 350, (3, 4), Some("A"))),
        tagged(WITHDRAWAL, entry(WITHDRAWAL, Withdrawal, -50, 300, (4, 5), None)),
    ];
    let hold =
        HoldSeen { id: id(HOLD), status: HoldStatus::Captured, amount: 200, captured: 150, payer: Some("A".into()) };
    let balance = |balance, held, offset| Balance { balance, available: balance - held, held, offset };
    let captured = || message(5, Some((id(CAPTURE), 150, 550)));
    let heard = vec![message(3, Some((id(TRANSFER), 300, 700))), message(4, None), captured(), applied(4)];
    let later = vec![captured(), message(6, Some((id(REFUND), 100, 650))), applied(6)];
    History {
        people: vec![
            PersonSeen {
                handle: "A".into(),
                statement: asha,
                balance: balance(650, 0, 6),
                holds: vec![hold.clone()],
                reads: vec![
                    Read { known: 0, seen: balance(0, 0, 1) },
                    Read { known: 3, seen: balance(700, 200, 4) },
                    Read { known: 4, seen: balance(700, 200, 4) },
                ],
                glances: vec![Glance { known: 3, newest: 3 }],
            },
            PersonSeen {
                handle: "R".into(),
                statement: ravi,
                balance: balance(300, 0, 5),
                holds: vec![hold],
                ..PersonSeen::default()
            },
        ],
        operations: vec![
            done(0, Kind::Deposit, 1000, DEPOSIT, Some((1, 2)), Some(1000)),
            done(0, Kind::Transfer(1), 300, TRANSFER, Some((2, 3)), Some(700)),
            done(0, Kind::Hold(1), 200, HOLD, None, None),
            done(1, Kind::Capture(id(HOLD)), 150, CAPTURE, Some((2, 3)), None),
            done(1, Kind::Refund(id(TRANSFER)), 100, REFUND, Some((3, 4)), Some(350)),
            done(1, Kind::Withdraw, 50, WITHDRAWAL, Some((4, 5)), Some(300)),
            Operation {
                outcome: Outcome::Refused("insufficient_funds".into()),
                ..done(1, Kind::Withdraw, 9999, 70, None, None)
            },
        ],
        devices: vec![Device {
            person: 0,
            name: "d".into(),
            number: 0,
            stream: Stream::Account(0),
            // Offset 5 was heard and not acknowledged: it comes again. The last one finds all done.
            connections: vec![connection(2, 4, heard), connection(4, 6, later), connection(6, 6, answered())],
            finished: true,
        }],
        heads: [(Stream::Account(0), 6)].into(),
        ..History::default()
    }
}

/// Plants a fault and asserts that it is found as a break of this promise.
#[track_caller]
fn check(promise: Promise, plant: impl FnOnce(&mut History)) {
    let mut history = good();
    plant(&mut history);
    let verdict = judge(&history);
    assert!(verdict.counts.contains_key(&promise), "not found: {promise:?}; found {:#?}", verdict.faults);
}

fn heard(history: &mut History, connection: usize) -> &mut Vec<Step> {
    &mut history.devices[0].connections[connection].steps
}

fn told(history: &mut History, connection: usize, index: usize) -> &mut MessageSeen {
    match &mut heard(history, connection)[index] {
        Step::Message(message) => message,
        other => unreachable!("no message: {other:?}"),
    }
}

#[test]
fn a_good_history_passes() {
    let verdict = judge(&good());
    assert!(verdict.faults.is_empty(), "{:#?}", verdict.faults);
}

#[test]
fn a_lost_effect_is_found() {
    check(Promise::AcknowledgedOnce, |history| _ = history.people[1].statement.pop());
    check(Promise::AcknowledgedOnce, |history| history.people[0].holds.clear());
    // Only the payee's side is lost.
    check(Promise::BothSides, |history| _ = history.people[1].statement.remove(0));
    check(Promise::Conserved, |history| history.people[1].balance.balance -= 300);
}

#[test]
fn an_effect_too_many_is_found() {
    // The same transfer twice, under one id and under another.
    check(Promise::AcknowledgedOnce, |history| {
        let again = Entry { entry: 5, offset: 7, balance_after: 350, ..history.people[0].statement[1].clone() };
        history.people[0].statement.push(again);
    });
    check(Promise::AcknowledgedOnce, |history| {
        let again =
            Entry { id: id(99), entry: 5, offset: 7, balance_after: 350, ..history.people[0].statement[1].clone() };
        history.people[0].statement.push(again);
    });
    check(Promise::AcknowledgedOnce, |history| {
        let again = history.people[0].statement[0].clone();
        history.people[0].statement.push(Entry { entry: 5, offset: 7, balance_after: 1650, ..again });
    });
    check(Promise::NothingUnasked, |history| {
        let refund = history.people[1].statement[2].clone();
        history.people[1].statement.push(Entry { id: id(98), entry: 5, offset: 6, balance_after: 200, ..refund });
    });
    check(Promise::BothSides, |history| {
        let again = history.people[1].statement[0].clone();
        history.people[1].statement.push(Entry { entry: 5, offset: 6, balance_after: 600, ..again });
    });
}

#[test]
fn an_effect_of_a_refusal_is_found() {
    check(Promise::RefusedNever, |history| history.operations[1].outcome = Outcome::Refused("busy".into()));
    check(Promise::OutcomeKnown, |history| history.operations[1].outcome = Outcome::Unknown);
}

#[test]
fn answers_that_differ_are_found() {
    let again = |change: fn(&mut Acknowledged)| {
        move |history: &mut History| {
            let Outcome::Acknowledged(answers) = &mut history.operations[1].outcome else { unreachable!() };
            let mut again = answers[0];
            change(&mut again);
            answers.push(again);
        }
    };
    check(Promise::OneAnswer, again(|answer| answer.id = id(97)));
    check(Promise::OneAnswer, again(|answer| answer.balance = Some(699)));
    check(Promise::OneAnswer, again(|answer| answer.entry = Some((3, 3))));
    // One that says less does not differ.
    let mut history = good();
    again(|answer| (answer.entry, answer.balance) = (None, None))(&mut history);
    assert!(judge(&history).faults.is_empty());
    // An answer that is not what was booked.
    check(Promise::OneAnswer, |history| {
        let Outcome::Acknowledged(answers) = &mut history.operations[0].outcome else { unreachable!() };
        answers[0].balance = Some(999);
    });
}

#[test]
fn a_broken_statement_is_found() {
    check(Promise::EntriesDense, |history| history.people[0].statement[2].entry = 4);
    check(Promise::EntriesDense, |history| history.people[0].statement[2].balance_after = 551);
    check(Promise::EntriesDense, |history| history.people[0].statement.swap(1, 2));
    check(Promise::EntriesDense, |history| history.people[0].balance.balance = 651);
    check(Promise::EntriesDense, |history| history.people[0].statement[3].offset = 5);
    check(Promise::Conserved, |history| history.people[0].balance.held = 10);
    check(Promise::NothingPending, |history| history.people[0].statement[1].status = Some(TransactionStatus::Pending));
}

#[test]
fn sides_that_differ_are_found() {
    check(Promise::BothSides, |history| history.people[1].statement[1].amount = 151);
    check(Promise::BothSides, |history| history.people[1].statement[1].counterparty = Some("X".into()));
    check(Promise::BothSides, |history| history.people[0].statement[1].counterparty = Some("A".into()));
    check(Promise::BothSides, |history| history.people[1].statement[2].reverses = None);
}

#[test]
fn returns_are_followed() {
    let returned = |back: bool| {
        let mut history = good();
        // Ravi never got the transfer; it came back to Asha instead of his refund.
        history.people[1] = PersonSeen { handle: "R".into(), ..PersonSeen::default() };
        history.people[0].statement.truncate(2);
        history.people[0].statement[1].status = Some(TransactionStatus::Returned);
        if back {
            let credit = entry(8, TransactionKind::Return, 300, 1000, (3, 4), Some("R"));
            history.people[0].statement.push(Entry { reverses: Some(id(TRANSFER)), ..credit });
        }
        let balance = if back { 1000 } else { 700 };
        history.people[0].balance = Balance { balance, available: balance, held: 0, offset: 4 };
        (history.people[0].reads, history.people[0].holds) = (Vec::new(), Vec::new());
        history.operations.truncate(2);
        history.devices.clear();
        judge(&history)
    };
    assert!(returned(true).faults.is_empty(), "{:#?}", returned(true).faults);
    assert!(returned(false).counts.contains_key(&Promise::BothSides));
    assert!(returned(false).counts.contains_key(&Promise::Conserved));
}

#[test]
fn a_stale_read_is_found() {
    check(Promise::ReadsForward, |history| history.people[0].reads[1].known = 5);
    check(Promise::ReadsForward, |history| {
        history.people[0].reads[2].seen = Balance { offset: 1, ..Balance::default() }
    });
    check(Promise::ReadsForward, |history| history.people[0].reads[1].seen.balance = 1000);
    check(Promise::ReadsForward, |history| history.people[0].reads[1].seen.available = 700);
    check(Promise::ReadsForward, |history| history.people[0].glances[0].newest = 2);
    check(Promise::ReadsForward, |history| history.people[0].balance.offset = 5);
}

#[test]
fn a_hold_resolved_twice_is_found() {
    check(Promise::HoldOnce, |history| {
        history.operations.push(done(0, Kind::Release(id(HOLD)), 200, 71, None, None));
    });
    check(Promise::HoldOnce, |history| history.people[0].holds[0].captured = 201);
    check(Promise::HoldOnce, |history| history.people[0].holds[0].status = HoldStatus::Released);
    check(Promise::HoldOnce, |history| history.people[0].holds[0].status = HoldStatus::Held);
    check(Promise::HoldOnce, |history| _ = history.operations.remove(2));
    check(Promise::NothingPending, |history| {
        history.people[0].holds[0].status = HoldStatus::Held;
        history.short_holds.insert(id(HOLD));
    });
}

#[test]
fn a_refund_too_many_is_found() {
    check(Promise::RefundWithin, |history| {
        history.people[1].statement[2].amount = 301;
        history.people[0].statement[3].amount = 301;
    });
    check(Promise::RefundWithin, |history| {
        history.people[1].statement[2].reverses = Some(id(WITHDRAWAL));
        history.people[0].statement[3].reverses = Some(id(WITHDRAWAL));
    });
}

#[test]
fn a_payment_by_a_frozen_account_is_found() {
    let freeze = |history: &mut History, from: u64, to: u64| {
        let frozen = Operation { started: from - 1, ended: from, ..done(0, Kind::Freeze(0), 0, 80, None, None) };
        let free = Operation { started: to, ended: to + 1, ..done(0, Kind::Unfreeze(0), 0, 81, None, None) };
        history.operations.extend([frozen, free]);
    };
    // The transfer was sent at 20 and answered at 25.
    check(Promise::FrozenStill, |history| freeze(history, 15, 40));
    for (from, to) in [(22, 28), (12, 18), (12, 24)] {
        let mut history = good();
        freeze(&mut history, from, to);
        assert!(judge(&history).faults.is_empty(), "{from} {to}");
    }
}

#[test]
fn a_lost_message_is_found() {
    check(Promise::NothingSkipped, |history| _ = heard(history, 0).remove(1));
    // The last one: nothing comes after it that would show the hole.
    check(Promise::NothingForgotten, |history| heard(history, 1).truncate(1));
    check(Promise::NothingSkipped, |history| _ = history.devices[0].connections.pop());
    check(Promise::NothingForgotten, |history| history.devices[0].connections[1].from = 5);
    check(Promise::NothingSkipped, |history| {
        let connection = &mut history.devices[0].connections[1];
        (connection.after, connection.from) = (Some(3), 4);
    });
}

#[test]
fn a_reordered_or_repeated_message_is_found() {
    check(Promise::NothingSkipped, |history| heard(history, 0).swap(0, 1));
    check(Promise::NothingSkipped, |history| {
        let again = heard(history, 0)[0].clone();
        heard(history, 0).push(again);
    });
    check(Promise::NothingSkipped, |history| {
        let connection = &mut history.devices[0].connections[1];
        (connection.after, connection.from) = (Some(5), 4);
    });
    // A second attempt is no fault.
    let mut history = good();
    let mut again = told(&mut history, 0, 0).clone();
    again.attempt = 2;
    heard(&mut history, 0).push(Step::Message(again));
    assert!(judge(&history).faults.is_empty());
}

#[test]
fn a_gap_that_is_said_is_no_fault() {
    let mut history = good();
    heard(&mut history, 0)[1] = Step::Gap { from: 4, to: 4, reason: GapReason::Shed };
    assert!(judge(&history).faults.is_empty(), "{:#?}", judge(&history).faults);
    // Too far behind: the device had 2, the stream goes on after 5.
    let mut history = good();
    let connection = &mut history.devices[0].connections[1];
    (connection.after, connection.from) = (Some(2), 5);
    connection.steps[0] = Step::Gap { from: 3, to: 5, reason: GapReason::Behind };
    assert!(judge(&history).faults.is_empty(), "{:#?}", judge(&history).faults);
    // A gap that does not reach far enough.
    check(Promise::NothingSkipped, |history| {
        let connection = &mut history.devices[0].connections[1];
        (connection.after, connection.from) = (Some(2), 5);
        connection.steps[0] = Step::Gap { from: 3, to: 4, reason: GapReason::Behind };
    });
}

#[test]
fn a_message_that_changes_or_lies_is_found() {
    check(Promise::SameMessage, |history| told(history, 1, 0).data = 1);
    check(Promise::SameMessage, |history| told(history, 1, 0).id = "other".into());
    check(Promise::SameMessage, |history| told(history, 1, 1).id = "m5".into());
    check(Promise::MessageTrue, |history| told(history, 0, 0).entry = Some((id(TRANSFER), 301, 700)));
    check(Promise::MessageTrue, |history| told(history, 0, 0).entry = Some((id(TRANSFER), 300, 701)));
    check(Promise::MessageTrue, |history| told(history, 0, 1).event = EventName::TransactionNew);
    check(Promise::MessageTrue, |history| {
        let message = told(history, 0, 0);
        (message.event, message.entry) = (EventName::BalanceUpdate, None);
    });
}

#[test]
fn what_is_not_of_the_protocol_is_a_fault() {
    check(Promise::Understood, |history| history.foreign.push("a 500 without a problem".into()));
}
