//! What an account makes of a command: changes, or a named refusal.

use crate::ids::{HoldId, ShardId, TransferId, UserId};
use crate::ledger::account::{Account, HOLDS_MAX, Hold, Limits, Opening, Standing};
use crate::ledger::command::{Command, Credit, Facts, HOLD_LASTS_MAX, HOLD_LASTS_MIN, Now, Past, Request};
use crate::ledger::event::{
    Balances, Change, ChannelNumber, Entry, Event, Fingerprint, LateOutcome, Meta, Movement, Origin, Party, Purpose,
    ReleaseCause,
};
use crate::ledger::refusal::Refusal;
use crate::ledger::shard::DivertReason;
use crate::money::{Currency, Minor};
use crate::sealed::Sealed;

/// What an account made of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What happened, in order. Not empty even for some refusals: holds that expired meanwhile.
    pub events: Vec<Event>,
    /// The account after them.
    pub account: Account,
    /// What to tell the caller, once the events are durable.
    pub answer: Result<Answer, Refusal>,
}

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The effect is the last of the events.
    Done,
    /// It is as asked already: nothing happened.
    Unchanged,
    /// The key's effect is an event decided before.
    Replayed(Past),
}

/// What an account made of a credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreditDecided {
    /// It took it.
    Taken {
        /// What happened, in order.
        events: Vec<Event>,
        /// The account after it.
        account: Account,
    },
    /// It cannot take it; the shard books it to suspense.
    Diverted(DivertReason),
}

/// Decides a command on the state of now.
///
/// `payee_shard` is the shard of the account that gets money, if one does. The number of the credit on
/// the channel there is left 0: the shard numbers it as it queues the event.
pub fn decide(
    account: &Account,
    facts: &Facts,
    command: &Command,
    now: Now,
    payee_shard: impl Fn(Party) -> ShardId,
) -> Decided {
    let mut draft = Draft::new(account, &command.origin, now);
    let answer = match past(facts, &command.request) {
        Some(answer) => answer,
        None => draft.expire().and_then(|()| draft.request(facts, command, &payee_shard)).map_err(Stop::refusal),
    };
    Decided { events: draft.events, account: draft.account, answer }
}

/// Decides a credit on the state of now. A credit is never refused: what an account cannot take goes
/// to suspense, because its debit is durable.
pub fn credit(account: &Account, credit: &Credit, channel: ChannelNumber, now: Now) -> CreditDecided {
    let standing = account.standing;
    if standing.closed {
        return CreditDecided::Diverted(DivertReason::Closed);
    }
    if standing.freeze.credit {
        return CreditDecided::Diverted(DivertReason::Frozen);
    }
    let mut draft = Draft::new(account, &credit.origin, now);
    let taken = draft.open(credit.payee.user, credit.currency).and_then(|()| {
        // In the credit's currency: an account of another one cannot take it, and nothing is exchanged.
        let mut movement = draft.movement(credit.transfer, credit.amount, credit.amount, None, credit.note.clone())?;
        movement.entry.currency = credit.currency;
        draft.push(Change::Credited { movement, payer: credit.payer, channel, purpose: credit.purpose })
    });
    match taken {
        Ok(()) => CreditDecided::Taken { events: draft.events, account: draft.account },
        Err(_) => CreditDecided::Diverted(DivertReason::Full),
    }
}

/// Says in the account's stream that a transfer answered as pending came to its end.
pub fn late(account: &Account, transfer: TransferId, origin: &Origin, now: Now) -> Option<(Vec<Event>, Account)> {
    let mut draft = Draft::new(account, origin, now);
    draft.push(Change::TransferUpdated { transfer, outcome: LateOutcome::Settled }).ok()?;
    Some((draft.events, draft.account))
}

/// What the key did before, if it did.
fn past(facts: &Facts, request: &Request) -> Option<Result<Answer, Refusal>> {
    let past = facts.past?;
    let same = past.fingerprint == request.fingerprint();
    Some(if same { Ok(Answer::Replayed(past)) } else { Err(Refusal::KeyReused) })
}

/// Why a draft ends: a rule, or a sum that does not fit (which the rule of the largest balance is).
enum Stop {
    Refused(Refusal),
    Overflow,
}

impl Stop {
    const fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Overflow => Refusal::BalanceLimit,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A decision in the making: the account as it would be after the events so far.
struct Draft<'a> {
    before: &'a Account,
    account: Account,
    origin: &'a Origin,
    now: Now,
    events: Vec<Event>,
}

impl<'a> Draft<'a> {
    fn new(before: &'a Account, origin: &'a Origin, now: Now) -> Self {
        Self { before, account: before.clone(), origin, now, events: Vec::new() }
    }

