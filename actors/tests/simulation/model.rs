//! What must hold of all that is durable, checked with every record as it lands.
//!
//! Replays the journals with the domain's folds, and keeps what a view must say beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::ids::{AccountId, ShardId, TransferId};
use domain::ledger::{Account, Change, ChannelNumber, Credit, DivertReason, Event, Purpose, Shard, ShardEvent};
use domain::money::Minor;
use storage::encoding::{self, Item};
use storage::journal::Record;
use uuid::Uuid;

/// A credit, as its account has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credited {
    pub account: AccountId,
    pub offset: u64,
    pub amount: Minor,
}

/// The fold of everything durable.
pub(crate) struct Model {
    pub shards: Vec<Shard>,
    pub accounts: BTreeMap<AccountId, Account>,
    pub events: BTreeMap<(AccountId, u64), Arc<Event>>,
    /// By the id that a command's effect has.
    pub effects: BTreeMap<Uuid, (AccountId, u64)>,
    pub credits: BTreeMap<TransferId, Credited>,
    pub refunded: BTreeMap<TransferId, (Minor, u64)>,
    /// Transfers whose other side is durable: credited, or booked to suspense.
    pub delivered: BTreeSet<TransferId>,
    /// Transfers that were booked to suspense.
    pub diverted: BTreeSet<TransferId>,
    pub returned: BTreeSet<TransferId>,
    /// Ids of commands whose callers were told that nothing happened.
    pub refused: BTreeSet<Uuid>,
    /// Failures that were put into accounts, since their last quarantine.
    pub failures: BTreeMap<AccountId, u32>,
    pub quarantines: u32,
    /// What came from outside less what went there.
    pub inside: i128,
}

