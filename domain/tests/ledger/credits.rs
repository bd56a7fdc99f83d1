//! Credits are taken or diverted, never refused; and what comes of a transfer late is said.

use domain::ids::ShardId;
use domain::ledger::{
    Balances, Change, ChannelNumber, Credit, CreditDecided, DivertReason, LateOutcome, Purpose, credit, late,
};
use domain::money::{Currency, MINOR_MAX};

use crate::people::{OWNER, PAYEE, Subject, freeze, minor, note, origin, party, transfer_id, withdraw};

const CHANNEL: ChannelNumber = ChannelNumber { peer: ShardId(7), number: 3 };

fn of(amount: i64) -> Credit {
    Credit {
        transfer: transfer_id(4),
        payer: party(PAYEE),
        payee: party(OWNER),
        amount: minor(amount),
        currency: Currency::Inr,
        purpose: Purpose::Transfer,
        note: Some(note()),
        origin: origin(PAYEE),
        debited_at: domain::time::Timestamp(5),
    }
}

/// The offsets of the events by which the subject takes the credit, or why it does not.
fn answer(subject: &Subject, of: &Credit) -> Result<Vec<u64>, DivertReason> {
    match credit(&subject.account, of, CHANNEL, subject.now) {
        CreditDecided::Taken { events, account } => {
            let mut folded = subject.account.clone();
            for event in &events {
                folded.apply(event).unwrap();
            }
            assert_eq!(folded, account);
            Ok(events.iter().map(|event| event.offset).collect())
        }
        CreditDecided::Diverted(reason) => Err(reason),
    }
}

#[test]
fn credits_are_taken_or_diverted() {
    let some = Subject::with(100);
    let closed = Subject::unopened().then(&domain::ledger::Request::Close);
    let rows = [
        ("opens the account", Subject::unopened(), of(1), Ok(vec![1, 2])),
        ("adds", some.clone(), of(1), Ok(vec![3])),
        ("up to the most", some.clone(), of(MINOR_MAX - 100), Ok(vec![3])),
        ("frozen for what goes out", some.clone().then(&freeze(Some(true), None)), of(1), Ok(vec![4])),
        ("limits are for what goes out", some.clone().limited(Some(0), Some(0)), of(1), Ok(vec![3])),
        ("above the most", some.clone(), of(MINOR_MAX - 99), Err(DivertReason::Full)),
        ("frozen", some.clone().then(&freeze(None, Some(true))), of(1), Err(DivertReason::Frozen)),
        (
            "frozen before its first use",
            Subject::unopened().then(&freeze(None, Some(true))),
            of(1),
            Err(DivertReason::Frozen),
        ),
        (
            "closed",
            some.clone().then(&withdraw(100)).then(&domain::ledger::Request::Close),
            of(1),
            Err(DivertReason::Closed),
        ),
        ("closed before its first use", closed.clone(), of(1), Err(DivertReason::Closed)),
        ("closed and frozen", closed.frozen(true, true), of(1), Err(DivertReason::Closed)),
        ("another currency", some.clone(), Credit { currency: Currency::Usd, ..of(1) }, Err(DivertReason::Full)),
        ("nothing", some.clone(), of(0), Err(DivertReason::Full)),
        ("less than nothing", some, of(-1), Err(DivertReason::Full)),
    ];
    for (name, subject, of, expected) in rows {
        assert_eq!(answer(&subject, &of), expected, "{name}");
    }
}

#[test]
fn an_entry_says_where_the_money_came_from() {
    let subject = Subject::holding();
    let CreditDecided::Taken { events, .. } = credit(&subject.account, &of(5), CHANNEL, subject.now) else {
        panic!("is taken")
    };
    assert_eq!((events[0].meta.at, &events[0].meta.origin), (subject.now.at, &origin(PAYEE)));
    let Change::Credited { movement, payer, channel, purpose } = &events[0].change else { panic!("{events:?}") };
    assert_eq!((*payer, *channel, *purpose), (party(PAYEE), CHANNEL, Purpose::Transfer));
    assert_eq!((movement.transfer, movement.entry.number), (transfer_id(4), 2));
    assert_eq!(movement.entry.after, Balances { posted: minor(105), held: minor(60) });
    assert_eq!((&movement.note, movement.fingerprint), (&Some(note()), None));
}

#[test]
fn a_late_end_is_said_without_money() {
    let subject = Subject::with(100);
    let (events, account) = late(&subject.account, transfer_id(4), &origin(OWNER), subject.now).unwrap();
    let outcome = LateOutcome::Settled;
    assert_eq!(events[0].change, Change::TransferUpdated { transfer: transfer_id(4), outcome });
    assert_eq!((account.head, account.entries, account.balances), (3, 1, subject.account.balances));
    let closed = Subject::unopened().then(&domain::ledger::Request::Close);
    assert!(
        late(&closed.account, transfer_id(4), &origin(OWNER), closed.now).is_some(),
        "a closed account hears of it"
    );
    let nobody = Subject::unopened();
    assert!(late(&nobody.account, transfer_id(4), &origin(OWNER), nobody.now).is_none());
}
