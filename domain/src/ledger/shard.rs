//! What the accounts of one shard have in common: channels, system balances, timers, suspense.
//!
//! Nothing but the fold of the shard's durable events, in the order of its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, HoldId, ShardId, TransferId};
use crate::ledger::command::Credit;
use crate::ledger::event::{By, Change, ChannelNumber, Event, Meta, Origin, Party, Purpose};
use crate::money::Currency;
use crate::time::Timestamp;

/// The most credits that may rest in a shard's suspense until an operator resolves them. Beyond it
/// credits that cannot be taken stay unacknowledged, which stops their channels.
pub const SUSPENSE_MAX: usize = 10_000;

/// The most numbers beyond the watermark that a receiver holds. Bounds its state; a number further
/// ahead waits with its sender.
pub const BEYOND_MAX: usize = 4_096;

/// An event of a shard rather than of one of its accounts. Has no offset and no follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardEvent {
    /// A writer took the shard over.
    TermBegan {
        /// Its term.
        term: u64,
    },
    /// Credits are durable with their receiver.
    Settled {
        /// The receiver.
        peer: ShardId,
        /// All numbers up to this.
        through: u64,
        /// And these single ones.
        beyond: Vec<u64>,
    },
    /// A credit could not be taken by its account and was booked to suspense.
    Diverted {
        /// The credit.
        credit: Credit,
        /// Its number on the channel from the payer's shard.
        channel: ChannelNumber,
        /// Why.
        reason: DivertReason,
        /// When.
        at: Timestamp,
        /// The transfer that takes it back; without one it rests in suspense.
        returned: Option<Return>,
    },
    /// An operator resolved what rested in suspense.
    SuspenseResolved {
        /// The transfer that rested.
        transfer: TransferId,
        /// How.
        resolution: Resolution,
        /// When, in the course of what, and by whom.
        meta: Meta,
    },
    /// An account's activations failed in a row: nothing is asked of it until it is released.
    Quarantined {
        /// The account.
        account: AccountId,
        /// When.
        at: Timestamp,
    },
    /// An operator ended a quarantine.
    QuarantineEnded {
        /// The account.
        account: AccountId,
        /// When, in the course of what, and by whom.
        meta: Meta,
    },
}

/// A transfer that takes back what could not be credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// The transfer.
    pub transfer: TransferId,
    /// The credit's number on the channel back.
    pub channel: ChannelNumber,
}

/// How an operator resolves a credit in suspense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// It is offered to its payee again.
    Released {
        /// Its number on the shard's channel to itself.
        channel: ChannelNumber,
    },
    /// It goes back to its payer.
    Returned(Return),
}

/// Why a credit went to suspense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DivertReason {
    /// The account is frozen for credits.
    Frozen,
    /// The account is closed.
    Closed,
    /// The balance would be larger than any may be.
    Full,
    /// The account is quarantined.
    Quarantined,
}

/// A credit that rests in suspense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// The credit.
    pub credit: Credit,
    /// Why.
    pub reason: DivertReason,
    /// Since when.
    pub at: Timestamp,
}

/// The sending end of the channel to one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The last number given.
    pub last: u64,
    /// Credits that the peer has not been heard to have.
    /// Shared, because who sends them keeps them too.
    pub unsettled: BTreeMap<u64, Arc<Credit>>,
}

/// The receiving end of the channel from one peer: what was booked once and for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// All numbers up to this are booked.
    pub through: u64,
    /// And these single ones.
    pub beyond: BTreeSet<u64>,
}

impl Incoming {
    /// Whether the number is booked.
    pub fn has(&self, number: u64) -> bool {
        number <= self.through || self.beyond.contains(&number)
    }

    /// Books a number. `false` if it was booked before.
    fn book(&mut self, number: u64) -> bool {
        if self.has(number) || number == 0 {
            return false;
        }
        self.beyond.insert(number);
        while self.beyond.first().is_some_and(|first| Some(*first) == self.through.checked_add(1)) {
            self.through = self.beyond.pop_first().unwrap_or(self.through);
        }
        true
    }
}

/// A currency's system accounts on one shard, and the sum of its people's.
///
/// Totals of all time: wider than any balance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// What came from outside less what went there; only this account may be below zero.
    pub world: i128,
    /// The people's accounts.
    pub people: i128,
    /// What could not be credited and has not gone back.
    pub suspense: i128,
    /// `transit:<shard>` of money sent there.
    pub sent: BTreeMap<ShardId, i128>,
    /// `transit:<shard>` of money received from there.
    pub received: BTreeMap<ShardId, i128>,
}

