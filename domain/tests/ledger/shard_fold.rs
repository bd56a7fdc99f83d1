//! A shard is the fold of its events: what they come to, and which do not follow.

use domain::ids::{ShardId, TransferId};
use domain::ledger::{
    Account, Change, ChannelNumber, Credit, DivertReason, Event, Meta, Party, Purpose, Resolution, Return, Shard,
    ShardEvent, Suspended,
};
use domain::money::Currency;
use domain::time::Timestamp;

use crate::people::{
    OWNER, PAYEE, Subject, capture, deposit, hold, hold_id, minor, note, origin, party, pay, release, transfer_id,
    withdraw,
};

const HERE: ShardId = ShardId(0);
const PEER: ShardId = ShardId(7);

fn channel(peer: ShardId, number: u64) -> ChannelNumber {
    ChannelNumber { peer, number }
}

/// A credit from the payee's side that came to the owner's.
fn a_credit(number: u8, purpose: Purpose) -> Credit {
    Credit {
        transfer: transfer_id(number),
        payer: party(PAYEE),
        payee: party(OWNER),
        amount: minor(40),
        currency: Currency::Inr,
        purpose,
        note: Some(note()),
        origin: origin(PAYEE),
        debited_at: Timestamp(9),
    }
}

fn diverted(number: u64, returned: Option<Return>) -> ShardEvent {
    let credit = a_credit(u8::try_from(number).unwrap(), Purpose::Transfer);
    ShardEvent::Diverted {
        credit,
        channel: channel(PEER, number),
        reason: DivertReason::Frozen,
        at: Timestamp(10),
        returned,
    }
}

fn back(number: u64) -> Return {
    Return { transfer: transfer_id(99), channel: channel(PEER, number) }
}

fn settled(through: u64, beyond: &[u64]) -> ShardEvent {
    ShardEvent::Settled { peer: PEER, through, beyond: beyond.to_vec() }
}

fn resolved(number: u8, resolution: Resolution) -> ShardEvent {
    let meta = Meta { at: Timestamp(11), origin: origin(OWNER) };
    ShardEvent::SuspenseResolved { transfer: transfer_id(number), resolution, meta }
}

fn own(shard: &Shard, event: &ShardEvent) -> Result<Shard, &'static str> {
    let mut shard = shard.clone();
    shard.apply_own(event).map_err(|broken| broken.0)?;
    Ok(shard)
}

/// The subject's shard: 1,000 deposited, 30 withdrawn, 60 held, three transfers of 10 sent to the peer.
fn busy() -> (Subject, Shard) {
    let mut shard = Shard::default();
    let mut subject = Subject::unopened();
    let mut number = 0;
    for request in [deposit(1_000), withdraw(30), hold(1, 60), pay(10), pay(10), pay(10)] {
        for mut event in subject.ask(&request).events {
            if let Change::Debited { channel: of, .. } = &mut event.change {
                number += 1;
                *of = channel(PEER, number);
            }
            shard.apply(&event).unwrap();
        }
        subject = subject.then(&request);
    }
    (subject, shard)
}

/// The subject's next event, numbered 4 on the channel if it sends a credit.
fn next(subject: &Subject, request: &domain::ledger::Request, number: u64) -> Event {
    let mut event = subject.ask(request).events.pop().unwrap();
    if let Change::Debited { channel: of, .. } = &mut event.change {
        *of = channel(PEER, number);
    }
    event
}

fn sums(shard: &Shard) -> [i128; 5] {
    assert!(shard.sums_to_zero(), "{shard:?}");
    let system = &shard.system[&Currency::Inr];
    let all = |parts: &std::collections::BTreeMap<ShardId, i128>| parts.values().sum();
    [system.world, system.people, system.suspense, all(&system.sent), all(&system.received)]
}

#[test]
fn system_accounts_hold_what_people_do_not() {
    let (_, shard) = busy();
    assert_eq!(sums(&shard), [-970, 940, 0, 30, 0]);
    assert_eq!(shard.outgoing[&PEER].unsettled.len(), 3);
    let rests = own(&shard, &diverted(1, None)).unwrap();
    assert_eq!(sums(&rests), [-970, 940, 40, 30, 40]);
    assert_eq!(sums(&own(&shard, &diverted(1, Some(back(4)))).unwrap()), [-970, 940, 0, 70, 40]);
    let released = Resolution::Released { channel: channel(HERE, 1) };
    assert_eq!(sums(&own(&rests, &resolved(1, released)).unwrap()), [-970, 940, 0, 70, 40]);
    assert_eq!(sums(&own(&rests, &resolved(1, Resolution::Returned(back(4)))).unwrap()), [-970, 940, 0, 70, 40]);
}

#[test]
fn a_damaged_sum_is_seen() {
    let (_, mut shard) = busy();
    shard.system.get_mut(&Currency::Inr).unwrap().people += 1;
    assert!(!shard.sums_to_zero());
    let (_, mut shard) = busy();
    shard.system.get_mut(&Currency::Inr).unwrap().world = i128::MIN;
    assert!(!shard.sums_to_zero(), "not even if the sum does not fit");
}

