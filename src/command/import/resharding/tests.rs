//! Exports of made-up stores, carried from file to record. What the records say is tested where the rules are, in
//! `domain/tests/ledger/model/resharding.rs`; here: their order, stamps, chain and places.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{AccountId, OperationId, ShardCount, ShardId, TransferId, UserId, random};
use domain::ledger::{
    Account, By, Change, ChannelNumber, Command, Credit, CreditDecided, Event, Facts, Now, Opening, Origin, Party,
    Request, Shard, ShardEvent, credit, decide,
};
use domain::money::{Currency, Minor};
use domain::time::{BusinessDay, Timestamp};
use storage::encoding::{self, Item, Writer};
use storage::journal::{Hash, JournalKey, PAYLOAD_BYTES_MAX, Place, Record, Slot, Space, StoredRecord};
use uuid::Uuid;

use super::drafts::Drafts;
use super::ledger::LedgerCarry;
use super::order::Order;
use super::{Carried, Survey};
use crate::command::export::contents::{Contents, Log, People};
use crate::command::export::parts::{self, PartsWriter, PeopleItem};
use crate::command::output::Output;
use crate::config::StorageConfig;
use crate::node::store::Founding;

const OLD: u16 = 64;
const PEOPLE: u128 = 24;
const TERM: u64 = 3;

/// A store in the making. Each shard's clock is wrong by some seconds, and each decision is a record of its own.
struct World {
    count: ShardCount,
    accounts: BTreeMap<AccountId, Account>,
    shards: BTreeMap<ShardId, Shard>,
    records: Vec<Record>,
    ends: BTreeMap<ShardId, (Slot, Hash, Timestamp)>,
    clock: u64,
}

fn owner(number: u128) -> UserId {
    UserId(Uuid::from_u128(number + 1))
}

fn party(number: u128) -> Party {
    Party { user: owner(number), account: AccountId::of(owner(number), Currency::Inr) }
}

fn origin() -> Origin {
    Origin { operation: OperationId(Uuid::nil()), by: By::SYSTEM, trace: None }
}

impl World {
    fn new() -> Self {
        let count = ShardCount::new(OLD).unwrap();
        let mut world = Self {
            count,
            accounts: BTreeMap::new(),
            shards: BTreeMap::new(),
            records: Vec::new(),
            ends: BTreeMap::new(),
            clock: 100,
        };
        for shard in count.shards() {
            world.append(shard, vec![Item::Shard(Arc::new(ShardEvent::TermBegan { term: TERM }))]);
        }
        world
    }

    /// The clock of a shard: up to six seconds ahead of that of another.
    fn now(&self, shard: ShardId) -> Now {
        let at = Timestamp(self.clock * 250_000 + u64::from(shard.0 % 7) * 1_000_000);
        let last = self.ends.get(&shard).map_or(Timestamp(0), |(_, _, at)| *at);
        Now { at: at.max(last.next()), day: BusinessDay(0) }
    }

    fn append(&mut self, shard: ShardId, items: Vec<Item>) {
        let (slot, previous, last) = self.ends.get(&shard).copied().unwrap_or_default();
        let mut writer = Writer::default();
        let mut at = last.next();
        let fold = self.shards.entry(shard).or_default();
        for item in items {
            writer.push(&item).unwrap();
            match &item {
                Item::Event(event) => {
                    fold.apply(event).unwrap();
                    at = at.max(event.meta.at);
                    let account = self.accounts.entry(event.account).or_insert_with(|| Account::new(event.account));
                    account.apply(event).unwrap();
                }
                Item::Shard(event) => fold.apply_own(event).unwrap(),
            }
        }
        let key = JournalKey { space: Space::Ledger, shard };
        let record = Record { key, slot: slot.next(), term: TERM, at, previous, payload: writer.finish() };
        self.ends.insert(shard, (record.slot, record.hash(), at));
        self.records.push(record);
    }

    fn account(&self, number: u128) -> Account {
        let id = party(number).account;
        self.accounts.get(&id).cloned().unwrap_or_else(|| Account::new(id))
    }

