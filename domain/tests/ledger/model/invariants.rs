//! What must always hold: after every step, of the whole journal, and when all has arrived.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{HoldId, ShardId};
use domain::ledger::{Account, Change, Event, Purpose, Shard};
use domain::money::{Currency, Minor};
use domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ledger::{ACCOUNTS, Ledger, Record, currency, party, shard_of};
use super::purses::Purse;
use super::world::World;

type Sums = BTreeMap<(ShardId, Currency), i128>;

pub(crate) fn after_a_step(world: &World) {
    accounts_are_as_the_model_says(world);
    shards_are_the_sum_of_their_accounts(world);
    transit_is_what_no_receiver_has(&world.ledger);
    timers_are_the_open_holds(&world.ledger);
}

fn accounts_are_as_the_model_says(world: &World) {
    for index in 0..ACCOUNTS {
        let account = world.ledger.account(index);
        let unused = Purse::default();
        let purse = world.purses.all.get(&index).unwrap_or(&unused);
        let balances = account.balances;
        assert_eq!((balances.posted.get(), balances.held.get()), (purse.posted, purse.held()), "account {index}");
        assert!(balances.posted.is_balance() && balances.held.is_balance() && balances.held <= balances.posted);
        assert_eq!(account.entries, purse.entries);
        let freeze = account.standing.freeze;
        let limits = account.standing.limits;
        assert_eq!((freeze.debit, freeze.credit), (purse.frozen_out, purse.frozen_in));
        assert_eq!(limits.per_transaction.map(Minor::get), purse.per_transaction);
        assert_eq!(limits.per_day.map(Minor::get), purse.per_day);
        assert_eq!(account.standing.closed, purse.closed);
        let open: Vec<_> = account.holds.iter().map(|(id, hold)| (*id, hold.amount.get(), hold.expires_at.0)).collect();
        let expected: Vec<_> = purse.holds.iter().map(|(id, held)| (*id, held.amount, held.until)).collect();
        assert_eq!(open, expected, "account {index}");
    }
}

fn shards_are_the_sum_of_their_accounts(world: &World) {
    let mut people = Sums::new();
    let mut world_sums = Sums::new();
    for index in 0..ACCOUNTS {
        let at = (shard_of(party(index).account), currency(index));
        *people.entry(at).or_default() += i128::from(world.ledger.account(index).balances.posted.get());
        *world_sums.entry(at).or_default() -= world.purses.from_outside.get(&index).copied().unwrap_or(0);
    }
    for (id, shard) in &world.ledger.shards {
        assert!(shard.sums_to_zero(), "shard {id}: {:?}", shard.system);
        for (currency, system) in &shard.system {
            let resting = shard.suspense.values().filter(|rests| rests.credit.currency == *currency);
            let resting: i128 = resting.map(|rests| i128::from(rests.credit.amount.get())).sum();
            assert_eq!(system.people, people.get(&(*id, *currency)).copied().unwrap_or(0), "people of {id}");
            assert_eq!(system.world, world_sums.get(&(*id, *currency)).copied().unwrap_or(0), "world of {id}");
            assert_eq!(system.suspense, resting, "suspense of {id}");
        }
    }
}

fn transit_is_what_no_receiver_has(ledger: &Ledger) {
    let mut transit: BTreeMap<(ShardId, ShardId, Currency), i128> = BTreeMap::new();
    for (id, shard) in &ledger.shards {
        for (currency, system) in &shard.system {
            for (peer, amount) in &system.sent {
                *transit.entry((*id, *peer, *currency)).or_default() += amount;
            }
            for (peer, amount) in &system.received {
                *transit.entry((*peer, *id, *currency)).or_default() -= amount;
            }
        }
    }
    let mut flying = BTreeMap::new();
    for ((from, to, number), credit) in ledger.in_flight() {
        *flying.entry((from, to, credit.currency)).or_default() += i128::from(credit.amount.get());
        let unsettled = &ledger.shards[&from].outgoing[&to].unsettled;
        assert_eq!(
            unsettled.get(&number).map(|sent| &**sent),
            Some(&credit),
            "what is in flight is sent until it is settled"
        );
    }
    transit.retain(|_, amount| *amount != 0);
    assert_eq!(transit, flying);
}

