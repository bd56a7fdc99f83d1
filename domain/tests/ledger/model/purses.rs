//! What commands must come to, from plain sums: no events, no offsets, no shards.
//!
//! Every rule is asked on its own, and of all broken ones the least by [`Refusal`]'s order is expected;
//! the rules under test stop at the first instead.

use std::collections::BTreeMap;

use domain::ids::{HoldId, TransferId};
use domain::ledger::{Answer, DivertReason, Fingerprint, Now, Refusal};
use domain::money::MINOR_MAX;
use uuid::Uuid;

/// One account, and what became of all it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Purse {
    pub(crate) posted: i64,
    pub(crate) entries: u64,
    pub(crate) frozen_out: bool,
    pub(crate) frozen_in: bool,
    pub(crate) closed: bool,
    pub(crate) quarantined: bool,
    pub(crate) per_transaction: Option<i64>,
    pub(crate) per_day: Option<i64>,
    spent: BTreeMap<i32, i64>,
    pub(crate) holds: BTreeMap<HoldId, Held>,
    gone: BTreeMap<HoldId, (usize, How)>,
    done: BTreeMap<Uuid, Option<Fingerprint>>,
    /// What came in by transfer.
    pub(crate) came: BTreeMap<TransferId, Came>,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) amount: i64,
    pub(crate) payee: usize,
    pub(crate) until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Captured,
    Released,
    Expired,
}

#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) amount: i64,
    /// How much of it went back.
    pub(crate) back: i64,
    pub(crate) refundable: bool,
}

/// What is asked, in the model's words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Deposit { amount: i64 },
    Withdraw { amount: i64 },
    Pay { to: usize, amount: i64 },
    Hold { hold: HoldId, to: usize, amount: i64, seconds: u64 },
    Capture { hold: HoldId, by: usize, amount: Option<i64> },
    Release { hold: HoldId, by: usize },
    Refund { of: TransferId, amount: Option<i64> },
    Freeze { out: Option<bool>, into: Option<bool> },
    Limits { per_transaction: Option<i64>, per_day: Option<i64> },
    Close { unsettled: bool },
    Expire,
}

#[derive(Default)]
pub(crate) struct Purses {
    pub(crate) all: BTreeMap<usize, Purse>,
    /// What came from outside less what went there, by account.
    pub(crate) from_outside: BTreeMap<usize, i128>,
    /// Refunds on their way: whose, of what, how much.
    refunds: BTreeMap<TransferId, (usize, TransferId, i64)>,
}

impl Purses {
    pub(crate) fn of(&mut self, index: usize) -> &mut Purse {
        self.all.entry(index).or_default()
    }

    /// What the command must be answered; what it does is done.
    pub(crate) fn ask(
        &mut self,
        index: usize,
        id: Option<(Uuid, Option<Fingerprint>)>,
        ask: Ask,
        now: Now,
    ) -> Result<Expected, Refusal> {
        let purse = self.of(index);
        if let Some((id, fingerprint)) = id
            && let Some(before) = purse.done.get(&id)
        {
            return if *before == fingerprint { Ok(Expected::Replayed) } else { Err(Refusal::KeyReused) };
        }
        let open_before = purse.holds.clone();
        purse.expire(now);
        let broken = purse.broken(index, ask, now, &open_before);
        if let Some(refusal) = broken.into_iter().min() {
            return Err(refusal);
        }
        if purse.is_as_asked(ask, open_before.len() != purse.holds.len()) {
            return Ok(Expected::Unchanged);
        }
        if let Some((id, fingerprint)) = id {
            purse.done.insert(id, fingerprint);
        }
        match ask {
            Ask::Deposit { amount } => *self.from_outside.entry(index).or_default() += i128::from(amount),
            Ask::Withdraw { amount } => *self.from_outside.entry(index).or_default() -= i128::from(amount),
            Ask::Refund { of, amount } => {
                let came = &self.all[&index].came[&of];
                let amount = amount.unwrap_or(came.amount - came.back);
                let (id, _) = id.unwrap();
                self.refunds.insert(TransferId(id), (index, of, amount));
            }
            _ => {}
        }
        self.of(index).take(ask, now);
        Ok(Expected::Done)
    }

