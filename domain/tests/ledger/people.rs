//! The people, amounts and requests that the tables are about, and how a row is checked.

use std::time::Duration;

use domain::ids::{AccountId, HoldId, OperationId, ShardCount, ShardId, TransferId, UserId, random};
use domain::ledger::command::HOLD_LASTS;
use domain::ledger::{
    Account, Answer, By, Command, Decided, Facts, Fingerprint, Freeze, Now, Opening, Origin, Original, Party, Past,
    PastHold, Principal, Purpose, Refusal, ReleaseCause, Request, Via, decide,
};
use domain::money::{Currency, Minor};
use domain::sealed::Sealed;
use domain::time::{BusinessDay, Timestamp};
use uuid::Uuid;

/// The account of most rows is theirs.
pub(crate) const OWNER: u128 = 1;
/// Who is paid.
pub(crate) const PAYEE: u128 = 2;
/// Who has no business here.
pub(crate) const STRANGER: u128 = 3;

pub(crate) fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

pub(crate) fn party(number: u128) -> Party {
    Party { user: user(number), account: AccountId::of(user(number), Currency::Inr) }
}

pub(crate) fn minor(amount: i64) -> Minor {
    Minor::new(amount)
}

pub(crate) fn transfer_id(number: u8) -> TransferId {
    TransferId(random(party(OWNER).account, [number; 16]))
}

pub(crate) fn hold_id(number: u128) -> HoldId {
    HoldId(random(party(OWNER).account, number.to_be_bytes()))
}

pub(crate) fn origin(number: u128) -> Origin {
    let by = By { principal: Principal::Person(user(number)), session: None, device: None, via: Via::Http };
    Origin { operation: OperationId(Uuid::from_u128(77)), by, trace: None }
}

pub(crate) fn note() -> Sealed {
    Sealed { owner: user(OWNER), bytes: Box::new([9; 40]) }
}

pub(crate) fn shard_of(party: Party) -> ShardId {
    party.account.route().shard(ShardCount::DEFAULT)
}

pub(crate) const FINGERPRINT: Option<Fingerprint> = Some(Fingerprint([1; 16]));

pub(crate) fn deposit(amount: i64) -> Request {
    Request::Deposit { transfer: transfer_id(1), amount: minor(amount), fingerprint: FINGERPRINT, note: Some(note()) }
}

pub(crate) fn withdraw(amount: i64) -> Request {
    Request::Withdraw { transfer: transfer_id(1), amount: minor(amount), fingerprint: FINGERPRINT, note: Some(note()) }
}

pub(crate) fn pay(amount: i64) -> Request {
    let payee = party(PAYEE);
    Request::Transfer {
        transfer: transfer_id(1),
        payee,
        amount: minor(amount),
        fingerprint: FINGERPRINT,
        note: Some(note()),
    }
}

pub(crate) fn hold(number: u128, amount: i64) -> Request {
    Request::Hold {
        hold: hold_id(number),
        payee: party(PAYEE),
        amount: minor(amount),
        lasts: HOLD_LASTS,
        fingerprint: FINGERPRINT,
        note: Some(note()),
    }
}

pub(crate) fn capture(number: u128, by: u128, amount: Option<i64>) -> Request {
    let amount = amount.map(minor);
    let transfer = transfer_id(1);
    Request::Capture { transfer, hold: hold_id(number), by: user(by), amount, fingerprint: FINGERPRINT }
}

pub(crate) fn release(number: u128, by: u128) -> Request {
    Request::Release { hold: hold_id(number), by: user(by) }
}

pub(crate) fn refund(amount: Option<i64>) -> Request {
    let amount = amount.map(minor);
    Request::Refund { transfer: transfer_id(1), of: transfer_id(9), amount, fingerprint: FINGERPRINT }
}

pub(crate) fn freeze(debit: Option<bool>, credit: Option<bool>) -> Request {
    Request::Freeze { debit, credit, reason: Some(note()) }
}

/// The account of [`OWNER`], and all that a command to it is decided on.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) account: Account,
    pub(crate) facts: Facts,
    pub(crate) now: Now,
}