    fn ask(&mut self, number: u128, request: Request) {
        let Party { user, account } = party(number);
        let shard = account.route().shard(self.count);
        let opening = Opening { owner: user, currency: Currency::Inr };
        let command = Command { origin: origin(), opening, request };
        let count = self.count;
        let payee_shard = |payee: Party| payee.account.route().shard(count);
        let decided = decide(&self.account(number), &Facts::default(), &command, self.now(shard), payee_shard);
        decided.answer.unwrap();
        let numbered = |mut event: Event| {
            if let Change::Debited { channel, .. } = &mut event.change {
                let fold = self.shards.get(&shard).and_then(|shard| shard.outgoing.get(&channel.peer));
                channel.number = fold.map_or(1, |outgoing| outgoing.last + 1);
            }
            Item::Event(Arc::new(event))
        };
        let items = decided.events.into_iter().map(numbered).collect();
        self.append(shard, items);
        self.clock += 1;
    }

    /// Pays. Answers the credit, to be booked.
    fn pay(&mut self, from: u128, to: u128, number: u64) -> (ShardId, ShardId, u64, Credit) {
        let (payer, payee) = (party(from), party(to));
        let transfer = TransferId(random(payer.account, u128::from(number).to_le_bytes()));
        self.ask(from, Request::Transfer { transfer, payee, amount: Minor::new(1), fingerprint: None, note: None });
        let (home, peer) = (payer.account.route().shard(self.count), payee.account.route().shard(self.count));
        let (number, credit) = self.shards[&home].outgoing[&peer].unsettled.last_key_value().unwrap();
        (home, peer, *number, Credit::clone(credit))
    }

    fn book(&mut self, (from, to, number, of): &(ShardId, ShardId, u64, Credit), payee: u128) {
        let channel = ChannelNumber { peer: *from, number: *number };
        let CreditDecided::Taken { events, .. } = credit(&self.account(payee), of, channel, self.now(*to)) else {
            panic!("it is taken")
        };
        self.append(*to, events.into_iter().map(|event| Item::Event(Arc::new(event))).collect());
    }

    /// A history in which payments cross, and arrive in another order than they went.
    fn lived(payments: u64, spread: u64) -> Self {
        let mut world = Self::new();
        for number in 0..PEOPLE {
            let transfer = TransferId(random(party(number).account, [9; 16]));
            let amount = Minor::new(1_000_000);
            world.ask(number, Request::Deposit { transfer, amount, fingerprint: None, note: None });
        }
        let mut waiting = Vec::new();
        for number in 0..payments {
            let payer = u128::from(number * 7) % PEOPLE;
            let payee = (payer + 1 + u128::from(number * number) % (PEOPLE - 1)) % PEOPLE;
            waiting.push((world.pay(payer, payee, number), payee));
            if waiting.len() as u64 > spread {
                let (flight, payee) = waiting.swap_remove(usize::try_from(number % spread).unwrap());
                world.book(&flight, payee);
            }
            if number % 5 == 0 {
                world.settle(ShardId(u16::try_from(number % u64::from(OLD)).unwrap()));
            }
        }
        for (flight, payee) in waiting {
            world.book(&flight, payee);
        }
        world
    }

    /// A shard notes what its peers have.
    fn settle(&mut self, shard: ShardId) {
        let peers: Vec<_> = self.shards[&shard].outgoing.keys().copied().collect();
        for peer in peers {
            let Some(end) = self.shards[&peer].incoming.get(&shard).cloned() else { continue };
            let beyond = end.beyond.into_iter().collect();
            let settled = ShardEvent::Settled { peer, through: end.through, beyond };
            self.append(shard, vec![Item::Shard(Arc::new(settled))]);
        }
    }
}

