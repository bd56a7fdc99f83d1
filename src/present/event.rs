//! An event of an account's stream, as the `message` that its owner hears.
//!
//! Every event is one message. Its data is a function of the event, but for the names and the text of people, who may
//! be renamed or erased.

use domain::ids::UserId;
use domain::ledger::{Balances, Change, Event, Freeze, Party, ReleaseCause, Standing};
use protocol::amount::Major;
use protocol::code::Code;
use protocol::event::{
    AccountUpdate, BalanceReason, BalanceUpdate, EventName, Limits, TransactionNew, TransactionUpdate,
};
use protocol::http::transaction::TransactionStatus;
use protocol::value::{CurrencyCode, FreezeScope};
use serde::Serialize;

use actors::projector::cells::{HoldOutcome, HoldRow};

use crate::app::App;
use crate::failure::Failure;
use crate::present;
use crate::present::transaction::{Beside, Entry};
use crate::rooms::notices;

/// The event's name and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: EventName,
    /// Its data, as JSON.
    pub data: String,
}

/// What the owner of the account hears of an event.
///
/// # Errors
/// A store does not answer: it can be asked again.
pub async fn told(app: &App, owner: UserId, event: &Event) -> Result<Told, Failure> {
    if let Some(entry) = Entry::of(event) {
        return entered(app, owner, event, entry).await;
    }
    match &event.change {
        Change::Held { hold, amount, currency, payee, expires_at, after, note, .. } => {
            let row = HoldRow {
                hold: *hold,
                payer: Party { user: owner, account: event.account },
                payee: *payee,
                amount: *amount,
                currency: *currency,
                offset: event.offset,
                created_at: event.meta.at,
                expires_at: *expires_at,
                outcome: HoldOutcome::Held,
                note: note.clone(),
            };
            let hold = present::hold::hold(app, owner, &row).await?;
            let update = balance_update(app, *after, BalanceReason::Held, hold.id);
            json(EventName::BalanceUpdate, &BalanceUpdate { hold: Some(hold), ..update })
        }
        Change::Released { hold, cause, after, .. } => {
            let reason = match cause {
                ReleaseCause::Payer | ReleaseCause::Payee => BalanceReason::Released,
                ReleaseCause::Expired => BalanceReason::Expired,
            };
            json(EventName::BalanceUpdate, &balance_update(app, *after, reason, *hold))
        }
        Change::TransferUpdated { transfer, .. } => {
            let debit = app.ledger.transfer(*transfer).await?.ok_or_else(|| lost(event))?.event;
            let entry = Entry::of(&debit).ok_or_else(|| lost(event))?;
            let beside = Beside { status: Some(TransactionStatus::Completed), refunded: None };
            let transaction = present::transaction::transaction(app, owner, &debit, entry, beside).await?;
            json(EventName::TransactionUpdate, &TransactionUpdate { transaction })
        }
        Change::FreezeChanged { standing, .. } | Change::LimitsChanged { standing } | Change::Closed { standing } => {
            json(EventName::AccountUpdate, &account_update(app, *standing))
        }
        // What else makes no entry is the opening.
        _ => json(EventName::AccountUpdate, &account_update(app, Standing::default())),
    }
}

async fn entered(app: &App, owner: UserId, event: &Event, entry: Entry<'_>) -> Result<Told, Failure> {
    // Of a debit nobody knows yet; without an update it completed.
    let status = (!entry.is_sent()).then_some(TransactionStatus::Completed);
    let beside = Beside { status, refunded: None };
    let transaction = present::transaction::transaction(app, owner, event, entry, beside).await?;
    let (after, currency) = (entry.movement.entry.after, entry.movement.entry.currency);
    let notification = notices::of_credit(app, event).await?;
    let new = TransactionNew {
        transaction,
        balance: Major::of(after.posted, currency),
        balance_minor: after.posted,
        available: Major::of(after.available(), currency),
        available_minor: after.available(),
        held: Major::of(after.held, currency),
        held_minor: after.held,
        notification: notification.map(|notice| notices::shown(notice, event.account.0, event.offset, event.meta.at)),
    };
    json(EventName::TransactionNew, &new)
}

fn balance_update(app: &App, after: Balances, reason: BalanceReason, hold_id: domain::ids::HoldId) -> BalanceUpdate {
    BalanceUpdate {
        balance: Major::of(after.posted, app.currency),
        balance_minor: after.posted,
        available: Major::of(after.available(), app.currency),
        available_minor: after.available(),
        held: Major::of(after.held, app.currency),
        held_minor: after.held,
        reason,
        hold_id,
        hold: None,
    }
}

fn account_update(app: &App, standing: Standing) -> AccountUpdate {
    let frozen_scope = frozen_scope(standing.freeze);
    AccountUpdate {
        frozen: frozen_scope.is_some(),
        frozen_scope,
        limits: Limits {
            currency: CurrencyCode(app.currency),
            per_transaction_minor: standing.limits.per_transaction,
            per_day_minor: standing.limits.per_day,
        },
        closed: standing.closed,
    }
}

/// The protocol's word for which directions are stopped; none if none is.
pub const fn frozen_scope(freeze: Freeze) -> Option<FreezeScope> {
    match (freeze.debit, freeze.credit) {
        (true, true) => Some(FreezeScope::All),
        (true, false) => Some(FreezeScope::Debit),
        (false, true) => Some(FreezeScope::Credit),
        (false, false) => None,
    }
}

pub(super) fn json<T: Serialize>(name: EventName, data: &T) -> Result<Told, Failure> {
    let data = serde_json::to_string(data).map_err(|_| Failure::of(Code::Internal))?;
    Ok(Told { name, data })
}

/// An update of a transfer that cannot be found is no answer to give: views and journal disagree.
fn lost(event: &Event) -> Failure {
    tracing::error!(account = %event.account, offset = event.offset, "the transfer of an update cannot be found");
    Failure::of(Code::Internal)
}