impl System {
    /// The sum of all accounts, system accounts included: zero, always.
    pub fn sum(&self) -> Option<i128> {
        let sent = self.sent.values().try_fold(0_i128, |sum, part| sum.checked_add(*part))?;
        let received = self.received.values().try_fold(0_i128, |sum, part| sum.checked_add(*part))?;
        self.world.checked_add(self.people)?.checked_add(self.suspense)?.checked_add(sent)?.checked_sub(received)
    }
}

/// An open hold, as the shard's timers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHold {
    /// The account that it is on.
    pub account: AccountId,
    /// When it is released by itself.
    pub expires_at: Timestamp,
}

/// The state of one shard of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The last term that began.
    pub term: u64,
    /// Sending ends.
    pub outgoing: BTreeMap<ShardId, Outgoing>,
    /// Receiving ends.
    pub incoming: BTreeMap<ShardId, Incoming>,
    /// System balances.
    pub system: BTreeMap<Currency, System>,
    /// Every open hold.
    pub holds: BTreeMap<HoldId, OpenHold>,
    /// The same by the time that they end.
    pub timers: BTreeSet<(Timestamp, HoldId)>,
    /// What rests in suspense.
    pub suspense: BTreeMap<TransferId, Suspended>,
    /// Accounts that nothing is asked of.
    pub quarantined: BTreeSet<AccountId>,
}