fn timers_are_the_open_holds(ledger: &Ledger) {
    let mut expected: BTreeMap<ShardId, BTreeSet<(Timestamp, HoldId)>> = BTreeMap::new();
    for account in ledger.accounts.values() {
        let timers = account.holds.iter().map(|(id, hold)| (hold.expires_at, *id));
        expected.entry(shard_of(account.id)).or_default().extend(timers);
    }
    for (id, shard) in &ledger.shards {
        assert_eq!(shard.timers, expected.get(id).cloned().unwrap_or_default());
        assert_eq!(shard.holds.len(), shard.timers.len());
    }
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
}

pub(crate) fn of_the_journal(ledger: &Ledger) {
    let mut accounts = BTreeMap::new();
    let mut shards: BTreeMap<ShardId, Shard> = BTreeMap::new();
    let mut last: BTreeMap<_, Event> = BTreeMap::new();
    let mut sums: BTreeMap<_, (u64, i64)> = BTreeMap::new();
    let mut held = BTreeMap::new();
    for (home, record) in &ledger.journal {
        let shard = shards.entry(*home).or_default();
        match record {
            Record::Shard(event) => {
                shard.apply_own(event).unwrap();
                round_trip(event);
            }
            Record::Account(event) => {
                shard.apply(event).unwrap();
                accounts.entry(event.account).or_insert_with(|| Account::new(event.account)).apply(event).unwrap();
                round_trip(event);
                let before = last.insert(event.account, event.clone());
                assert_eq!(event.offset, before.as_ref().map_or(1, |before| before.offset + 1), "offsets are dense");
                assert!(before.is_none_or(|before| before.meta.at <= event.meta.at), "time goes on");
                if let Some(movement) = event.change.movement() {
                    let (entry, sum) = sums.entry(event.account).or_default();
                    *entry += 1;
                    *sum += event.change.posted().get();
                    assert_eq!(movement.entry.number, *entry, "entries are dense");
                    assert_eq!(movement.entry.after.posted.get(), *sum, "a balance is the sum of its entries");
                }
                holds_are_resolved_once(&mut held, &event.change);
            }
        }
    }
    assert_eq!(accounts, ledger.accounts, "a replay gives the same accounts");
    assert_eq!(shards, ledger.shards, "a replay gives the same shards");
    accounts.values().for_each(round_trip);
    shards.values().for_each(round_trip);
}

/// Captures and releases come to what was held.
fn holds_are_resolved_once(held: &mut BTreeMap<HoldId, Option<Minor>>, change: &Change) {
    match change {
        Change::Held { hold, amount, .. } => {
            assert_eq!(held.insert(*hold, Some(*amount)), None, "a hold is made once");
        }
        Change::Released { hold, amount, .. } => {
            assert_eq!(held.insert(*hold, None), Some(Some(*amount)), "a hold is released whole, once");
        }
        Change::Debited { movement, purpose: Purpose::Capture { hold, held: whole }, .. } => {
            assert_eq!(held.insert(*hold, None), Some(Some(*whole)), "a hold is captured once");
            assert!(movement.entry.amount <= *whole);
        }
        _ => {}
    }
}

/// When nothing is in flight, people and suspense have all that came from outside.
pub(crate) fn at_rest(world: &World) {
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    for shard in world.ledger.shards.values() {
        for (currency, system) in &shard.system {
            *sums.entry(*currency).or_default() += system.people + system.suspense;
        }
    }
    let mut outside: BTreeMap<Currency, i128> = BTreeMap::new();
    for (index, amount) in &world.purses.from_outside {
        *outside.entry(currency(*index)).or_default() += amount;
    }
    sums.retain(|_, amount| *amount != 0);
    outside.retain(|_, amount| *amount != 0);
    assert_eq!(sums, outside);
    for purse in world.purses.all.values() {
        assert!(
            purse.came.values().all(|came| (0..=came.amount).contains(&came.back)),
            "refunds are within the original"
        );
    }
}