#[test]
fn a_debits_credit_is_kept_as_it_will_be_sent() {
    let (subject, shard) = busy();
    let credit = &shard.outgoing[&PEER].unsettled[&2];
    assert_eq!(credit.payer, party(OWNER));
    assert_eq!(credit.payee, party(PAYEE));
    assert_eq!((credit.amount, credit.currency, credit.purpose), (minor(10), Currency::Inr, Purpose::Transfer));
    assert_eq!((&credit.note, &credit.origin, credit.debited_at), (&Some(note()), &origin(OWNER), subject.now.at));
}

#[test]
fn settling_forgets_what_the_peer_has_and_nothing_else() {
    let (_, shard) = busy();
    let left = |event| {
        let shard = own(&shard, &event)?;
        Ok::<Vec<u64>, &str>(shard.outgoing[&PEER].unsettled.keys().copied().collect())
    };
    let rows = [
        ("nothing", settled(0, &[]), Ok(vec![1, 2, 3])),
        ("the first", settled(1, &[]), Ok(vec![2, 3])),
        ("a single one", settled(0, &[2]), Ok(vec![1, 3])),
        ("the first and the last", settled(1, &[3]), Ok(vec![2])),
        ("all", settled(3, &[]), Ok(vec![])),
        ("one that was never given", settled(4, &[]), Err("a number settles that was never given")),
        ("a single one that was never given", settled(1, &[4]), Err("a number settles that was never given")),
        ("more than any", settled(u64::MAX, &[]), Err("a number settles that was never given")),
    ];
    for (name, event, expected) in rows {
        assert_eq!(left(event), expected, "{name}");
    }
    let some = own(&shard, &settled(1, &[3])).unwrap();
    assert_eq!(own(&some, &settled(1, &[3])).unwrap(), some, "hearing it again changes nothing");
    assert_eq!(own(&some, &settled(0, &[])).unwrap(), some, "nor does hearing less");
    assert!(some.is_unsettled(channel(PEER, 2)));
    assert!(!some.is_unsettled(channel(PEER, 1)) && !some.is_unsettled(channel(HERE, 2)));
    let unknown = ShardEvent::Settled { peer: HERE, through: 0, beyond: Vec::new() };
    assert_eq!(own(&shard, &unknown).err(), Some("a channel settles that was never used"));
}

#[test]
fn numbers_are_booked_once_in_any_order() {
    let mut shard = Shard::default();
    for (number, through, beyond) in
        [(2, 0, vec![2]), (5, 0, vec![2, 5]), (1, 2, vec![5]), (4, 2, vec![4, 5]), (3, 5, vec![])]
    {
        shard = own(&shard, &diverted(number, None)).unwrap();
        let end = &shard.incoming[&PEER];
        assert_eq!((end.through, end.beyond.iter().copied().collect()), (through, beyond), "after {number}");
        assert!(end.has(number));
        assert_eq!(own(&shard, &diverted(number, None)).err(), Some("a channel's number is booked twice"));
    }
    assert_eq!(own(&shard, &diverted(0, None)).err(), Some("a channel's number is booked twice"), "0 is no number");
    let other = ShardEvent::Diverted {
        credit: a_credit(50, Purpose::Transfer),
        channel: channel(HERE, 1),
        reason: DivertReason::Full,
        at: Timestamp(1),
        returned: None,
    };
    assert!(own(&shard, &other).is_ok(), "channels are counted apart");
}

#[test]
fn what_rests_in_suspense_leaves_it_once() {
    let (_, shard) = busy();
    let rests = own(&shard, &diverted(1, None)).unwrap();
    let suspended =
        Suspended { credit: a_credit(1, Purpose::Transfer), reason: DivertReason::Frozen, at: Timestamp(10) };
    assert_eq!(rests.suspense.get(&transfer_id(1)), Some(&suspended));
    let released = own(&rests, &resolved(1, Resolution::Released { channel: channel(HERE, 1) })).unwrap();
    assert_eq!(*released.outgoing[&HERE].unsettled[&1], suspended.credit, "it is offered as it came");
    let returned = own(&rests, &resolved(1, Resolution::Returned(back(4)))).unwrap();
    let way_back = &returned.outgoing[&PEER].unsettled[&4];
    assert_eq!(**way_back, Shard::return_of(&suspended.credit, back(4)));
    assert_eq!(
        (way_back.transfer, way_back.purpose),
        (transfer_id(99), Purpose::Return { of: transfer_id(1), refund_of: None })
    );
    assert_eq!((way_back.payer, way_back.payee, way_back.amount), (party(OWNER), party(PAYEE), minor(40)));
    assert_eq!(way_back.note, None, "the payer's words are not said to the payer again");
    for shard in [released, returned] {
        let again = own(&shard, &resolved(1, Resolution::Returned(back(5))));
        assert_eq!(again.err(), Some("nothing rests in suspense"));
    }
    let mut twice = diverted(2, None);
    if let ShardEvent::Diverted { credit, .. } = &mut twice {
        credit.transfer = transfer_id(1);
    }
    assert_eq!(own(&rests, &twice).err(), Some("a credit rests in suspense twice"), "or the first would be lost");
}

