//! An account: the fold of its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, HoldId, UserId};
use crate::ledger::event::{Balances, Change, Entry, Event, Party, Purpose};
use crate::money::{Currency, Minor};
use crate::time::{BusinessDay, Timestamp};

/// The most open holds that an account may have. Bounds its state to about 100 KiB.
pub const HOLDS_MAX: usize = 1_000;

/// Which directions of money are stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Nothing goes out.
    pub debit: bool,
    /// Nothing comes in.
    pub credit: bool,
}

/// What an account may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// In one transaction.
    pub per_transaction: Option<Minor>,
    /// In one business day: transfers, withdrawals and holds as they are made.
    pub per_day: Option<Minor>,
}

/// What an account may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Stopped directions.
    pub freeze: Freeze,
    /// Limits.
    pub limits: Limits,
    /// Ended for good.
    pub closed: bool,
}

/// An open hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How much.
    pub amount: Minor,
    /// Who may capture it.
    pub payee: Party,
    /// When it is released by itself.
    pub expires_at: Timestamp,
}

/// Who an account belongs to, and what it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Whose it is.
    pub owner: UserId,
    /// What it is kept in.
    pub currency: Currency,
}

/// What was spent on the last day that anything was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day.
    pub day: BusinessDay,
    /// How much on it.
    pub amount: Minor,
}

/// The state of one account: nothing but the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Which.
    pub id: AccountId,
    /// The offset of its last event; 0 before the first.
    pub head: u64,
    /// The number of its last entry; 0 before the first.
    pub entries: u64,
    /// `None` until it is opened.
    pub opening: Option<Opening>,
    /// What it may do.
    pub standing: Standing,
    /// What it has.
    pub balances: Balances,
    /// What counts towards the day's limit.
    pub spent: Spent,
    /// Its open holds. Shared, because states are copied with every event and holds rarely change.
    pub holds: Arc<BTreeMap<HoldId, Hold>>,
}

/// Events that do not follow from one another: the journal or a checkpoint is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {offset} of account {account} does not follow from its state: {what}")]
pub struct Broken {
    /// The account.
    pub account: AccountId,
    /// The event.
    pub offset: u64,
    /// What does not fit.
    pub what: &'static str,
}

impl Account {
    /// An account before its first event.
    pub fn new(id: AccountId) -> Self {
        Self {
            id,
            head: 0,
            entries: 0,
            opening: None,
            standing: Standing::default(),
            balances: Balances::default(),
            spent: Spent::default(),
            holds: Arc::default(),
        }
    }

    /// Takes the next event. Sees no time, so that a replay gives the same state.
    ///
    /// # Errors
    /// The event is not the next one, or its figures are not what the state makes of it. The state is
    /// then of no use.
    pub fn apply(&mut self, event: &Event) -> Result<(), Broken> {
        let id = self.id;
        let broken = |what| Broken { account: id, offset: event.offset, what };
        if event.account != self.id {
            return Err(broken("it is of another account"));
        }
        if Some(event.offset) != self.head.checked_add(1) {
            return Err(broken("its offset is not the next"));
        }
        self.change(&event.change).map_err(broken)?;
        self.head = event.offset;
        Ok(())
    }

    /// Changes all but the head.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), &'static str> {
        if self.opening.is_none() != matches!(change, Change::Opened { .. }) {
            return Err("an account opens once, before all else");
        }
        match change {
            Change::Opened { owner, currency } => {
                self.opening = Some(Opening { owner: *owner, currency: *currency });
                Ok(())
            }
            Change::Deposited { movement } | Change::Credited { movement, .. } => {
                self.enter(&movement.entry, change.posted())
            }
            Change::Withdrawn { movement, day } => {
                self.spend(*day, movement.entry.amount)?;
                self.enter(&movement.entry, change.posted())
            }
            Change::Debited { movement, day, purpose, .. } => {
                match purpose {
                    Purpose::Transfer => self.spend(*day, movement.entry.amount)?,
                    Purpose::Capture { hold, held } => self.unhold(*hold, *held)?,
                    Purpose::Refund { .. } | Purpose::Return { .. } => {}
                }
                self.enter(&movement.entry, change.posted())
            }
            Change::Held { hold, amount, currency, payee, expires_at, day, after, .. } => {
                self.is_money(*amount, *currency)?;
                self.spend(*day, *amount)?;
                self.balances.held = self.balances.held.plus(*amount).ok_or("held money overflows")?;
                let open = Hold { amount: *amount, payee: *payee, expires_at: *expires_at };
                if Arc::make_mut(&mut self.holds).insert(*hold, open).is_some() {
                    return Err("a hold is made once");
                }
                self.must_be(*after)
            }
            Change::Released { hold, amount, after, .. } => {
                self.unhold(*hold, *amount)?;
                self.must_be(*after)
            }
            Change::FreezeChanged { standing, .. }
            | Change::LimitsChanged { standing }
            | Change::Closed { standing } => {
                self.standing = *standing;
                Ok(())
            }
            Change::TransferUpdated { .. } => Ok(()),
        }
    }

    fn enter(&mut self, entry: &Entry, posted: Minor) -> Result<(), &'static str> {
        if Some(entry.number) != self.entries.checked_add(1) {
            return Err("its entry is not the next");
        }
        self.is_money(entry.amount, entry.currency)?;
        self.entries = entry.number;
        self.balances.posted = self.balances.posted.plus(posted).ok_or("the balance overflows")?;
        self.must_be(entry.after)
    }

    fn is_money(&self, amount: Minor, currency: Currency) -> Result<(), &'static str> {
        if !amount.is_amount() {
            return Err("its amount is out of range");
        }
        if self.opening.is_none_or(|opening| opening.currency != currency) {
            return Err("it is of another currency");
        }
        Ok(())
    }

    fn spend(&mut self, day: BusinessDay, amount: Minor) -> Result<(), &'static str> {
        let before = self.spent_on(day);
        self.spent = Spent { day, amount: before.plus(amount).ok_or("the day's sum overflows")? };
        Ok(())
    }

    fn unhold(&mut self, hold: HoldId, amount: Minor) -> Result<(), &'static str> {
        let open = Arc::make_mut(&mut self.holds).remove(&hold).ok_or("the hold is not open")?;
        if open.amount != amount {
            return Err("the hold is of another amount");
        }
        self.balances.held = self.balances.held.minus(amount).ok_or("held money overflows")?;
        Ok(())
    }

    fn must_be(&self, after: Balances) -> Result<(), &'static str> {
        if self.balances != after {
            return Err("its balance is not the sum of its entries");
        }
        if !after.posted.is_balance() || !after.held.is_balance() || after.held > after.posted {
            return Err("its balance is below zero or above the limit");
        }
        Ok(())
    }

    /// What counts towards the limit of `day`.
    pub fn spent_on(&self, day: BusinessDay) -> Minor {
        if self.spent.day == day { self.spent.amount } else { Minor::ZERO }
    }
}
