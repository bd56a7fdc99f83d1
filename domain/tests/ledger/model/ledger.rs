//! Accounts and shards as the actors keep them: every change is an event, every fact comes from one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use domain::ids::{AccountId, HoldId, OperationId, ShardCount, ShardId, TransferId, UserId, random};
use domain::ledger::{
    Account, Answer, By, Change, ChannelNumber, Command, Credit, CreditDecided, Decided, DivertReason, Event, Facts,
    Meta, Now, Opening, Origin, Original, Party, Past, PastHold, Principal, Purpose, Refusal, Request, Resolution,
    Return, Shard, ShardEvent, Via, credit, decide, late,
};
use domain::money::{Currency, Minor};
use domain::time::{BusinessDay, Timestamp};
use uuid::Uuid;

/// The accounts: four in rupees, two in yen.
pub(crate) const ACCOUNTS: usize = 6;
/// Seconds in a day of the model.
pub(crate) const DAY: u64 = 86_400;

pub(crate) fn shards() -> ShardCount {
    ShardCount::few(3).unwrap()
}

pub(crate) fn user(index: usize) -> UserId {
    UserId(Uuid::from_u128(u128::try_from(index).unwrap() + 1))
}

pub(crate) fn currency(index: usize) -> Currency {
    if index < 4 { Currency::Inr } else { Currency::Jpy }
}

/// Every party, and the shard of its account: worked out once, because hashes are slow without optimisation.
static PARTIES: LazyLock<[(Party, ShardId); ACCOUNTS]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        let account = AccountId::of(user(index), currency(index));
        (Party { user: user(index), account }, account.route().shard(shards()))
    })
});

pub(crate) fn party(index: usize) -> Party {
    PARTIES[index].0
}

pub(crate) fn index_of(account: AccountId) -> usize {
    PARTIES.iter().position(|(party, _)| party.account == account).unwrap()
}

pub(crate) fn shard_of(account: AccountId) -> ShardId {
    PARTIES[index_of(account)].1
}

pub(crate) fn origin(by: UserId) -> Origin {
    let by = By { principal: Principal::Person(by), session: None, device: None, via: Via::Http };
    Origin { operation: OperationId(Uuid::nil()), by, trace: None }
}

/// One durable event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Account(Event),
    Shard(ShardEvent),
}

/// A credit on its way: sender, receiver, number.
pub(crate) type Flight = (ShardId, ShardId, u64);

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    pub(crate) journal: Vec<(ShardId, Record)>,
    /// Seconds since the epoch.
    pub(crate) clock: u64,
    last_at: u64,
    made: u128,
    past: BTreeMap<Uuid, Past>,
    originals: BTreeMap<(AccountId, TransferId), Original>,
    /// What a refund gave back of what.
    refunds: BTreeMap<TransferId, (TransferId, Minor)>,
    open: BTreeMap<HoldId, (UserId, UserId)>,
    resolved: BTreeMap<HoldId, PastHold>,
    /// Every number ever given, with what it carries.
    pub(crate) given: BTreeMap<Flight, Credit>,
    /// What was told as settled late.
    pub(crate) told: BTreeSet<TransferId>,
}

impl Ledger {
    pub(crate) fn now(&mut self) -> Now {
        let at = (self.clock * 1_000_000).max(self.last_at + 1);
        self.last_at = at;
        Now { at: Timestamp(at), day: BusinessDay(i32::try_from(self.clock / DAY).unwrap()) }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.clock += time.as_secs();
    }

    pub(crate) fn account(&self, index: usize) -> Account {
        let id = party(index).account;
        self.accounts.get(&id).cloned().unwrap_or_else(|| Account::new(id))
    }

    pub(crate) fn shard(&self, id: ShardId) -> Shard {
        self.shards.get(&id).cloned().unwrap_or_default()
    }

    /// An id that no key derives.
    pub(crate) fn random_id(&mut self, account: AccountId) -> Uuid {
        self.made += 1;
        random(account, (self.made << 64).to_be_bytes())
    }

    /// Asks an account, and makes what it decides durable.
    pub(crate) fn ask(&mut self, index: usize, by: UserId, request: &Request) -> (Result<Answer, Refusal>, Now) {
        let account = self.account(index);
        let facts = self.facts(&account, request);
        let opening = Opening { owner: user(index), currency: currency(index) };
        let command = Command { origin: origin(by), opening, request: request.clone() };
        let now = self.now();
        let payee_shard = |payee: Party| shard_of(payee.account);
        let Decided { events, account: decided, answer } = decide(&account, &facts, &command, now, payee_shard);
        self.append(events, &decided);
        (answer, now)
    }