    /// What must become of a credit; if it is taken, it is.
    pub(crate) fn credit(&mut self, to: usize, transfer: TransferId, came: Came) -> Result<(), DivertReason> {
        let purse = self.of(to);
        if purse.quarantined {
            return Err(DivertReason::Quarantined);
        }
        if purse.closed {
            return Err(DivertReason::Closed);
        }
        if purse.frozen_in {
            return Err(DivertReason::Frozen);
        }
        if purse.posted + came.amount > MINOR_MAX {
            return Err(DivertReason::Full);
        }
        purse.posted += came.amount;
        purse.entries += 1;
        purse.came.insert(transfer, came);
        Ok(())
    }

    /// What came back is not given back.
    pub(crate) fn came_back(&mut self, of: TransferId) {
        if let Some((index, of, amount)) = self.refunds.get(&of).copied() {
            self.of(index).came.get_mut(&of).unwrap().back -= amount;
        }
    }
}

/// What a command that breaks no rule comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expected {
    Done,
    Unchanged,
    Replayed,
}

impl Expected {
    pub(crate) fn is(self, answer: Answer) -> bool {
        match answer {
            Answer::Done => self == Self::Done,
            Answer::Unchanged => self == Self::Unchanged,
            Answer::Replayed(_) => self == Self::Replayed,
        }
    }
}

impl Purse {
    pub(crate) fn held(&self) -> i64 {
        self.holds.values().map(|held| held.amount).sum()
    }

    fn expire(&mut self, now: Now) {
        let (over, open) = std::mem::take(&mut self.holds).into_iter().partition(|(_, held)| held.until <= now.at.0);
        self.holds = open;
        let over: BTreeMap<HoldId, Held> = over;
        self.gone.extend(over.into_iter().map(|(id, held)| (id, (held.payee, How::Expired))));
    }

    fn broken(&self, index: usize, ask: Ask, now: Now, open_before: &BTreeMap<HoldId, Held>) -> Vec<Refusal> {
        let mut broken = Vec::new();
        let mut must = |holds: bool, refusal| {
            if !holds {
                broken.push(refusal);
            }
        };
        let amount_is_fine = |amount: i64| (1..=MINOR_MAX).contains(&amount);
        match ask {
            Ask::Deposit { amount } => {
                must(!self.closed, Refusal::AccountClosed);
                must(!self.frozen_in, Refusal::AccountFrozen);
                must(amount_is_fine(amount), Refusal::AmountOutOfRange);
                must(self.posted + amount <= MINOR_MAX, Refusal::BalanceLimit);
            }
            Ask::Withdraw { amount } | Ask::Pay { amount, .. } | Ask::Hold { amount, .. } => {
                must(!self.closed, Refusal::AccountClosed);
                must(!self.frozen_out, Refusal::AccountFrozen);
                must(amount_is_fine(amount), Refusal::AmountOutOfRange);
                must(self.per_transaction.is_none_or(|most| amount <= most), Refusal::TransactionLimit);
                let spent = self.spent.get(&now.day.0).copied().unwrap_or(0);
                must(self.per_day.is_none_or(|most| spent + amount <= most), Refusal::DayLimit);
                must(self.posted - self.held() >= amount, Refusal::InsufficientFunds);
                if let Ask::Pay { to, .. } | Ask::Hold { to, .. } = ask {
                    must(to != index, Refusal::PayeeIsSelf);
                }
                if let Ask::Hold { seconds, .. } = ask {
                    must((1..=30 * 86_400).contains(&seconds), Refusal::ExpiryOutOfRange);
                }
            }
            Ask::Capture { hold, by, .. } | Ask::Release { hold, by } => {
                let payee = (self.holds.get(&hold).map(|held| held.payee))
                    .or_else(|| open_before.get(&hold).map(|held| held.payee))
                    .or_else(|| self.gone.get(&hold).map(|(payee, _)| *payee));
                let gone = self.gone.get(&hold).map(|(_, how)| *how);
                let may_release = matches!(ask, Ask::Release { .. });
                must(payee.is_some(), Refusal::HoldNotFound);
                must(payee.is_none_or(|payee| by == payee || may_release && by == index), Refusal::HoldForbidden);
                must(gone != Some(How::Expired), Refusal::HoldExpired);
                must(gone != Some(How::Captured), Refusal::HoldResolved);
                must(gone != Some(How::Released) || may_release, Refusal::HoldResolved);
                if let (Ask::Capture { amount, .. }, Some(held)) = (ask, self.holds.get(&hold)) {
                    let amount = amount.unwrap_or(held.amount);
                    must(!self.frozen_out, Refusal::AccountFrozen);
                    must(amount_is_fine(amount), Refusal::AmountOutOfRange);
                    must(amount <= held.amount, Refusal::CaptureExceedsHold);
                }
            }
            Ask::Refund { of, amount } => {
                must(!self.closed, Refusal::AccountClosed);
                must(!self.frozen_out, Refusal::AccountFrozen);
                must(amount.is_none_or(amount_is_fine), Refusal::AmountOutOfRange);
                let came = self.came.get(&of);
                must(came.is_some(), Refusal::OriginalNotFound);
                if let Some(came) = came {
                    let left = came.amount - came.back;
                    let amount = amount.unwrap_or(left);
                    must(came.refundable, Refusal::NotRefundable);
                    must(left > 0 && amount <= left, Refusal::RefundExceedsOriginal);
                    must(self.posted - self.held() >= amount, Refusal::InsufficientFunds);
                }
            }
            Ask::Freeze { .. } => must(!self.closed, Refusal::AccountClosed),
            Ask::Limits { per_transaction, per_day } => {
                let fine = |limit: Option<i64>| limit.is_none_or(|limit| (0..=MINOR_MAX).contains(&limit));
                must(!self.closed, Refusal::AccountClosed);
                must(fine(per_transaction) && fine(per_day), Refusal::AmountOutOfRange);
            }
            Ask::Close { unsettled } if !self.closed => {
                must(self.posted == 0, Refusal::NotEmpty);
                must(self.holds.is_empty(), Refusal::HasHolds);
                must(!unsettled, Refusal::HasUnsettled);
            }
            Ask::Close { .. } | Ask::Expire => {}
        }
        broken
    }

