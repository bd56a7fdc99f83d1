//! Deposits, withdrawals, transfers, standing: what is taken, what is refused, what it comes to.

use domain::ledger::{Answer, Balances, Change, ChannelNumber, Limits, Purpose, Refusal, Request, Standing};
use domain::money::{Currency, MINOR_MAX};

use crate::people::{
    OWNER, PAYEE, Row, Subject, check, deposit, freeze, hold, minor, party, pay, refund, release, shard_of, user,
    withdraw,
};

const DONE: Result<Answer, Refusal> = Ok(Answer::Done);
const UNCHANGED: Result<Answer, Refusal> = Ok(Answer::Unchanged);

fn limits(per_transaction: Option<i64>, per_day: Option<i64>) -> Request {
    let limits = Limits { per_transaction: per_transaction.map(minor), per_day: per_day.map(minor) };
    Request::SetLimits { limits }
}

fn refused(name: &'static str, subject: Subject, request: Request, refusal: Refusal) -> Row {
    (name, subject, request, Err(refusal))
}

fn done(name: &'static str, subject: Subject, request: Request) -> Row {
    (name, subject, request, DONE)
}

#[test]
fn deposits() {
    let some = Subject::with(100);
    check(vec![
        done("opens the account", Subject::unopened(), deposit(1)),
        done("adds", some.clone(), deposit(1)),
        done("up to the most", some.clone(), deposit(MINOR_MAX - 100)),
        done("frozen for what goes out", some.clone().frozen(true, false), deposit(1)),
        done("limits are for what goes out", some.clone().limited(Some(1), Some(1)), deposit(50)),
        refused("above the most", some.clone(), deposit(MINOR_MAX - 99), Refusal::BalanceLimit),
        refused(
            "more than one command may move",
            Subject::unopened(),
            deposit(MINOR_MAX + 1),
            Refusal::AmountOutOfRange,
        ),
        refused("more than any number", some.clone(), deposit(i64::MAX), Refusal::AmountOutOfRange),
        refused("nothing", some.clone(), deposit(0), Refusal::AmountOutOfRange),
        refused("less than nothing", some.clone(), deposit(-1), Refusal::AmountOutOfRange),
        refused("less than any number", some.clone(), deposit(i64::MIN), Refusal::AmountOutOfRange),
        refused("frozen", some.clone().frozen(false, true), deposit(1), Refusal::AccountFrozen),
        refused("closed", some.closed(), deposit(1), Refusal::AccountClosed),
    ]);
}

#[test]
fn withdrawals() {
    let some = Subject::with(100);
    let held = Subject::holding();
    check(vec![
        done("all of it", some.clone(), withdraw(100)),
        done("all that is not held", held.clone(), withdraw(40)),
        done("frozen for what comes in", some.clone().frozen(false, true), withdraw(1)),
        done("the limit of one transaction", some.clone().limited(Some(50), None), withdraw(50)),
        refused("what is held", held, withdraw(41), Refusal::InsufficientFunds),
        refused("more than there is", some.clone(), withdraw(101), Refusal::InsufficientFunds),
        refused("from an account that nobody used", Subject::unopened(), withdraw(1), Refusal::InsufficientFunds),
        refused("nothing", some.clone(), withdraw(0), Refusal::AmountOutOfRange),
        refused("less than nothing", some.clone(), withdraw(-1), Refusal::AmountOutOfRange),
        refused("less than any number", some.clone(), withdraw(i64::MIN), Refusal::AmountOutOfRange),
        refused("frozen", some.clone().frozen(true, false), withdraw(1), Refusal::AccountFrozen),
        refused("closed", some.clone().closed(), withdraw(1), Refusal::AccountClosed),
        refused("above one transaction", some.clone().limited(Some(50), None), withdraw(51), Refusal::TransactionLimit),
        refused("above the day", some.limited(None, Some(50)), withdraw(51), Refusal::DayLimit),
    ]);
}