    /// Adds a change, if the account can take it.
    fn push(&mut self, change: Change) -> Result<(), Stop> {
        let unchanged = self.account.clone();
        self.push_or_spoil(change).inspect_err(|_| self.account = unchanged)
    }

    /// Adds a change. The account is of no use if it cannot take it.
    fn push_or_spoil(&mut self, change: Change) -> Result<(), Stop> {
        let offset = self.account.head.checked_add(1).ok_or(Stop::Overflow)?;
        self.account.change(&change).map_err(|_| Stop::Overflow)?;
        self.account.head = offset;
        let meta = Meta { at: self.now.at, origin: self.origin.clone() };
        self.events.push(Event { account: self.account.id, offset, meta, change });
        Ok(())
    }

    /// Opens the account, unless it is open.
    fn open(&mut self, owner: UserId, currency: Currency) -> Result<(), Stop> {
        if self.account.opening.is_some() { Ok(()) } else { self.push(Change::Opened { owner, currency }) }
    }

    /// Releases all holds whose time is over, oldest first: a rule that looked at some of them would
    /// refuse money that is free, or pay out a hold that is not. [`HOLDS_MAX`] bounds the events, which
    /// fit into one record of the journal.
    fn expire(&mut self) -> Result<(), Stop> {
        let mut due: Vec<_> = (self.account.holds.iter())
            .filter(|(_, hold)| hold.expires_at <= self.now.at)
            .map(|(id, hold)| (hold.expires_at, *id, hold.amount))
            .collect();
        due.sort_unstable();
        // One copy for all of them: a copy for each would take time by the square of the holds.
        for (_, hold, amount) in due {
            let expired = self.released(hold, amount, ReleaseCause::Expired);
            if let Err(stop) = expired.and_then(|change| self.push_or_spoil(change)) {
                self.account = self.before.clone();
                self.events.clear();
                return Err(stop);
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        facts: &Facts,
        command: &Command,
        payee_shard: &impl Fn(Party) -> ShardId,
    ) -> Result<Answer, Stop> {
        // Rules come before `open`: a command that is refused must not open the account.
        let opening = command.opening;
        match &command.request {
            Request::Deposit { transfer, amount, fingerprint, note } => {
                self.not_closed()?;
                self.not_frozen(|standing| standing.freeze.credit)?;
                in_range(*amount)?;
                self.fits(*amount)?;
                self.open(opening.owner, opening.currency)?;
                let movement = self.movement(*transfer, *amount, *amount, *fingerprint, note.clone())?;
                self.push(Change::Deposited { movement })?;
            }
            Request::Withdraw { transfer, amount, fingerprint, note } => {
                self.may_spend(*amount, None)?;
                self.suffices(*amount)?;
                let movement = self.movement(*transfer, *amount, negative(*amount)?, *fingerprint, note.clone())?;
                self.push(Change::Withdrawn { movement, day: self.now.day })?;
            }
            Request::Transfer { transfer, payee, amount, fingerprint, note } => {
                self.may_spend(*amount, Some(*payee))?;
                self.suffices(*amount)?;
                let movement = self.movement(*transfer, *amount, negative(*amount)?, *fingerprint, note.clone())?;
                self.debit(movement, *payee, Purpose::Transfer, payee_shard)?;
            }
            Request::Hold { hold, payee, amount, lasts, fingerprint, note } => {
                self.may_spend_for(*lasts, *amount, *payee)?;
                self.suffices(*amount)?;
                let held = self.account.balances.held.plus(*amount).ok_or(Stop::Overflow)?;
                let Opening { owner, currency } = self.opening()?;
                self.push(Change::Held {
                    hold: *hold,
                    amount: *amount,
                    currency,
                    owner,
                    payee: *payee,
                    expires_at: self.now.at.after(*lasts),
                    day: self.now.day,
                    after: Balances { held, ..self.account.balances },
                    fingerprint: *fingerprint,
                    note: note.clone(),
                })?;
            }
            Request::Capture { transfer, hold, by, amount, fingerprint } => {
                let open = self.open_hold(*hold, facts, |payer, payee| *by == payee && *by != payer)?;
                self.not_frozen(|standing| standing.freeze.debit)?;
                let amount = amount.unwrap_or(open.amount);
                in_range(amount)?;
                if amount > open.amount {
                    return Err(Refusal::CaptureExceedsHold.into());
                }
                let mut movement = self.movement(*transfer, amount, negative(amount)?, *fingerprint, None)?;
                movement.entry.after.held = movement.entry.after.held.minus(open.amount).ok_or(Stop::Overflow)?;
                let purpose = Purpose::Capture { hold: *hold, held: open.amount };
                self.debit(movement, open.payee, purpose, payee_shard)?;
            }
            Request::Release { hold, by } => {
                if let Some(answer) = already_released(facts, *by) {
                    return answer;
                }
                let open = self.open_hold(*hold, facts, |payer, payee| *by == payee || *by == payer)?;
                let cause = if *by == open.payee.user { ReleaseCause::Payee } else { ReleaseCause::Payer };
                self.push(self.released(*hold, open.amount, cause)?)?;
            }
            Request::Refund { transfer, of, amount, fingerprint } => {
                let original = facts.original.ok_or(Refusal::OriginalNotFound)?;
                if !matches!(original.purpose, Purpose::Transfer | Purpose::Capture { .. }) {
                    return Err(Refusal::NotRefundable.into());
                }
                self.not_closed()?;
                self.not_frozen(|standing| standing.freeze.debit)?;
                if let Some(amount) = amount {
                    in_range(*amount)?;
                }
                let left = original.amount.minus(original.refunded).ok_or(Stop::Overflow)?;
                let amount = amount.unwrap_or(left);
                if amount > left || !left.is_positive() {
                    return Err(Refusal::RefundExceedsOriginal.into());
                }
                self.suffices(amount)?;
                let movement = self.movement(*transfer, amount, negative(amount)?, *fingerprint, None)?;
                self.debit(movement, original.payer, Purpose::Refund { of: *of }, payee_shard)?;
            }
            Request::Freeze { debit, credit, reason } => {
                self.not_closed()?;
                let freeze = self.account.standing.freeze.with(*debit, *credit);
                if freeze == self.account.standing.freeze {
                    return Ok(Answer::Unchanged);
                }
                self.open(opening.owner, opening.currency)?;
                let standing = Standing { freeze, ..self.account.standing };
                self.push(Change::FreezeChanged { standing, reason: reason.clone() })?;
            }
            Request::SetLimits { limits } => {
                self.not_closed()?;
                limits_in_range(*limits)?;
                if *limits == self.account.standing.limits {
                    return Ok(Answer::Unchanged);
                }
                self.open(opening.owner, opening.currency)?;
                self.push(Change::LimitsChanged { standing: Standing { limits: *limits, ..self.account.standing } })?;
            }
            Request::Close => return self.close(facts, command),
            Request::Expire if self.events.is_empty() => return Ok(Answer::Unchanged),
            Request::Expire => {}
        }
        Ok(Answer::Done)
    }

    fn close(&mut self, facts: &Facts, command: &Command) -> Result<Answer, Stop> {
        if self.account.standing.closed {
            return Ok(Answer::Unchanged);
        }
        if self.account.balances.posted.is_positive() {
            return Err(Refusal::NotEmpty.into());
        }
        if !self.account.holds.is_empty() {
            return Err(Refusal::HasHolds.into());
        }
        if facts.unsettled {
            return Err(Refusal::HasUnsettled.into());
        }
        // An account that nobody used is opened to be closed, so that no credit can open it later.
        self.open(command.opening.owner, command.opening.currency)?;
        self.push(Change::Closed { standing: Standing { closed: true, ..self.account.standing } })?;
        Ok(Answer::Done)
    }

    fn debit(
        &mut self,
        movement: Movement,
        payee: Party,
        purpose: Purpose,
        payee_shard: &impl Fn(Party) -> ShardId,
    ) -> Result<(), Stop> {
        let channel = ChannelNumber { peer: payee_shard(payee), number: 0 };
        let Opening { owner, .. } = self.opening()?;
        self.push(Change::Debited { movement, day: self.now.day, owner, payee, channel, purpose })
    }

    fn released(&self, hold: HoldId, amount: Minor, cause: ReleaseCause) -> Result<Change, Stop> {
        let held = self.account.balances.held.minus(amount).ok_or(Stop::Overflow)?;
        Ok(Change::Released { hold, amount, cause, after: Balances { held, ..self.account.balances } })
    }

    /// Whose money it is, and what it is kept in: as the account was opened, whoever asks.
    fn opening(&self) -> Result<Opening, Stop> {
        self.account.opening.ok_or(Stop::Overflow)
    }

    /// The next entry: `amount` as it is written, `posted` as it changes the balance.
    fn movement(
        &self,
        transfer: TransferId,
        amount: Minor,
        posted: Minor,
        fingerprint: Option<Fingerprint>,
        note: Option<Sealed>,
    ) -> Result<Movement, Stop> {
        let Opening { currency, .. } = self.opening()?;
        let after = Balances {
            posted: self.account.balances.posted.plus(posted).ok_or(Stop::Overflow)?,
            ..self.account.balances
        };
        if !after.posted.is_balance() {
            return Err(Stop::Overflow);
        }
        let number = self.account.entries.checked_add(1).ok_or(Stop::Overflow)?;
        Ok(Movement { transfer, entry: Entry { number, amount, currency, after }, fingerprint, note })
    }

    fn not_closed(&self) -> Result<(), Stop> {
        if self.account.standing.closed { Err(Refusal::AccountClosed.into()) } else { Ok(()) }
    }

    fn not_frozen(&self, stopped: impl Fn(&Standing) -> bool) -> Result<(), Stop> {
        if stopped(&self.account.standing) { Err(Refusal::AccountFrozen.into()) } else { Ok(()) }
    }

    /// The rules of all that counts as spending, but for the funds themselves.
    fn may_spend(&self, amount: Minor, payee: Option<Party>) -> Result<(), Stop> {
        self.not_closed()?;
        self.not_frozen(|standing| standing.freeze.debit)?;
        in_range(amount)?;
        if payee.is_some_and(|payee| payee.account == self.account.id) {
            return Err(Refusal::PayeeIsSelf.into());
        }
        self.within_limits(amount)
    }

    /// The same for a hold, which has a time and a place among few.
    fn may_spend_for(&self, lasts: std::time::Duration, amount: Minor, payee: Party) -> Result<(), Stop> {
        self.not_closed()?;
        self.not_frozen(|standing| standing.freeze.debit)?;
        in_range(amount)?;
        if payee.account == self.account.id {
            return Err(Refusal::PayeeIsSelf.into());
        }
        if !(HOLD_LASTS_MIN..=HOLD_LASTS_MAX).contains(&lasts) {
            return Err(Refusal::ExpiryOutOfRange.into());
        }
        self.within_limits(amount)?;
        if self.account.holds.len() >= HOLDS_MAX {
            return Err(Refusal::TooManyHolds.into());
        }
        Ok(())
    }

    fn within_limits(&self, amount: Minor) -> Result<(), Stop> {
        let limits = self.account.standing.limits;
        if limits.per_transaction.is_some_and(|most| amount > most) {
            return Err(Refusal::TransactionLimit.into());
        }
        let spent = self.account.spent_on(self.now.day).plus(amount).ok_or(Stop::Overflow)?;
        if limits.per_day.is_some_and(|most| spent > most) {
            return Err(Refusal::DayLimit.into());
        }
        Ok(())
    }

    fn suffices(&self, amount: Minor) -> Result<(), Stop> {
        if self.account.balances.available() < amount { Err(Refusal::InsufficientFunds.into()) } else { Ok(()) }
    }

    fn fits(&self, amount: Minor) -> Result<(), Stop> {
        let after = self.account.balances.posted.plus(amount).ok_or(Stop::Overflow)?;
        if after.is_balance() { Ok(()) } else { Err(Refusal::BalanceLimit.into()) }
    }

    /// The open hold, if `may` says that the caller may resolve it: asked with payer and payee.
    fn open_hold(&self, hold: HoldId, facts: &Facts, may: impl Fn(UserId, UserId) -> bool) -> Result<Hold, Stop> {
        // As it was before this decision: whether a hold expired just now is not a stranger's to know.
        if let Some(open) = self.before.holds.get(&hold) {
            if !may(self.opening()?.owner, open.payee.user) {
                return Err(Refusal::HoldForbidden.into());
            }
            let still = self.account.holds.get(&hold);
            return still.cloned().ok_or(Stop::Refused(Refusal::HoldExpired));
        }
        match facts.resolved {
            None => Err(Refusal::HoldNotFound.into()),
            Some(past) if !may(past.payer, past.payee) => Err(Refusal::HoldForbidden.into()),
            Some(past) if past.released == Some(ReleaseCause::Expired) => Err(Refusal::HoldExpired.into()),
            Some(_) => Err(Refusal::HoldResolved.into()),
        }
    }
}

/// Releasing what is released is done already, for those who may.
fn already_released(facts: &Facts, by: UserId) -> Option<Result<Answer, Stop>> {
    let past = facts.resolved?;
    let theirs = by == past.payer || by == past.payee;
    (theirs && matches!(past.released, Some(ReleaseCause::Payer | ReleaseCause::Payee)))
        .then_some(Ok(Answer::Unchanged))
}

fn in_range(amount: Minor) -> Result<(), Stop> {
    if amount.is_amount() { Ok(()) } else { Err(Refusal::AmountOutOfRange.into()) }
}

fn limits_in_range(limits: Limits) -> Result<(), Stop> {
    let fine = |limit: Option<Minor>| limit.is_none_or(Minor::is_balance);
    if fine(limits.per_transaction) && fine(limits.per_day) { Ok(()) } else { Err(Refusal::AmountOutOfRange.into()) }
}

fn negative(amount: Minor) -> Result<Minor, Stop> {
    amount.negated().ok_or(Stop::Overflow)
}