/// An export of these records in this order, in two files, which says up to where messages were looked at.
fn export(folder: &std::path::Path, records: &[Record], noted: &[(JournalKey, Slot)]) -> Contents {
    let mut contents =
        Contents::new(Founding { shards: OLD, ..Founding::draw(&StorageConfig::default(), Timestamp(1)) });
    let mut log = Log::default();
    for (full, half) in records.chunks(records.len().div_ceil(2)).enumerate() {
        let mut writer = PartsWriter::new(folder, "ledger", full);
        for record in half {
            let stored = StoredRecord { hash: record.hash(), record: record.clone(), place: Place(0) };
            log.take(&stored).unwrap();
            writer.push(&parts::record(&stored)).unwrap();
        }
        log.parts.extend(writer.finish().unwrap());
    }
    contents.ledger = log;
    let mut writer = PartsWriter::new(folder, "people", 0);
    for (key, slot) in noted {
        writer.push(&PeopleItem::Noted { key: *key, slot: *slot }).unwrap();
    }
    contents.people = People { users: 0, parts: writer.finish().unwrap().into_iter().collect() };
    contents
}

/// What comes of it, and up to where its messages were looked at.
fn carry(records: &[Record], noted: &[(JournalKey, Slot)], to: u16) -> (Vec<Record>, BTreeMap<JournalKey, Slot>) {
    let dir = tempfile::tempdir().unwrap();
    let contents = export(dir.path(), records, noted);
    let (out, _said) = Output::new();
    let survey = Survey::of(&contents, dir.path(), ShardCount::new(to).unwrap(), &out).unwrap();
    let order = Order::make(&dir.path().join("order"), dir.path(), &contents.ledger, Space::Ledger, &out).unwrap();
    let carry = LedgerCarry::number(&survey, &order, &dir.path().join("numbers"), &out).unwrap();
    let drafts = Drafts::new(Space::Ledger, survey.to(), survey.term(), LedgerCarry::began(survey.term()));
    let mut carried = Carried { survey: &survey, merge: order.merge().unwrap(), carry, drafts, is_over: false };
    let new = std::iter::from_fn(|| carried.next().unwrap()).collect();
    assert_eq!(carried.merge.records(), records.len() as u64);
    (new, carried.drafts.noted().collect())
}

fn events(records: &[Record]) -> BTreeMap<(AccountId, u64), (ShardId, Slot)> {
    let mut events = BTreeMap::new();
    for record in records {
        for (_, item) in encoding::read(&record.payload).unwrap() {
            if let Item::Event(event) = item {
                events.insert((event.account, event.offset), (record.key.shard, record.slot));
            }
        }
    }
    events
}

#[test]
fn new_journals_are_chained_and_stamped_and_hold_what_the_old_ones_did() {
    let world = World::lived(400, 9);
    for to in [64, 100, 128, 1_024] {
        let count = ShardCount::new(to).unwrap();
        let (records, _) = carry(&world.records, &[], to);
        let mut ends: BTreeMap<ShardId, (Slot, Hash, Timestamp)> = BTreeMap::new();
        let mut accounts: BTreeMap<AccountId, Account> = BTreeMap::new();
        let mut shards: BTreeMap<ShardId, Shard> = BTreeMap::new();
        for record in &records {
            let shard = record.key.shard;
            let (slot, hash, at) = ends.get(&shard).copied().unwrap_or_default();
            assert!((record.slot, record.previous) == (slot.next(), hash) && record.at > at);
            assert!(record.term == TERM + 1 && record.payload.len() <= PAYLOAD_BYTES_MAX);
            ends.insert(shard, (record.slot, record.hash(), record.at));
            let items = encoding::read(&record.payload).unwrap();
            let began = Item::Shard(Arc::new(ShardEvent::TermBegan { term: TERM + 1 }));
            assert_eq!(items.first().is_some_and(|(_, item)| *item == began), slot == Slot(0));
            for (_, item) in items {
                match item {
                    Item::Event(event) => {
                        assert_eq!(event.account.route().shard(count), shard);
                        assert!(event.meta.at <= record.at);
                        assert!(record.at.since(event.meta.at) < Duration::from_secs(2), "stamps stay close");
                        accounts
                            .entry(event.account)
                            .or_insert_with(|| Account::new(event.account))
                            .apply(&event)
                            .unwrap();
                        shards.entry(shard).or_default().apply(&event).unwrap();
                    }
                    Item::Shard(event) => shards.entry(shard).or_default().apply_own(&event).unwrap(),
                }
            }
        }
        assert_eq!(accounts, world.accounts);
        let unsettled = |shards: &BTreeMap<ShardId, Shard>| {
            let ends = shards.values().flat_map(|shard| shard.outgoing.values());
            ends.flat_map(|end| end.unsettled.values().map(|credit| credit.transfer)).collect::<BTreeSet<_>>()
        };
        assert_eq!(unsettled(&shards), unsettled(&world.shards), "what is noted as settled is what was");
        assert!(!unsettled(&shards).is_empty() && unsettled(&shards).len() < 400);
        for (from, shard) in &shards {
            for (to, end) in &shard.outgoing {
                let booked = &shards[to].incoming[from];
                assert_eq!((booked.through, booked.beyond.len()), (end.last, 0));
            }
        }
    }
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let world = World::lived(150, 4);
    let mut by_shard = world.records.clone();
    by_shard.sort_by_key(|record| record.key.shard);
    assert_ne!(by_shard, world.records);
    for to in [64, 96, 128] {
        assert_eq!(carry(&by_shard, &[], to), carry(&world.records, &[], to));
    }
}

