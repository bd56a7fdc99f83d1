//! An entry of an account, as its owner sees it.

use actors::call::Status;
use domain::ids::UserId;
use domain::ledger::{Change, Event, Movement, Purpose};
use domain::money::Minor;
use protocol::amount::Major;
use protocol::http::transaction::{Direction, Transaction, TransactionKind, TransactionStatus};
use protocol::value::Time;

use crate::app::App;
use crate::failure::Failure;
use crate::present::note::Note;

/// What is known of an entry beside its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// How far it is; not said in the live message of a debit.
    pub status: Option<TransactionStatus>,
    /// How much of it was given back.
    pub refunded: Option<Minor>,
}

impl Beside {
    /// It is complete and nothing of it was given back.
    pub const COMPLETED: Self = Self { status: Some(TransactionStatus::Completed), refunded: None };
}

/// The protocol's word for how far a transfer is.
pub const fn status_of(status: Status) -> TransactionStatus {
    match status {
        Status::Completed => TransactionStatus::Completed,
        Status::Pending => TransactionStatus::Pending,
        Status::Returned => TransactionStatus::Returned,
    }
}

/// What an entry is, read from its event.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The movement.
    pub movement: &'a Movement,
    /// Why it moved.
    pub kind: TransactionKind,
    /// In or out.
    pub direction: Direction,
    /// The other person; none for deposits and withdrawals.
    pub counterparty: Option<UserId>,
    /// What it gives back.
    pub reverses: Option<domain::ids::TransferId>,
}

impl<'a> Entry<'a> {
    /// The entry that an event makes, if it makes one.
    pub const fn of(event: &'a Event) -> Option<Self> {
        match &event.change {
            Change::Deposited { movement } => Some(Self {
                movement,
                kind: TransactionKind::Deposit,
                direction: Direction::Credit,
                counterparty: None,
                reverses: None,
            }),
            Change::Withdrawn { movement, .. } => Some(Self {
                movement,
                kind: TransactionKind::Withdrawal,
                direction: Direction::Debit,
                counterparty: None,
                reverses: None,
            }),
            Change::Debited { movement, payee, purpose, .. } => {
                let (kind, reverses) = purposes(*purpose);
                Some(Self { movement, kind, direction: Direction::Debit, counterparty: Some(payee.user), reverses })
            }
            Change::Credited { movement, payer, purpose, .. } => {
                let (kind, reverses) = purposes(*purpose);
                Some(Self { movement, kind, direction: Direction::Credit, counterparty: Some(payer.user), reverses })
            }
            _ => None,
        }
    }

    /// Whether it may be given back in part or whole.
    pub const fn is_refundable(&self) -> bool {
        matches!(self.kind, TransactionKind::Transfer | TransactionKind::Capture)
    }

    /// Whether its money is on its way to somebody else until that side has it.
    pub const fn is_sent(&self) -> bool {
        matches!(self.direction, Direction::Debit) && self.counterparty.is_some()
    }
}

const fn purposes(purpose: Purpose) -> (TransactionKind, Option<domain::ids::TransferId>) {
    match purpose {
        Purpose::Transfer => (TransactionKind::Transfer, None),
        Purpose::Capture { .. } => (TransactionKind::Capture, None),
        Purpose::Refund { of } => (TransactionKind::Refund, Some(of)),
        Purpose::Return { of, .. } => (TransactionKind::Return, Some(of)),
    }
}

/// An entry of `viewer`'s account, with names and text as they are now.
///
/// # Errors
/// A store does not answer.
pub async fn transaction(
    app: &App,
    viewer: UserId,
    event: &Event,
    entry: Entry<'_>,
    beside: Beside,
) -> Result<Transaction, Failure> {
    let note = Note::open(&app.sealer, entry.movement.note.as_ref(), viewer).await?;
    let counterparty = match entry.counterparty {
        Some(user) => Some(app.people.party(user).await?),
        None => None,
    };
    let booked = &entry.movement.entry;
    Ok(Transaction {
        id: entry.movement.transfer,
        kind: entry.kind,
        direction: entry.direction,
        status: beside.status,
        amount: Major::of(booked.amount, booked.currency),
        amount_minor: booked.amount,
        currency: booked.currency.into(),
        balance_after: Major::of(booked.after.posted, booked.currency),
        balance_after_minor: booked.after.posted,
        entry: booked.number,
        offset: event.offset,
        counterparty,
        description: note.description,
        category: note.category,
        timestamp: Time::of(event.meta.at),
        reverses: entry.reverses,
        refunded_minor: beside.refunded.filter(|sum| sum.is_positive()),
        legs: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::{AccountId, HoldId, OperationId, ShardId, TransferId};
    use domain::ledger::{Balances, By, ChannelNumber, Meta, Origin, Party};
    use domain::money::Currency;
    use domain::time::{BusinessDay, Timestamp};
    use uuid::Uuid;

    fn movement() -> Movement {
        let after = Balances { posted: Minor::new(5), held: Minor::ZERO };
        let entry = domain::ledger::Entry { number: 1, amount: Minor::new(5), currency: Currency::Inr, after };
        Movement { transfer: TransferId(Uuid::from_u128(1)), entry, fingerprint: None, note: None }
    }

    fn event(change: Change) -> Event {
        let origin = Origin { operation: OperationId(Uuid::nil()), by: By::SYSTEM, trace: None };
        Event { account: AccountId(Uuid::from_u128(9)), offset: 2, meta: Meta { at: Timestamp(1), origin }, change }
    }

    #[test]
    fn every_change_of_money_has_its_kind_and_direction() {
        use Direction::{Credit, Debit};
        let party = Party { user: UserId(Uuid::from_u128(7)), account: AccountId(Uuid::from_u128(8)) };
        let channel = ChannelNumber { peer: ShardId(0), number: 1 };
        let of = TransferId(Uuid::from_u128(2));
        let (day, owner) = (BusinessDay(1), UserId(Uuid::from_u128(6)));
        let debited = |purpose| Change::Debited { movement: movement(), day, owner, payee: party, channel, purpose };
        let credited = |purpose| Change::Credited { movement: movement(), payer: party, channel, purpose };
        let capture = Purpose::Capture { hold: HoldId(Uuid::from_u128(3)), held: Minor::new(5) };
        for (change, kind, direction, sent, refundable, reverses) in [
            (Change::Deposited { movement: movement() }, TransactionKind::Deposit, Credit, false, false, None),
            (Change::Withdrawn { movement: movement(), day }, TransactionKind::Withdrawal, Debit, false, false, None),
            (debited(Purpose::Transfer), TransactionKind::Transfer, Debit, true, true, None),
            (credited(Purpose::Transfer), TransactionKind::Transfer, Credit, false, true, None),
            (debited(capture), TransactionKind::Capture, Debit, true, true, None),
            (credited(capture), TransactionKind::Capture, Credit, false, true, None),
            (debited(Purpose::Refund { of }), TransactionKind::Refund, Debit, true, false, Some(of)),
            (
                credited(Purpose::Return { of, refund_of: None }),
                TransactionKind::Return,
                Credit,
                false,
                false,
                Some(of),
            ),
        ] {
            let event = event(change);
            let entry = Entry::of(&event).unwrap();
            assert_eq!((entry.kind, entry.direction, entry.reverses), (kind, direction, reverses));
            assert_eq!((entry.is_sent(), entry.is_refundable()), (sent, refundable), "{kind:?} {direction:?}");
        }
        let opened = event(Change::Opened { owner, currency: Currency::Inr });
        assert!(Entry::of(&opened).is_none());
    }
}