impl Model {
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            accounts: BTreeMap::new(),
            events: BTreeMap::new(),
            effects: BTreeMap::new(),
            credits: BTreeMap::new(),
            refunded: BTreeMap::new(),
            delivered: BTreeSet::new(),
            diverted: BTreeSet::new(),
            returned: BTreeSet::new(),
            refused: BTreeSet::new(),
            failures: BTreeMap::new(),
            quarantines: 0,
            inside: 0,
        }
    }

    /// Takes the next record of a shard.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), String> {
        let shard = record.key.shard;
        let place = |what: String| format!("shard {shard}, slot {}: {what}", record.slot.0);
        let items = encoding::read(&record.payload).map_err(|error| place(error.to_string()))?;
        for (_, item) in items {
            match item {
                Item::Event(event) => self.event(shard, &event).map_err(place)?,
                Item::Shard(event) => self.own(shard, &event).map_err(place)?,
            }
        }
        if !self.shard(shard).sums_to_zero() {
            return Err(place("the shard's accounts do not sum to zero".into()));
        }
        Ok(())
    }

    pub(crate) fn shard(&mut self, shard: ShardId) -> &mut Shard {
        &mut self.shards[usize::from(shard.0)]
    }

    fn event(&mut self, shard: ShardId, event: &Arc<Event>) -> Result<(), String> {
        let account = self.accounts.entry(event.account).or_insert_with(|| Account::new(event.account));
        if let Some(before) = self.events.get(&(event.account, event.offset.saturating_sub(1)))
            && before.meta.at > event.meta.at
        {
            return Err(format!("event {} of {} is older than the one before", event.offset, event.account));
        }
        account.apply(event).map_err(|broken| broken.to_string())?;
        self.shard(shard).apply(event).map_err(|broken| broken.to_string())?;
        self.events.insert((event.account, event.offset), Arc::clone(event));
        match &event.change {
            Change::Deposited { movement } => {
                self.inside += i128::from(movement.entry.amount.get());
                self.effect(movement.transfer.0, event)
            }
            Change::Withdrawn { movement, .. } => {
                self.inside -= i128::from(movement.entry.amount.get());
                self.effect(movement.transfer.0, event)
            }
            Change::Debited { movement, purpose, .. } => {
                if let Purpose::Refund { of } = purpose {
                    self.refund(*of, event, movement.entry.amount)?;
                }
                self.effect(movement.transfer.0, event)
            }
            Change::Credited { movement, channel, purpose, .. } => {
                self.sent(*channel, shard, movement.transfer)?;
                self.delivered.insert(movement.transfer);
                if let Purpose::Return { of, refund_of } = purpose {
                    self.returned.insert(*of);
                    if let Some(original) = refund_of {
                        // What came back of a refund may be refunded again.
                        let refunded = self.refunded.entry(*original).or_default();
                        refunded.0 = refunded.0.minus(movement.entry.amount).unwrap_or(Minor::MAX);
                        refunded.1 = event.offset;
                    }
                }
                let credited = Credited { account: event.account, offset: event.offset, amount: movement.entry.amount };
                match self.credits.insert(movement.transfer, credited) {
                    None => Ok(()),
                    Some(_) => Err(format!("transfer {} is credited twice", movement.transfer)),
                }
            }
            Change::Held { hold, .. } => self.effect(hold.0, event),
            _ => Ok(()),
        }
    }

    /// What is booked at its receiver is durable at its sender, and not known there to be booked.
    fn sent(&mut self, channel: ChannelNumber, to: ShardId, transfer: TransferId) -> Result<(), String> {
        let outgoing = self.shard(channel.peer).outgoing.get(&to);
        let sent = outgoing.and_then(|outgoing| outgoing.unsettled.get(&channel.number));
        match sent {
            Some(credit) if credit.transfer == transfer => Ok(()),
            _ => Err(format!("transfer {transfer} is booked as {channel:?}, and its debit is not durable")),
        }
    }

    fn effect(&mut self, id: Uuid, event: &Event) -> Result<(), String> {
        if self.refused.contains(&id) {
            return Err(format!("the effect of {id}, which was refused, happened"));
        }
        match self.effects.insert(id, (event.account, event.offset)) {
            None => Ok(()),
            Some(_) => Err(format!("{id} has two effects")),
        }
    }

    fn refund(&mut self, of: TransferId, event: &Event, amount: Minor) -> Result<(), String> {
        let credit = self.credits.get(&of).filter(|credit| credit.account == event.account);
        let credit = credit.ok_or_else(|| format!("{of} is refunded by an account that never had it"))?;
        let refunded = self.refunded.entry(of).or_default();
        refunded.0 = refunded.0.plus(amount).unwrap_or(Minor::MAX);
        refunded.1 = event.offset;
        if refunded.0 > credit.amount { Err(format!("{of} is refunded beyond its amount")) } else { Ok(()) }
    }

    fn own(&mut self, shard: ShardId, event: &ShardEvent) -> Result<(), String> {
        self.shard(shard).apply_own(event).map_err(|broken| broken.to_string())?;
        match event {
            ShardEvent::Diverted { credit, channel, reason, .. } => {
                self.sent(*channel, shard, credit.transfer)?;
                self.divert(credit, *reason)
            }
            ShardEvent::Settled { peer, through, .. } => self.settled(shard, *peer, *through),
            ShardEvent::Quarantined { account, .. } => {
                self.quarantines += 1;
                match self.failures.remove(account) {
                    Some(3..) => Ok(()),
                    failures => Err(format!("account {account} is quarantined after {failures:?} failures")),
                }
            }
            _ => Ok(()),
        }
    }

    fn divert(&mut self, credit: &Credit, reason: DivertReason) -> Result<(), String> {
        self.delivered.insert(credit.transfer);
        self.diverted.insert(credit.transfer);
        if reason == DivertReason::Quarantined && self.quarantines == 0 {
            return Err(format!("transfer {} is diverted for a quarantine that never was", credit.transfer));
        }
        Ok(())
    }

    /// What is settled must be with its receiver.
    fn settled(&mut self, from: ShardId, to: ShardId, through: u64) -> Result<(), String> {
        let there = self.shard(to).incoming.get(&from).is_some_and(|incoming| (1..=through).all(|n| incoming.has(n)));
        if there || through == 0 {
            Ok(())
        } else {
            Err(format!("numbers up to {through} to {to} are settled, not there"))
        }
    }

    /// How many entries an account has up to an event.
    pub(crate) fn entries(&self, account: AccountId, offset: u64) -> u64 {
        let events = self.events.range((account, 0)..=(account, offset));
        events.filter(|(_, event)| event.change.movement().is_some()).count() as u64
    }

    /// Credits that are not known to be with their receivers.
    pub(crate) fn unsettled(&self) -> usize {
        self.shards.iter().flat_map(|shard| shard.outgoing.values()).map(|outgoing| outgoing.unsettled.len()).sum()
    }
}
