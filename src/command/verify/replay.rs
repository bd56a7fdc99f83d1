//! The replay: every shard and every account folded again from the first record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use domain::ids::{AccountId, HoldId, ShardCount, ShardId, TransferId};
use domain::ledger::{
    Account, Change, ChannelNumber, Credit, Event, Hold, Party, Purpose, Resolution, Shard, ShardEvent,
};
use domain::money::{Currency, Minor};
use storage::encoding::{self, Item, Span};
use storage::journal::{Hash, JournalKey, Slot, StoredRecord};
use storage::views::Position;

use crate::command::verify::channels::{Channel, Channels, Said};
use crate::command::verify::ids::Ids;
use crate::command::verify::rows::{Evidence, Rows};
use crate::command::verify::second::Suspects;
use crate::command::verify::{Figures, Finding, Total};

/// Everything that the records so far make.
pub(crate) struct Replay {
    count: ShardCount,
    evidence: Evidence,
    shards: Vec<Folded>,
    channels: Channels,
    effects: Ids,
    credits: Ids,
    holds: Ids,
    refunds: HashMap<TransferId, Refunds>,
    figures: Figures,
    /// What an account without holds has: one for all of them.
    no_holds: Arc<BTreeMap<HoldId, Hold>>,
}

/// One shard.
#[derive(Default)]
pub(crate) struct Folded {
    ledger: Shard,
    /// The last record.
    last: Slot,
    hash: Hash,
    at: domain::time::Timestamp,
    /// The sum of its accounts' balances, from the accounts themselves.
    people: BTreeMap<Currency, i128>,
    pub(crate) accounts: HashMap<AccountId, Known>,
    /// Where the views were when the verification began.
    position: Option<Position>,
    /// Accounts that changed after that, as they were there.
    pub(crate) before: HashMap<AccountId, Option<Known>>,
}

/// An account, and what its event rows come to.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) state: Account,
    pub(crate) rows: Rows,
}

/// What was given back of one transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refunds {
    pub(crate) account: AccountId,
    pub(crate) sum: Minor,
    /// The most that it ever was.
    pub(crate) most: Minor,
    /// The last refund's offset, in that account.
    pub(crate) through: u64,
}

impl Replay {
    pub(crate) fn new(count: ShardCount, positions: Vec<(JournalKey, Position)>, evidence: Evidence) -> Self {
        let mut shards: Vec<_> = count.shards().map(|_| Folded::default()).collect();
        for (key, position) in positions {
            if let Some(shard) = shards.get_mut(usize::from(key.shard.0)) {
                shard.position = Some(position);
            }
        }
        Self {
            count,
            evidence,
            shards,
            channels: Channels::default(),
            effects: Ids::default(),
            credits: Ids::default(),
            holds: Ids::default(),
            refunds: HashMap::new(),
            figures: Figures::default(),
            no_holds: Arc::default(),
        }
    }

    /// Takes the next record of the log. Answers its events and where they stand in it.
    pub(crate) fn record(&mut self, stored: &StoredRecord) -> Result<Vec<(Arc<Event>, Span)>, Finding> {
        let record = &stored.record;
        let id = record.key.shard;
        let place = || format!("shard {id}, slot {}", record.slot.0);
        let broken = |what: String| Finding::broken(place(), what);
        let damaged = |error: storage::Error| Finding::Damaged(format!("{}: {error}", place()));
        let items = encoding::read(&record.payload).map_err(damaged)?;
        let shard = self.shards.get_mut(usize::from(id.0)).ok_or_else(|| broken("there is no such shard".into()))?;
        if record.slot != shard.last.next() || record.previous != shard.hash || record.at <= shard.at {
            return Err(broken("the record does not follow from the one before".into()));
        }
        let mut events = Vec::with_capacity(items.len());
        for (span, item) in items {
            match item {
                Item::Event(event) => {
                    self.event(id, &event, span, stored).map_err(broken)?;
                    events.push((event, span));
                }
                Item::Shard(event) => self.own(id, &event).map_err(broken)?,
            }
        }
        let shard = self.shards.get_mut(usize::from(id.0)).ok_or_else(|| broken("there is no such shard".into()))?;
        (shard.last, shard.hash, shard.at) = (record.slot, stored.hash, record.at);
        shard.check_sums().map_err(broken)?;
        shard.check_position(stored).map_err(broken)?;
        self.figures.records += 1;
        Ok(events)
    }