    /// Nothing is left to do.
    fn is_as_asked(&self, ask: Ask, expired: bool) -> bool {
        match ask {
            Ask::Release { hold, .. } => self.gone.contains_key(&hold),
            Ask::Freeze { out, into } => {
                out.is_none_or(|out| out == self.frozen_out) && into.is_none_or(|into| into == self.frozen_in)
            }
            Ask::Limits { per_transaction, per_day } => {
                (per_transaction, per_day) == (self.per_transaction, self.per_day)
            }
            Ask::Close { .. } => self.closed,
            Ask::Expire => !expired,
            _ => false,
        }
    }

    fn take(&mut self, ask: Ask, now: Now) {
        let mut go_out = |amount: i64| {
            self.posted -= amount;
            self.entries += 1;
        };
        match ask {
            Ask::Deposit { amount } => {
                self.posted += amount;
                self.entries += 1;
            }
            Ask::Withdraw { amount } | Ask::Pay { amount, .. } => {
                go_out(amount);
                *self.spent.entry(now.day.0).or_default() += amount;
            }
            Ask::Hold { hold, to, amount, seconds } => {
                *self.spent.entry(now.day.0).or_default() += amount;
                self.holds.insert(hold, Held { amount, payee: to, until: now.at.0 + seconds * 1_000_000 });
            }
            Ask::Capture { hold, amount, .. } => {
                let held = self.holds.remove(&hold).unwrap();
                self.gone.insert(hold, (held.payee, How::Captured));
                go_out(amount.unwrap_or(held.amount));
            }
            Ask::Release { hold, .. } => {
                let held = self.holds.remove(&hold).unwrap();
                self.gone.insert(hold, (held.payee, How::Released));
            }
            Ask::Refund { of, amount } => {
                let came = self.came.get_mut(&of).unwrap();
                let amount = amount.unwrap_or(came.amount - came.back);
                came.back += amount;
                go_out(amount);
            }
            Ask::Freeze { out, into } => {
                self.frozen_out = out.unwrap_or(self.frozen_out);
                self.frozen_in = into.unwrap_or(self.frozen_in);
            }
            Ask::Limits { per_transaction, per_day } => {
                (self.per_transaction, self.per_day) = (per_transaction, per_day);
            }
            Ask::Close { .. } => self.closed = true,
            Ask::Expire => {}
        }
    }

    /// The holds that were ever made and are gone, for a history to ask again for.
    pub(crate) fn gone(&self) -> impl Iterator<Item = (HoldId, usize)> {
        self.gone.iter().map(|(id, (payee, _))| (*id, *payee))
    }
}