    fn facts(&self, account: &Account, request: &Request) -> Facts {
        let mut facts = Facts::default();
        let id = match request {
            Request::Hold { hold, .. } => Some(hold.0),
            other => other.transfer().map(|transfer| transfer.0),
        };
        facts.past = id.and_then(|id| self.past.get(&id).copied());
        match request {
            Request::Refund { of, .. } => facts.original = self.originals.get(&(account.id, *of)).copied(),
            Request::Capture { hold, .. } | Request::Release { hold, .. } => {
                facts.resolved = self.resolved.get(hold).copied();
            }
            Request::Close => {
                let shard = self.shard(shard_of(account.id));
                let theirs = |credit: &std::sync::Arc<Credit>| credit.payer.account == account.id;
                facts.unsettled = shard.outgoing.values().any(|channel| channel.unsettled.values().any(theirs));
            }
            _ => {}
        }
        facts
    }

    /// Appends an account's events: numbers their credits, folds them, indexes them.
    fn append(&mut self, events: Vec<Event>, decided: &Account) {
        for mut event in events {
            let home = shard_of(event.account);
            if let Change::Debited { channel, .. } = &mut event.change {
                channel.number = self.next_number(home, channel.peer);
            }
            let account = self.accounts.entry(event.account).or_insert_with(|| Account::new(event.account));
            account.apply(&event).unwrap();
            self.shards.entry(home).or_default().apply(&event).unwrap();
            self.index(&event);
            self.note_given(home);
            self.journal.push((home, Record::Account(event)));
        }
        if let Some(account) = self.accounts.get(&decided.id) {
            assert_eq!(account, decided, "numbering a credit changes nothing of its account");
        }
    }

    fn append_own(&mut self, home: ShardId, event: ShardEvent) {
        self.shards.entry(home).or_default().apply_own(&event).unwrap();
        self.note_given(home);
        self.journal.push((home, Record::Shard(event)));
    }

    fn next_number(&self, from: ShardId, to: ShardId) -> u64 {
        self.shards.get(&from).and_then(|shard| shard.outgoing.get(&to)).map_or(1, |channel| channel.last + 1)
    }

    fn note_given(&mut self, home: ShardId) {
        for (peer, channel) in &self.shards[&home].outgoing {
            if let Some((number, credit)) = channel.unsettled.last_key_value() {
                self.given.entry((home, *peer, *number)).or_insert_with(|| (**credit).clone());
            }
        }
    }