    /// Takes an event of an account.
    fn event(&mut self, id: ShardId, event: &Arc<Event>, span: Span, stored: &StoredRecord) -> Result<(), String> {
        let account = event.account;
        if account.route().shard(self.count) != id {
            return Err(format!("account {account} is not this shard's"));
        }
        if event.meta.at > stored.record.at {
            return Err(format!("event {} of account {account} is later than its record", event.offset));
        }
        let Some(shard) = self.shards.get_mut(usize::from(id.0)) else { return Err("there is no such shard".into()) };
        shard.keep_before(account, stored.record.slot);
        let known = shard.accounts.entry(account).or_insert_with(|| Known {
            state: Account { holds: Arc::clone(&self.no_holds), ..Account::new(account) },
            rows: Rows::default(),
        });
        let before = known.state.balances.posted;
        known.state.apply(event).map_err(|broken| broken.to_string())?;
        if known.state.holds.is_empty() {
            known.state.holds = Arc::clone(&self.no_holds);
        }
        known.rows.add(event.offset, self.evidence.of_replay(stored, span));
        let moved = i128::from(known.state.balances.posted.get()) - i128::from(before.get());
        if let Some(opening) = known.state.opening {
            *shard.people.entry(opening.currency).or_default() += moved;
        }
        shard.ledger.apply(event).map_err(|broken| broken.to_string())?;
        self.figures.events += 1;
        self.note(id, event)
    }

    /// Notes what must be unique and what went through channels.
    fn note(&mut self, id: ShardId, event: &Event) -> Result<(), String> {
        let owner = event.account;
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } => {
                self.effects.add(movement.transfer.0);
                self.is_routed_here(id, movement.transfer)?;
            }
            Change::Debited { movement, payee, channel, purpose, .. } => {
                self.effects.add(movement.transfer.0);
                let (amount, currency) = (movement.entry.amount, movement.entry.currency);
                let transfer = movement.transfer;
                let said =
                    Said { number: channel.number, transfer, payer: owner, payee: payee.account, amount, currency };
                self.gave(id, *channel, *payee, said)?;
                match purpose {
                    Purpose::Capture { held, .. } if amount > *held => {
                        return Err(format!("transfer {transfer} captures more than was held"));
                    }
                    Purpose::Refund { of } => self.refund(*of, event, amount)?,
                    _ => {}
                }
            }
            Change::Credited { movement, payer, channel, purpose } => {
                self.credits.add(movement.transfer.0);
                // A refund that came back was none.
                if let Purpose::Return { refund_of: Some(of), .. } = purpose
                    && let Some(back) = movement.entry.amount.negated()
                {
                    self.refund(*of, event, back)?;
                }
                let (amount, currency) = (movement.entry.amount, movement.entry.currency);
                let (number, transfer) = (channel.number, movement.transfer);
                let said = Said { number, transfer, payer: payer.account, payee: owner, amount, currency };
                self.channels.booked(Channel { from: channel.peer, to: id }, said);
            }
            Change::Held { hold, .. } => self.holds.add(hold.0),
            _ => {}
        }
        Ok(())
    }

    fn is_routed_here(&self, id: ShardId, transfer: TransferId) -> Result<(), String> {
        if transfer.route().shard(self.count) == id {
            Ok(())
        } else {
            Err(format!("transfer {transfer} says that another shard decided it"))
        }
    }

    fn refund(&mut self, of: TransferId, event: &Event, amount: Minor) -> Result<(), String> {
        let first = Refunds { account: event.account, sum: Minor::ZERO, most: Minor::ZERO, through: 0 };
        let refunds = self.refunds.entry(of).or_insert(first);
        if refunds.account != event.account {
            return Err(format!("transfer {of} is refunded by two accounts"));
        }
        refunds.sum = refunds.sum.plus(amount).ok_or_else(|| format!("refunds of transfer {of} overflow"))?;
        refunds.most = refunds.most.max(refunds.sum);
        refunds.through = event.offset;
        Ok(())
    }

    fn gave(&mut self, id: ShardId, channel: ChannelNumber, payee: Party, said: Said) -> Result<(), String> {
        if payee.account.route().shard(self.count) != channel.peer {
            return Err(format!("transfer {} goes to a shard that its payee is not on", said.transfer));
        }
        self.channels.gave(Channel { from: id, to: channel.peer }, said);
        Ok(())
    }

    fn gave_credit(&mut self, id: ShardId, channel: ChannelNumber, credit: &Credit) -> Result<(), String> {
        self.gave(id, channel, credit.payee, Said::of(channel.number, credit))
    }

    /// Takes an event of the shard itself.
    fn own(&mut self, id: ShardId, event: &ShardEvent) -> Result<(), String> {
        match event {
            ShardEvent::Diverted { credit, channel, returned, .. } => {
                let said = Said::of(channel.number, credit);
                self.channels.booked(Channel { from: channel.peer, to: id }, said);
                if let Some(back) = returned {
                    self.effects.add(back.transfer.0);
                    self.gave_credit(id, back.channel, &Shard::return_of(credit, *back))?;
                }
            }
            ShardEvent::SuspenseResolved { transfer, resolution, .. } => {
                let suspended =
                    self.shards.get(usize::from(id.0)).and_then(|shard| shard.ledger.suspense.get(transfer));
                let credit = suspended.map(|suspended| suspended.credit.clone());
                let credit = credit.ok_or_else(|| format!("transfer {transfer} does not rest in suspense"))?;
                match resolution {
                    Resolution::Released { channel } => self.gave_credit(id, *channel, &credit)?,
                    Resolution::Returned(back) => {
                        self.effects.add(back.transfer.0);
                        self.gave_credit(id, back.channel, &Shard::return_of(&credit, *back))?;
                    }
                }
            }
            _ => {}
        }
        let Some(shard) = self.shards.get_mut(usize::from(id.0)) else { return Err("there is no such shard".into()) };
        shard.ledger.apply_own(event).map_err(|broken| broken.to_string())
    }

    /// What holds of the whole once all records are read. Answers what a second reading must settle.
    pub(crate) fn finish(&mut self) -> Result<Suspects, Finding> {
        for (id, shard) in self.each() {
            if let Some(position) = shard.position.as_ref().filter(|position| position.through > shard.last) {
                let what =
                    format!("views are at slot {}, the journal ends at slot {}", position.through.0, shard.last.0);
                return Err(Finding::broken(format!("shard {id}"), what));
            }
        }
        for (from, sender) in self.each() {
            for (to, receiver) in self.each() {
                let channel = Channel { from, to };
                self.channels.check(channel, &sender.ledger, &receiver.ledger)?;
            }
        }
        self.figures.transfers = self.effects.len() as u64;
        self.figures.accounts = self.shards.iter().map(|shard| shard.accounts.len() as u64).sum();
        Ok(Suspects {
            effects: self.effects.repeated(),
            credits: self.credits.repeated(),
            holds: self.holds.repeated(),
            refunds: self.refunds.clone(),
        })
    }

    /// Every shard.
    pub(crate) fn each(&self) -> impl Iterator<Item = (ShardId, &Folded)> {
        self.count.shards().zip(&self.shards)
    }

    /// Whether the views had this record when the verification began.
    pub(crate) fn is_in_views(&self, stored: &StoredRecord) -> bool {
        let shard = self.shards.get(usize::from(stored.record.key.shard.0));
        shard.is_some_and(|shard| shard.has_in_views(stored.record.slot))
    }

    /// What was given back of each transfer that was refunded.
    pub(crate) fn refunds(&self) -> impl Iterator<Item = (TransferId, Refunds)> {
        self.refunds.iter().map(|(transfer, refunds)| (*transfer, *refunds))
    }

    pub(crate) fn figures(&self) -> Figures {
        self.figures
    }

    /// Where all money is.
    pub(crate) fn totals(&self) -> BTreeMap<Currency, Total> {
        let mut totals: BTreeMap<Currency, Total> = BTreeMap::new();
        for (currency, system) in self.shards.iter().flat_map(|shard| &shard.ledger.system) {
            let total = totals.entry(*currency).or_default();
            total.people += system.people;
            total.world += system.world;
            total.suspense += system.suspense;
            total.transit += system.sent.values().sum::<i128>() - system.received.values().sum::<i128>();
        }
        totals
    }
}