#[test]
fn transfers() {
    let some = Subject::with(100);
    let to_self = match pay(1) {
        Request::Transfer { transfer, amount, fingerprint, note, .. } => {
            Request::Transfer { transfer, payee: party(OWNER), amount, fingerprint, note }
        }
        other => other,
    };
    check(vec![
        done("all of it", some.clone(), pay(100)),
        done("all that is not held", Subject::holding(), pay(40)),
        refused("what is held", Subject::holding(), pay(41), Refusal::InsufficientFunds),
        refused("from an account that nobody used", Subject::unopened(), pay(1), Refusal::InsufficientFunds),
        refused("nothing", some.clone(), pay(0), Refusal::AmountOutOfRange),
        refused("less than nothing", some.clone(), pay(-1), Refusal::AmountOutOfRange),
        refused("to oneself", some.clone(), to_self, Refusal::PayeeIsSelf),
        refused("frozen", some.clone().frozen(true, true), pay(1), Refusal::AccountFrozen),
        refused("closed", some.clone().closed(), pay(1), Refusal::AccountClosed),
        refused("above one transaction", some.clone().limited(Some(0), None), pay(1), Refusal::TransactionLimit),
        refused("above the day", some.limited(None, Some(0)), pay(1), Refusal::DayLimit),
    ]);
}

#[test]
fn what_is_refused_opens_nothing() {
    let fresh = Subject::unopened();
    for request in
        [deposit(0), withdraw(1), pay(1), hold(1, 1), release(1, OWNER), refund(None), limits(Some(-1), None)]
    {
        let decided = fresh.ask(&request);
        assert!(decided.answer.is_err(), "{request:?}");
        assert_eq!((decided.events, decided.account), (Vec::new(), fresh.account.clone()), "{request:?}");
    }
    for request in [freeze(Some(false), None), limits(None, None), Request::Expire] {
        assert_eq!(fresh.ask(&request).answer, UNCHANGED, "{request:?}");
    }
}

#[test]
fn a_first_deposit_opens_and_enters() {
    let decided = Subject::unopened().ask(&deposit(100));
    let [opened, deposited] = decided.events.as_slice() else { panic!("two events: {decided:?}") };
    assert_eq!((opened.offset, deposited.offset), (1, 2));
    assert_eq!(opened.change, Change::Opened { owner: user(OWNER), currency: Currency::Inr });
    let movement = deposited.change.movement().unwrap();
    assert_eq!((movement.entry.number, movement.entry.amount, movement.entry.currency), (1, minor(100), Currency::Inr));
    assert_eq!(movement.entry.after, Balances { posted: minor(100), held: minor(0) });
    assert_eq!(movement.note, Some(crate::people::note()));
}

#[test]
fn a_debit_names_its_channel_and_leaves_the_number_to_the_shard() {
    let decided = Subject::holding().ask(&pay(30));
    let [event] = decided.events.as_slice() else { panic!("one event: {decided:?}") };
    let Change::Debited { movement, owner, payee, channel, purpose, .. } = &event.change else { panic!("{event:?}") };
    assert_eq!((*owner, *payee, *purpose), (user(OWNER), party(PAYEE), Purpose::Transfer));
    assert_eq!(*channel, ChannelNumber { peer: shard_of(party(PAYEE)), number: 0 });
    assert_eq!(movement.entry.after, Balances { posted: minor(70), held: minor(60) });
    assert_eq!(event.change.posted(), minor(-30));
}

#[test]
fn the_owner_in_an_event_is_the_accounts_whoever_asks() {
    // A payee captures: the command comes from their side, the money does not.
    let subject = Subject::holding();
    let opening = domain::ledger::Opening { owner: user(PAYEE), currency: Currency::Inr };
    let request = crate::people::capture(1, PAYEE, None);
    let command = domain::ledger::Command { origin: crate::people::origin(PAYEE), opening, request };
    let decided = domain::ledger::decide(&subject.account, &subject.facts, &command, subject.now, shard_of);
    let owners: Vec<_> = (decided.events.iter())
        .map(|event| match &event.change {
            Change::Debited { owner, .. } => *owner,
            other => panic!("a debit only: {other:?}"),
        })
        .collect();
    assert_eq!(owners, [user(OWNER)]);
}