#[test]
fn a_return_does_not_return_by_itself() {
    let event = |returned| {
        let credit = a_credit(1, Purpose::Return { of: TransferId(uuid::Uuid::nil()), refund_of: None });
        ShardEvent::Diverted {
            credit,
            channel: channel(PEER, 1),
            reason: DivertReason::Closed,
            at: Timestamp(1),
            returned,
        }
    };
    let shard = Shard::default();
    assert_eq!(own(&shard, &event(Some(back(1)))).err(), Some("a return returns by itself"));
    assert_eq!(own(&shard, &event(None)).unwrap().suspense.len(), 1);
}

#[test]
fn terms_only_grow() {
    let shard = own(&Shard::default(), &ShardEvent::TermBegan { term: 3 }).unwrap();
    for term in [0, 2, 3] {
        assert_eq!(own(&shard, &ShardEvent::TermBegan { term }).err(), Some("a term follows a later one"));
    }
    assert_eq!(own(&shard, &ShardEvent::TermBegan { term: 5 }).unwrap().term, 5);
}

#[test]
fn a_quarantine_begins_and_ends() {
    let account = party(OWNER).account;
    let at = Timestamp(1);
    let shard = own(&Shard::default(), &ShardEvent::Quarantined { account, at }).unwrap();
    assert!(shard.quarantined.contains(&account));
    let ended = ShardEvent::QuarantineEnded { account, meta: Meta { at, origin: origin(OWNER) } };
    assert_eq!(own(&shard, &ended).unwrap(), Shard::default());
}

#[test]
fn timers_follow_holds() {
    let (subject, shard) = busy();
    let ends = subject.account.holds[&hold_id(1)].expires_at;
    assert_eq!(shard.timers.iter().copied().collect::<Vec<_>>(), [(ends, hold_id(1))]);
    assert_eq!(shard.holds[&hold_id(1)].account, party(OWNER).account);
    for request in [capture(1, PAYEE, Some(5)), release(1, OWNER)] {
        let event = next(&subject, &request, 4);
        let mut after = shard.clone();
        after.apply(&event).unwrap();
        assert!(after.timers.is_empty() && after.holds.is_empty(), "{request:?}");
        assert!(after.clone().apply(&event).is_err(), "a hold is resolved once");
    }
}

#[test]
fn events_that_do_not_follow_are_broken() {
    let (subject, shard) = busy();
    let held = next(&subject, &hold(2, 1), 0);
    let mut twice = shard.clone();
    twice.apply(&held).unwrap();
    assert_eq!(twice.apply(&held).map_err(|broken| broken.0), Err("a hold is made once"));
    for number in [0, 3, 5] {
        let event = next(&subject, &pay(1), number);
        let broken = shard.clone().apply(&event).map_err(|broken| broken.0);
        assert_eq!(broken, Err("a channel's number is not the next"), "{number}");
    }
    let unknown = Shard::default().apply(&next(&subject, &release(1, OWNER), 0)).map_err(|broken| broken.0);
    assert_eq!(unknown, Err("a hold is resolved that is not open"));
}

#[test]
fn an_account_takes_only_what_follows() {
    let (subject, _) = busy();
    let event = next(&subject, &pay(1), 4);
    let damaged = |damage: &dyn Fn(&mut Event)| {
        let mut event = event.clone();
        damage(&mut event);
        subject.account.clone().apply(&event).map_err(|broken| broken.what)
    };
    let entry = |damage: &dyn Fn(&mut domain::ledger::Entry)| {
        damaged(&|event| {
            if let Change::Debited { movement, .. } = &mut event.change {
                damage(&mut movement.entry);
            }
        })
    };
    assert_eq!(damaged(&|_| ()), Ok(()));
    assert_eq!(damaged(&|event| event.account = party(PAYEE).account), Err("it is of another account"));
    assert_eq!(damaged(&|event| event.offset += 1), Err("its offset is not the next"));
    assert_eq!(damaged(&|event| event.offset -= 1), Err("its offset is not the next"));
    assert_eq!(entry(&|entry| entry.number += 1), Err("its entry is not the next"));
    assert_eq!(entry(&|entry| entry.amount = minor(2)), Err("its balance is not the sum of its entries"));
    assert_eq!(entry(&|entry| entry.amount = minor(-1)), Err("its amount is out of range"));
    assert_eq!(entry(&|entry| entry.after.held = minor(0)), Err("its balance is not the sum of its entries"));
    assert_eq!(entry(&|entry| entry.currency = Currency::Usd), Err("it is of another currency"));
    let opened = Change::Opened { owner: party(OWNER).user, currency: Currency::Inr };
    let again = damaged(&|event| event.change = opened.clone());
    assert_eq!(again, Err("an account opens once, before all else"));
    let mut unopened = Account::new(party(OWNER).account);
    let first = unopened.apply(&Event { offset: 1, ..event.clone() }).map_err(|broken| broken.what);
    assert_eq!(first, Err("an account opens once, before all else"));
    assert_ne!(party(OWNER), Party { ..party(PAYEE) });
}
