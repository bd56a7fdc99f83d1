//! One transaction: as it was just made, and as it can be read again.

use std::sync::Arc;

use actors::call::{Effect, Status};
use actors::streams::message_id;
use domain::ids::TransferId;
use domain::ledger::{Change, Event};
use protocol::amount::Major;
use protocol::code::Code;
use protocol::http::account::TransactionResponse;
use protocol::http::transaction::{Direction, Leg, Transaction, TransactionStatus};
use protocol::value::Time;

use crate::app::App;
use crate::failure::Failure;
use crate::present;
use crate::present::transaction::{Beside, Entry, status_of};
use crate::wallet::{Caller, Done};

/// What to answer to a command that made an entry in the caller's account, now or before.
pub(super) async fn entered(app: &App, caller: &Caller, effect: Effect) -> Result<Done<TransactionResponse>, Failure> {
    let event = effect.event.ok_or_else(|| Failure::of(Code::Internal))?;
    let entry = Entry::of(&event).ok_or_else(|| Failure::of(Code::Internal))?;
    let refunded = refunded(app, &entry, effect.replayed).await?;
    let beside = Beside { status: Some(status_of(effect.status)), refunded };
    let transaction = present::transaction::transaction(app, caller.user, &event, entry, beside).await?;
    let after = entry.movement.entry.after.posted;
    Ok(Done {
        body: TransactionResponse { balance: Major::of(after, app.currency), balance_minor: after, transaction },
        pending: effect.status == Status::Pending,
        replayed: effect.replayed,
    })
}

/// How much of an entry was given back. Of one that is new, nothing.
async fn refunded(app: &App, entry: &Entry<'_>, is_old: bool) -> Result<Option<domain::money::Minor>, Failure> {
    if is_old && entry.is_refundable() {
        Ok(Some(app.ledger.refunded(entry.movement.transfer).await?))
    } else {
        Ok(None)
    }
}

/// An entry of the caller's account, with what became of it.
pub(super) async fn read(app: &App, caller: &Caller, event: &Event, entry: Entry<'_>) -> Result<Transaction, Failure> {
    let status = status(app, &entry).await?;
    let beside = Beside { status: Some(status), refunded: refunded(app, &entry, true).await? };
    present::transaction::transaction(app, caller.user, event, entry, beside).await
}

/// How far an entry is. What came in, and what went outside, is complete.
pub(super) async fn status(app: &App, entry: &Entry<'_>) -> Result<TransactionStatus, Failure> {
    if !entry.is_sent() {
        return Ok(TransactionStatus::Completed);
    }
    let sent = app.ledger.transfer(entry.movement.transfer).await?;
    Ok(sent.map_or(TransactionStatus::Completed, |sent| status_of(sent.status)))
}

/// One transaction of the caller, with its entries as far as they may see them.
///
/// # Errors
/// [`Code::NotFound`]: it is none, or none of theirs.
pub async fn transaction(app: &App, caller: &Caller, id: TransferId) -> Result<Transaction, Failure> {
    let account = app.account_of(caller.user);
    // What the caller gave back of it is their own write: views have it after this.
    app.ledger.read_point(account).await?;
    let decided = app.ledger.transfer(id).await?.filter(|read| read.event.change.movement().is_some());
    let decided = decided.map(|read| read.event);
    let credited = app.ledger.credit(id, account).await?;
    // Paying and being paid exclude one another, but for a return, which has no deciding account.
    let own = decided.as_ref().filter(|event| event.account == account).or(credited.as_ref());
    let own = Arc::clone(own.ok_or_else(|| Failure::of(Code::NotFound))?);
    let entry = Entry::of(&own).ok_or_else(|| Failure::of(Code::NotFound))?;
    let mut transaction = read(app, caller, &own, entry).await?;
    transaction.legs = Some(legs(app, caller, &own, entry, decided.as_deref()).await?);
    Ok(transaction)
}

/// The id of the message that tells of an event.
fn message(event: &Event) -> String {
    message_id(event.account.0, event.offset)
}

/// The caller's entry, and the other side's if it is known: without its number and balance.
async fn legs(
    app: &App,
    caller: &Caller,
    own: &Event,
    entry: Entry<'_>,
    decided: Option<&Event>,
) -> Result<Vec<Leg>, Failure> {
    let amount_minor = entry.movement.entry.amount;
    let other = if matches!(entry.direction, Direction::Credit) { Direction::Debit } else { Direction::Credit };
    let mine = Leg {
        direction: entry.direction,
        amount_minor,
        party: Some(app.people.party(caller.user).await?),
        entry: Some(entry.movement.entry.number),
        timestamp: Time::of(own.meta.at),
        message_id: Some(message(own)),
    };
    let (party, booked) = match (&own.change, entry.counterparty) {
        (_, None) => (None, Some((own.meta.at, None))),
        (Change::Debited { payee, .. }, Some(user)) => {
            let credit = app.ledger.credit(entry.movement.transfer, payee.account).await?;
            (Some(app.people.party(user).await?), credit.map(|credit| (credit.meta.at, Some(message(&credit)))))
        }
        (_, Some(user)) => {
            let booked = decided.map(|event| (event.meta.at, Some(message(event))));
            (Some(app.people.party(user).await?), booked)
        }
    };
    let theirs = booked.map(|(at, message_id)| Leg {
        direction: other,
        amount_minor,
        party,
        entry: None,
        timestamp: Time::of(at),
        message_id,
    });
    Ok([Some(mine), theirs].into_iter().flatten().collect())
}