#[test]
fn a_days_limit_counts_transfers_withdrawals_and_holds_of_the_day() {
    let subject = Subject::with(1_000).limited(None, Some(100)).then(&pay(30)).then(&withdraw(30)).then(&hold(1, 30));
    let released = subject.clone().then(&release(1, OWNER));
    let captured = subject.clone().then(&crate::people::capture(1, PAYEE, None));
    check(vec![
        done("the rest", subject.clone(), pay(10)),
        refused("more than the rest", subject.clone(), pay(11), Refusal::DayLimit),
        refused("held more than the rest", subject.clone(), hold(2, 11), Refusal::DayLimit),
        refused("a release gives nothing back", released, pay(11), Refusal::DayLimit),
        done("a capture counts no second time", captured.clone(), pay(10)),
        refused("nor less", captured, pay(11), Refusal::DayLimit),
        done("a refund does not count", subject.clone().paid(Purpose::Transfer, 0), refund(None)),
        done("the next day", subject.clone().next_day(), pay(100)),
        refused("above the next day", subject.clone().next_day(), pay(101), Refusal::DayLimit),
        refused("the next day's", subject.clone().next_day().then(&pay(60)), pay(41), Refusal::DayLimit),
        done("a higher limit", subject.then(&limits(None, Some(200))), pay(110)),
    ]);
}

#[test]
fn standing_is_set_both_ways_and_once() {
    let some = Subject::with(100);
    let frozen = some.clone().then(&freeze(Some(true), None));
    check(vec![
        done("out", some.clone(), freeze(Some(true), None)),
        done("in", some.clone(), freeze(None, Some(true))),
        done("a frozen account again, the other way", frozen.clone(), freeze(None, Some(true))),
        ("as it is", frozen.clone(), freeze(Some(true), None), UNCHANGED),
        ("nothing asked", frozen.clone(), freeze(None, None), UNCHANGED),
        done("free again", frozen.clone(), freeze(Some(false), None)),
        refused("out: no transfer", frozen.clone(), pay(1), Refusal::AccountFrozen),
        done("out: a deposit", frozen.clone(), deposit(1)),
        done("an account that nobody used", Subject::unopened(), freeze(Some(true), Some(true))),
        refused("closed", some.clone().closed(), freeze(Some(true), None), Refusal::AccountClosed),
        done("limits", some.clone(), limits(Some(0), Some(MINOR_MAX))),
        ("limits as they are", some.clone(), limits(None, None), UNCHANGED),
        done("no limits", some.clone().limited(Some(1), None), limits(None, None)),
        done("limits of an account that nobody used", Subject::unopened(), limits(Some(5), None)),
        refused("a limit below zero", some.clone(), limits(None, Some(-1)), Refusal::AmountOutOfRange),
        refused("a limit above all", some.clone(), limits(Some(MINOR_MAX + 1), None), Refusal::AmountOutOfRange),
        refused("limits of a closed", some.closed(), limits(None, None), Refusal::AccountClosed),
    ]);
    let both = frozen.then(&limits(Some(5), None)).then(&freeze(None, Some(true)));
    let freeze = domain::ledger::Freeze { debit: true, credit: true };
    let limits = Limits { per_transaction: Some(minor(5)), per_day: None };
    assert_eq!(both.account.standing, Standing { freeze, limits, closed: false });
}

#[test]
fn an_account_closes_empty_settled_and_once() {
    let empty = Subject::with(100).then(&withdraw(100));
    let mut unsettled = empty.clone();
    unsettled.facts.unsettled = true;
    check(vec![
        done("empty", empty.clone(), Request::Close),
        done("frozen", empty.clone().frozen(true, true), Request::Close),
        done("one that nobody used", Subject::unopened(), Request::Close),
        ("again", empty.clone().then(&Request::Close), Request::Close, UNCHANGED),
        refused("with money", Subject::with(1), Request::Close, Refusal::NotEmpty),
        refused("with a hold, which is money", Subject::with(60).then(&hold(1, 60)), Request::Close, Refusal::NotEmpty),
        refused("with money on its way", unsettled, Request::Close, Refusal::HasUnsettled),
    ]);
    let closed = empty.then(&Request::Close);
    assert!(closed.account.standing.closed);
    assert_eq!(closed.ask(&Request::Expire).answer, UNCHANGED);
}