#[test]
fn what_was_not_looked_at_is_looked_at_again_and_little_else() {
    let world = World::lived(150, 4);
    // Each old journal was looked at up to one of its last slots.
    let noted = world.ends.iter().map(|(shard, (last, ..))| {
        let key = JournalKey { space: Space::Ledger, shard: *shard };
        (key, Slot(last.0.saturating_sub(u64::from(shard.0 % 3))))
    });
    let noted: Vec<_> = noted.collect();
    let before = events(&world.records);
    let (records, now) = carry(&world.records, &noted, 128);
    let was: BTreeMap<_, _> = noted.into_iter().collect();
    let mut again = 0;
    for (event, (shard, slot)) in events(&records) {
        let (old_shard, old_slot) = before[&event];
        let key = |shard| JournalKey { space: Space::Ledger, shard };
        let was_looked_at = old_slot <= was[&key(old_shard)];
        let is_looked_at = slot <= now[&key(shard)];
        assert!(was_looked_at || !is_looked_at, "nothing is passed over");
        again += u64::from(was_looked_at && !is_looked_at);
    }
    assert_eq!(again, 0, "twice as many shards: none gets events of two");
}

#[test]
fn what_cannot_be_carried_is_refused_with_its_reason() {
    let refused = |records: &[Record], change: fn(&mut Contents)| {
        let dir = tempfile::tempdir().unwrap();
        let mut contents = export(dir.path(), records, &[]);
        change(&mut contents);
        let (out, _said) = Output::new();
        Survey::of(&contents, dir.path(), ShardCount::new(128).unwrap(), &out).err().map(|failure| failure.message)
    };
    let mut world = World::lived(20, 3);
    assert_eq!(refused(&world.records, |_| ()), None);
    let cut = refused(&world.records, |contents| contents.ledger.records += 1);
    assert_eq!(cut.unwrap(), "the export does not have all records of ledger");

    let flight = world.pay(0, 1, 1_000);
    let in_transit = refused(&world.records, |_| ()).unwrap();
    assert!(in_transit.starts_with("1 credits are in transit between shards"), "{in_transit}");
    world.book(&flight, 1);
    assert_eq!(refused(&world.records, |_| ()), None);

    // More settles than was given: such an export is not sound.
    let again = ShardEvent::Settled { peer: flight.1, through: 1_000, beyond: Vec::new() };
    let mut writer = Writer::default();
    writer.push(&Item::Shard(Arc::new(again))).unwrap();
    let (slot, previous, at) = world.ends[&flight.0];
    let key = JournalKey { space: Space::Ledger, shard: flight.0 };
    let record = Record { key, slot: slot.next(), term: TERM, at: at.next(), previous, payload: writer.finish() };
    world.records.push(record);
    let unsound = refused(&world.records, |_| ()).unwrap();
    assert!(unsound.contains("a number settles that was never given"), "{unsound}");
}