impl Subject {
    /// Nobody used it yet.
    pub(crate) fn unopened() -> Self {
        Self {
            account: Account::new(party(OWNER).account),
            facts: Facts::default(),
            now: Now { at: Timestamp(1_700_000_000_000_000), day: BusinessDay(19_675) },
        }
    }

    /// With money on it.
    pub(crate) fn with(balance: i64) -> Self {
        Self::unopened().then(&deposit(balance))
    }

    /// The same, of which 60 are held for [`PAYEE`] as hold 1.
    pub(crate) fn holding() -> Self {
        Self::with(100).then(&hold(1, 60))
    }

    pub(crate) fn frozen(mut self, debit: bool, credit: bool) -> Self {
        self.account.standing.freeze = Freeze { debit, credit };
        self
    }

    pub(crate) fn closed(mut self) -> Self {
        self.account.standing.closed = true;
        self
    }

    pub(crate) fn limited(mut self, per_transaction: Option<i64>, per_day: Option<i64>) -> Self {
        self.account.standing.limits.per_transaction = per_transaction.map(minor);
        self.account.standing.limits.per_day = per_day.map(minor);
        self
    }

    pub(crate) fn past(mut self, fingerprint: Option<Fingerprint>) -> Self {
        self.facts.past = Some(Past { offset: 2, fingerprint });
        self
    }

    /// Knows of a credit of 50 by [`PAYEE`] that `refunded` went back of.
    pub(crate) fn paid(mut self, purpose: Purpose, refunded: i64) -> Self {
        let refunded = minor(refunded);
        self.facts.original = Some(Original { payer: party(PAYEE), amount: minor(50), refunded, purpose });
        self
    }

    /// Knows that hold 1 is no more; captured, if not released.
    pub(crate) fn resolved(mut self, released: Option<ReleaseCause>) -> Self {
        self.facts.resolved = Some(PastHold { payer: user(OWNER), payee: user(PAYEE), released });
        self
    }

    pub(crate) fn later(mut self, by: Duration) -> Self {
        self.now.at = self.now.at.after(by);
        self
    }

    pub(crate) fn next_day(mut self) -> Self {
        self.now.day = BusinessDay(self.now.day.0 + 1);
        self.later(Duration::from_hours(24))
    }

    /// Decides, and checks what is true of every decision.
    pub(crate) fn ask(&self, request: &Request) -> Decided {
        let opening = Opening { owner: user(OWNER), currency: Currency::Inr };
        let command = Command { origin: origin(OWNER), opening, request: request.clone() };
        let decided = decide(&self.account, &self.facts, &command, self.now, shard_of);
        let mut folded = self.account.clone();
        for event in &decided.events {
            folded.apply(event).unwrap();
            assert_eq!((event.meta.at, &event.meta.origin), (self.now.at, &command.origin));
        }
        assert_eq!(folded, decided.account, "the account is the fold of its events");
        let expired =
            |change: &_| matches!(change, domain::ledger::Change::Released { cause: ReleaseCause::Expired, .. });
        if decided.answer != Ok(Answer::Done) {
            assert!(decided.events.iter().all(|event| expired(&event.change)), "only time may pass: {decided:?}");
        }
        decided
    }

    /// The account after a command that it must take.
    pub(crate) fn then(mut self, request: &Request) -> Self {
        let decided = self.ask(request);
        assert_eq!(decided.answer, Ok(Answer::Done), "{request:?}");
        self.account = decided.account;
        self
    }
}

/// A row of a table: its name, on what, what is asked, what is answered.
pub(crate) type Row = (&'static str, Subject, Request, Result<Answer, Refusal>);

/// Checks every row of a table.
pub(crate) fn check(rows: Vec<Row>) {
    for (name, subject, request, expected) in rows {
        let decided = subject.ask(&request);
        assert_eq!(decided.answer, expected, "{name}");
        if expected == Ok(Answer::Done) {
            assert!(!decided.events.is_empty(), "{name}: what is done is said");
        }
    }
}
