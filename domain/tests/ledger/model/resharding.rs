//! A history that has come to rest, carried into other numbers of shards: nothing of any account is another, and both
//! ends of every new channel agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::ids::{ShardCount, ShardId, TransferId};
use domain::ledger::resharding::{NotCarried, Numbering, OldNumber, OldShards, Renumbering};
use domain::ledger::shard::Broken;
use domain::ledger::{Account, Change, ChannelNumber, Event, Resolution, Shard, ShardEvent};

use super::ledger::{Ledger, Record};
use super::world::World;

type History = Vec<(ShardId, Record)>;
type Ends = BTreeMap<(ShardId, ShardId, u64), TransferId>;

/// Carries what happened into several numbers of shards, read in more than one order.
pub(crate) fn check(world: &mut World) {
    let in_flight = world.ledger.in_flight().len() as u64;
    let refused = old_shards(&world.ledger.journal).check(count(2)).err();
    assert_eq!(refused, (in_flight > 0).then_some(NotCarried::InTransit { credits: in_flight }));
    world.deliver_all();
    old_shards(&world.ledger.journal).check(count(2)).unwrap();
    // As it happened, and one shard after the other: each shard's own order is all that counts.
    let mut by_shard = world.ledger.journal.clone();
    by_shard.sort_by_key(|(home, _)| *home);
    for shards in [1, 2, 3, 5, 64] {
        for history in [&world.ledger.journal, &by_shard] {
            is_the_same(&world.ledger, &carry(history, count(shards)), count(shards));
        }
    }
}

fn count(shards: u16) -> ShardCount {
    ShardCount::few(shards).unwrap()
}

fn old_shards(history: &History) -> OldShards {
    let mut old = OldShards::default();
    for (home, record) in history {
        match record {
            Record::Account(event) => old.event(*home, event).unwrap(),
            Record::Shard(event) => old.own(*home, event).unwrap(),
        }
    }
    old
}

fn carry(history: &History, to: ShardCount) -> History {
    let mut numbering = Numbering::new(to);
    let mut numbers = BTreeMap::new();
    for (home, record) in history {
        let number = match record {
            Record::Account(event) => numbering.event(*home, event).unwrap(),
            Record::Shard(event) => numbering.own(*home, event).unwrap(),
        };
        if let Some((old, new)) = number {
            assert_eq!(numbers.insert(old, new), None, "a credit is given once");
        }
    }
    let known = |old: OldNumber| numbers.get(&old).copied().ok_or(Broken("nobody gave this number"));
    let mut renumbering = Renumbering::new(to);
    let mut carried = Vec::new();
    for (home, record) in history {
        match record {
            Record::Account(event) => {
                let (home, event) = renumbering.event(*home, &Arc::new(event.clone()), known).unwrap();
                carried.push((home, Record::Account((*event).clone())));
            }
            Record::Shard(event) => {
                let events = renumbering.own(*home, event, known).unwrap();
                carried.extend(events.into_iter().map(|(home, event)| (home, Record::Shard(event))));
            }
        }
    }
    carried
}

fn is_the_same(old: &Ledger, carried: &History, to: ShardCount) {
    let mut accounts = BTreeMap::new();
    let mut shards: BTreeMap<ShardId, Shard> = BTreeMap::new();
    for (home, record) in carried {
        let shard = shards.entry(*home).or_default();
        match record {
            Record::Account(event) => {
                assert_eq!(event.account.route().shard(to), *home);
                accounts.entry(event.account).or_insert_with(|| Account::new(event.account)).apply(event).unwrap();
                shard.apply(event).unwrap();
            }
            Record::Shard(event) => shard.apply_own(event).unwrap(),
        }
        assert!(shard.sums_to_zero());
    }
    assert_eq!(accounts, old.accounts);
    assert_eq!(events(carried), events(&old.journal), "but for its channels an event is what it was");
    channels_are_at_rest(&shards);
    let (given, booked) = ends(carried);
    assert_eq!(given, booked, "both ends of a channel say the same of each number");

    let all = |shards: &BTreeMap<ShardId, Shard>| {
        let resting: BTreeMap<_, _> = shards.values().flat_map(|shard| shard.suspense.clone()).collect();
        let quarantined: BTreeSet<_> = shards.values().flat_map(|shard| shard.quarantined.clone()).collect();
        let holds: BTreeMap<_, _> = shards.values().flat_map(|shard| shard.holds.clone()).collect();
        let timers: BTreeSet<_> = shards.values().flat_map(|shard| shard.timers.clone()).collect();
        let outgoing = shards.values().flat_map(|shard| shard.outgoing.values());
        let unsettled: BTreeMap<_, _> = outgoing
            .flat_map(|channel| channel.unsettled.values())
            .map(|credit| ((credit.transfer, credit.payee.account), credit.clone()))
            .collect();
        (resting, quarantined, holds, timers, unsettled)
    };
    assert_eq!(all(&shards), all(&old.shards));
    for (home, shard) in &shards {
        assert!(shard.suspense.values().all(|resting| resting.credit.payee.account.route().shard(to) == *home));
        assert!(shard.quarantined.iter().all(|account| account.route().shard(to) == *home));
    }
}

fn channels_are_at_rest(shards: &BTreeMap<ShardId, Shard>) {
    for (from, shard) in shards {
        for (to, outgoing) in &shard.outgoing {
            let incoming = &shards[to].incoming[from];
            assert_eq!((incoming.through, incoming.beyond.len()), (outgoing.last, 0), "from {from} to {to}");
        }
    }
}

/// All events of accounts, by account and offset, without their channels.
fn events(history: &History) -> BTreeMap<(uuid::Uuid, u64), Event> {
    let bare = |record: &Record| {
        let Record::Account(event) = record else { return None };
        let mut event = event.clone();
        if let Change::Debited { channel, .. } | Change::Credited { channel, .. } = &mut event.change {
            *channel = ChannelNumber { peer: ShardId(0), number: 0 };
        }
        Some(((event.account.0, event.offset), event))
    };
    history.iter().filter_map(|(_, record)| bare(record)).collect()
}

/// What senders and receivers say of each number.
fn ends(history: &History) -> (Ends, Ends) {
    let (mut given, mut booked) = (Ends::new(), Ends::new());
    for (home, record) in history {
        let mut gave = |channel: ChannelNumber, transfer| {
            assert_eq!(given.insert((*home, channel.peer, channel.number), transfer), None);
        };
        let mut has = |channel: ChannelNumber, transfer| {
            assert_eq!(booked.insert((channel.peer, *home, channel.number), transfer), None);
        };
        match record {
            Record::Account(event) => match &event.change {
                Change::Debited { movement, channel, .. } => gave(*channel, movement.transfer),
                Change::Credited { movement, channel, .. } => has(*channel, movement.transfer),
                _ => {}
            },
            Record::Shard(ShardEvent::Diverted { credit, channel, returned, .. }) => {
                has(*channel, credit.transfer);
                if let Some(back) = returned {
                    gave(back.channel, back.transfer);
                }
            }
            Record::Shard(ShardEvent::SuspenseResolved { transfer, resolution, .. }) => match resolution {
                Resolution::Released { channel } => gave(*channel, *transfer),
                Resolution::Returned(back) => gave(back.channel, back.transfer),
            },
            Record::Shard(_) => {}
        }
    }
    (given, booked)
}