impl Folded {
    fn has_in_views(&self, slot: Slot) -> bool {
        self.position.as_ref().is_some_and(|position| slot <= position.through)
    }

    /// Keeps an account as it was where the views are, before what comes later changes it.
    fn keep_before(&mut self, account: AccountId, slot: Slot) {
        if self.position.is_some() && !self.has_in_views(slot) && !self.before.contains_key(&account) {
            self.before.insert(account, self.accounts.get(&account).cloned());
        }
    }

    /// Each account as it was where the views were when the verification began.
    pub(crate) fn accounts_in_views(&self) -> impl Iterator<Item = (AccountId, &Known)> {
        let has_views = self.position.is_some();
        let as_of = |(account, now): (&AccountId, _)| match self.before.get(account) {
            None => Some((*account, now)),
            Some(before) => before.as_ref().map(|before| (*account, before)),
        };
        self.accounts.iter().filter(move |_| has_views).filter_map(as_of)
    }

    /// The sum over all accounts, kept apart from the shard's own, and the shard's zero.
    fn check_sums(&self) -> Result<(), String> {
        if !self.ledger.sums_to_zero() {
            return Err("the shard's accounts do not sum to zero".into());
        }
        for (currency, system) in &self.ledger.system {
            let people = self.people.get(currency).copied().unwrap_or_default();
            if system.people != people {
                let code = currency.code();
                return Err(format!("accounts have {people} {code}, and the shard counts {}", system.people));
            }
        }
        Ok(())
    }

    /// That the views' position is what the replay comes to there.
    fn check_position(&self, stored: &StoredRecord) -> Result<(), String> {
        let Some(position) = self.position.as_ref().filter(|position| position.through == stored.record.slot) else {
            return Ok(());
        };
        if position.hash != stored.hash || position.at != stored.record.at || position.term != stored.record.term {
            return Err("the views' position is of another record".into());
        }
        let state: Shard = encoding::read_state(&position.state).map_err(|error| error.to_string())?;
        if state == self.ledger { Ok(()) } else { Err("the shard's state in the views is not the replay's".into()) }
    }
}

/// Ids in 64 bits that are suspected of being there twice.
pub(crate) type ShortIds = HashSet<u64>;