/// An event that does not follow from the shard's state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event does not follow from the shard's state: {0}")]
pub struct Broken(pub &'static str);

impl Shard {
    /// Takes the next event of one of the shard's accounts.
    ///
    /// # Errors
    /// The event does not follow from the state, which is then of no use.
    pub fn apply(&mut self, event: &Event) -> Result<(), Broken> {
        match &event.change {
            Change::Deposited { movement } => {
                let amount = i128::from(movement.entry.amount.get());
                self.post(movement.entry.currency, |system| {
                    add(&mut system.world, amount.checked_neg()?)?;
                    add(&mut system.people, amount)
                })
            }
            Change::Withdrawn { movement, .. } => {
                let amount = i128::from(movement.entry.amount.get());
                self.post(movement.entry.currency, |system| {
                    add(&mut system.people, amount.checked_neg()?)?;
                    add(&mut system.world, amount)
                })
            }
            Change::Debited { movement, owner, payee, channel, purpose, .. } => {
                let credit = Credit {
                    transfer: movement.transfer,
                    payer: Party { user: *owner, account: event.account },
                    payee: *payee,
                    amount: movement.entry.amount,
                    currency: movement.entry.currency,
                    purpose: *purpose,
                    note: movement.note.clone(),
                    origin: event.meta.origin.clone(),
                    debited_at: event.meta.at,
                };
                if let Purpose::Capture { hold, .. } = purpose {
                    self.unhold(*hold)?;
                }
                self.post(credit.currency, |system| {
                    add(&mut system.people, i128::from(credit.amount.get()).checked_neg()?)
                })?;
                self.send(*channel, credit)
            }
            Change::Credited { movement, channel, .. } => {
                let amount = i128::from(movement.entry.amount.get());
                self.receive(*channel, movement.entry.currency, amount)?;
                self.post(movement.entry.currency, |system| add(&mut system.people, amount))
            }
            Change::Held { hold, expires_at, .. } => {
                let open = OpenHold { account: event.account, expires_at: *expires_at };
                if self.holds.insert(*hold, open).is_some() {
                    return Err(Broken("a hold is made once"));
                }
                self.timers.insert((*expires_at, *hold));
                Ok(())
            }
            Change::Released { hold, .. } => self.unhold(*hold),
            Change::Opened { .. }
            | Change::FreezeChanged { .. }
            | Change::LimitsChanged { .. }
            | Change::Closed { .. }
            | Change::TransferUpdated { .. } => Ok(()),
        }
    }

    /// Takes the next event of the shard itself.
    ///
    /// # Errors
    /// The event does not follow from the state, which is then of no use.
    pub fn apply_own(&mut self, event: &ShardEvent) -> Result<(), Broken> {
        match event {
            ShardEvent::TermBegan { term } => {
                if *term <= self.term {
                    return Err(Broken("a term follows a later one"));
                }
                self.term = *term;
                Ok(())
            }
            ShardEvent::Settled { peer, through, beyond } => {
                let outgoing = self.outgoing.get_mut(peer).ok_or(Broken("a channel settles that was never used"))?;
                if *through > outgoing.last || beyond.iter().any(|number| *number > outgoing.last) {
                    return Err(Broken("a number settles that was never given"));
                }
                if let Some(first) = through.checked_add(1) {
                    outgoing.unsettled = outgoing.unsettled.split_off(&first);
                }
                for number in beyond {
                    outgoing.unsettled.remove(number);
                }
                Ok(())
            }
            ShardEvent::Diverted { credit, channel, reason, at, returned } => {
                let amount = i128::from(credit.amount.get());
                self.receive(*channel, credit.currency, amount)?;
                self.post(credit.currency, |system| add(&mut system.suspense, amount))?;
                match returned {
                    Some(_) if matches!(credit.purpose, Purpose::Return { .. }) => {
                        Err(Broken("a return returns by itself"))
                    }
                    Some(back) => self.send_back(credit, *back),
                    None => {
                        let suspended = Suspended { credit: credit.clone(), reason: *reason, at: *at };
                        if self.suspense.insert(credit.transfer, suspended).is_some() {
                            return Err(Broken("a credit rests in suspense twice"));
                        }
                        Ok(())
                    }
                }
            }
            ShardEvent::SuspenseResolved { transfer, resolution, .. } => {
                let Suspended { credit, .. } =
                    self.suspense.remove(transfer).ok_or(Broken("nothing rests in suspense"))?;
                match resolution {
                    Resolution::Returned(back) => self.send_back(&credit, *back),
                    Resolution::Released { channel } => {
                        let amount = i128::from(credit.amount.get());
                        self.post(credit.currency, |system| add(&mut system.suspense, amount.checked_neg()?))?;
                        self.send(*channel, credit)
                    }
                }
            }
            ShardEvent::Quarantined { account, .. } => {
                self.quarantined.insert(*account);
                Ok(())
            }
            ShardEvent::QuarantineEnded { account, .. } => {
                self.quarantined.remove(account);
                Ok(())
            }
        }
    }

    /// The credit that takes `credit` back as `back`.
    pub fn return_of(credit: &Credit, back: Return) -> Credit {
        let origin = Origin { by: By::SYSTEM, ..credit.origin.clone() };
        let refund_of = match credit.purpose {
            Purpose::Refund { of } => Some(of),
            _ => None,
        };
        Credit {
            transfer: back.transfer,
            payer: credit.payee,
            payee: credit.payer,
            amount: credit.amount,
            currency: credit.currency,
            purpose: Purpose::Return { of: credit.transfer, refund_of },
            note: None,
            origin,
            debited_at: credit.debited_at,
        }
    }

    /// Whether a transfer's credit has not been heard to be with its receiver.
    pub fn is_unsettled(&self, channel: ChannelNumber) -> bool {
        self.outgoing.get(&channel.peer).is_some_and(|outgoing| outgoing.unsettled.contains_key(&channel.number))
    }

    /// Whether every currency's accounts sum to zero.
    pub fn sums_to_zero(&self) -> bool {
        self.system.values().all(|system| system.sum() == Some(0))
    }

    fn send_back(&mut self, credit: &Credit, back: Return) -> Result<(), Broken> {
        let amount = i128::from(credit.amount.get());
        self.post(credit.currency, |system| add(&mut system.suspense, amount.checked_neg()?))?;
        self.send(back.channel, Self::return_of(credit, back))
    }

    fn send(&mut self, channel: ChannelNumber, credit: Credit) -> Result<(), Broken> {
        let amount = i128::from(credit.amount.get());
        self.post(credit.currency, |system| add(system.sent.entry(channel.peer).or_default(), amount))?;
        let outgoing = self.outgoing.entry(channel.peer).or_default();
        if Some(channel.number) != outgoing.last.checked_add(1) {
            return Err(Broken("a channel's number is not the next"));
        }
        outgoing.last = channel.number;
        outgoing.unsettled.insert(channel.number, Arc::new(credit));
        Ok(())
    }

    fn receive(&mut self, channel: ChannelNumber, currency: Currency, amount: i128) -> Result<(), Broken> {
        if !self.incoming.entry(channel.peer).or_default().book(channel.number) {
            return Err(Broken("a channel's number is booked twice"));
        }
        self.post(currency, |system| add(system.received.entry(channel.peer).or_default(), amount))
    }

    fn unhold(&mut self, hold: HoldId) -> Result<(), Broken> {
        let open = self.holds.remove(&hold).ok_or(Broken("a hold is resolved that is not open"))?;
        self.timers.remove(&(open.expires_at, hold));
        Ok(())
    }

    fn post(&mut self, currency: Currency, change: impl FnOnce(&mut System) -> Option<()>) -> Result<(), Broken> {
        change(self.system.entry(currency).or_default()).ok_or(Broken("a system balance overflows"))
    }
}

fn add(balance: &mut i128, amount: i128) -> Option<()> {
    *balance = balance.checked_add(amount)?;
    Some(())
}