    fn index(&mut self, event: &Event) {
        let (account, offset) = (event.account, event.offset);
        let mut effect = |id: Uuid, fingerprint| {
            assert!(self.past.insert(id, Past { offset, fingerprint }).is_none(), "one effect an id: {event:?}");
        };
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } => {
                effect(movement.transfer.0, movement.fingerprint);
            }
            Change::Debited { movement, purpose, payee, owner, .. } => {
                effect(movement.transfer.0, movement.fingerprint);
                if let Purpose::Refund { of } = purpose {
                    let amount = movement.entry.amount;
                    self.refunds.insert(movement.transfer, (*of, amount));
                    let original = self.originals.get_mut(&(account, *of)).unwrap();
                    original.refunded = original.refunded.plus(amount).unwrap();
                    assert!(original.refunded <= original.amount, "refunds exceed the original");
                }
                if let Purpose::Capture { hold, .. } = purpose {
                    let past = PastHold { payer: *owner, payee: payee.user, released: None };
                    assert!(self.resolved.insert(*hold, past).is_none(), "a hold is resolved once");
                }
            }
            Change::Credited { movement, payer, purpose, .. } => {
                if let Purpose::Return { of, .. } = purpose
                    && let Some((original, amount)) = self.refunds.get(of)
                {
                    // A refund that came back gave nothing back.
                    let original = self.originals.get_mut(&(account, *original)).unwrap();
                    original.refunded = original.refunded.minus(*amount).unwrap();
                }
                let (amount, purpose) = (movement.entry.amount, *purpose);
                let original = Original { payer: *payer, amount, refunded: Minor::ZERO, purpose };
                let before = self.originals.insert((account, movement.transfer), original);
                assert!(before.is_none(), "a transfer is credited once");
            }
            Change::Held { hold, owner, payee, fingerprint, .. } => {
                effect(hold.0, *fingerprint);
                self.open.insert(*hold, (*owner, payee.user));
            }
            Change::Released { hold, cause, .. } => {
                let (payer, payee) = self.open[hold];
                let past = PastHold { payer, payee, released: Some(*cause) };
                assert!(self.resolved.insert(*hold, past).is_none(), "a hold is resolved once");
            }
            _ => {}
        }
    }

    /// Credits that their receiver has not booked.
    pub(crate) fn in_flight(&self) -> Vec<(Flight, Credit)> {
        let booked = |(from, to, number): &Flight| {
            self.shards.get(to).and_then(|shard| shard.incoming.get(from)).is_some_and(|end| end.has(*number))
        };
        self.given.iter().filter(|(flight, _)| !booked(flight)).map(|(at, credit)| (*at, credit.clone())).collect()
    }

    /// Delivers a credit: the payee takes it, or it goes to suspense and, if it may, back.
    pub(crate) fn deliver(&mut self, (from, to, number): Flight, of: &Credit) -> Result<(), DivertReason> {
        let channel = ChannelNumber { peer: from, number };
        let now = self.now();
        let quarantined = self.shards.get(&to).is_some_and(|shard| shard.quarantined.contains(&of.payee.account));
        let account = self.account(index_of(of.payee.account));
        let reason = if quarantined {
            DivertReason::Quarantined
        } else {
            match credit(&account, of, channel, now) {
                CreditDecided::Taken { events, account } => {
                    self.append(events, &account);
                    return Ok(());
                }
                CreditDecided::Diverted(reason) => reason,
            }
        };
        let rests = quarantined || matches!(of.purpose, Purpose::Return { .. });
        let returned = (!rests).then(|| self.way_back(to, of));
        self.append_own(to, ShardEvent::Diverted { credit: of.clone(), channel, reason, at: now.at, returned });
        Err(reason)
    }

    fn way_back(&mut self, from: ShardId, of: &Credit) -> Return {
        let transfer = TransferId(self.random_id(of.payee.account));
        let peer = shard_of(of.payer.account);
        Return { transfer, channel: ChannelNumber { peer, number: self.next_number(from, peer) } }
    }

    /// The sender hears what its peer has; those who paid are told, each once.
    pub(crate) fn settle(&mut self, from: ShardId, to: ShardId) {
        let Some(channel) = self.shards.get(&from).and_then(|shard| shard.outgoing.get(&to)).cloned() else { return };
        let Some(end) = self.shards.get(&to).and_then(|shard| shard.incoming.get(&from)).cloned() else { return };
        let beyond = end.beyond.iter().copied().collect();
        self.append_own(from, ShardEvent::Settled { peer: to, through: end.through, beyond });
        for (number, credit) in channel.unsettled {
            let settled = end.has(number);
            assert_eq!(!settled, self.shards[&from].is_unsettled(ChannelNumber { peer: to, number }));
            if settled && shard_of(credit.payer.account) == from && self.past.contains_key(&credit.transfer.0) {
                let account = self.account(index_of(credit.payer.account));
                let now = self.now();
                if self.told.insert(credit.transfer) {
                    let (events, account) = late(&account, credit.transfer, &credit.origin, now).unwrap();
                    self.append(events, &account);
                }
            }
        }
    }

    /// An operator resolves what rests in suspense.
    pub(crate) fn resolve(&mut self, home: ShardId, transfer: TransferId, release: bool) {
        let of = self.shards[&home].suspense[&transfer].credit.clone();
        let resolution = if release {
            Resolution::Released { channel: ChannelNumber { peer: home, number: self.next_number(home, home) } }
        } else {
            Resolution::Returned(self.way_back(home, &of))
        };
        let meta = Meta { at: self.now().at, origin: origin(user(0)) };
        self.append_own(home, ShardEvent::SuspenseResolved { transfer, resolution, meta });
    }

    pub(crate) fn quarantine(&mut self, index: usize, on: bool) {
        let account = party(index).account;
        let at = self.now().at;
        let event = if on {
            ShardEvent::Quarantined { account, at }
        } else {
            ShardEvent::QuarantineEnded { account, meta: Meta { at, origin: origin(user(0)) } }
        };
        self.append_own(shard_of(account), event);
    }

    pub(crate) fn begin_term(&mut self, home: ShardId) {
        let term = self.shard(home).term + 1;
        self.append_own(home, ShardEvent::TermBegan { term });
    }
}
