//! Holds as they can be read.

use actors::projector::cells::{HoldOutcome, HoldRow};
use domain::ids::HoldId;
use domain::ledger::{Change, Event, Purpose};
use protocol::code::Code;
use protocol::http::hold::Hold;
use protocol::http::page::{Items, PageQuery};

use crate::app::App;
use crate::failure::Failure;
use crate::present;
use crate::wallet::{Caller, cursor, statement};

/// A hold with all that its account did to it.
pub(super) async fn row(app: &App, id: HoldId) -> Result<Option<HoldRow>, Failure> {
    let Some(account) = app.ledger.account_of_hold(id).await? else { return Ok(None) };
    // Waits until views have what the account did, but not for long.
    let row = app.ledger.hold(id).await?;
    let point = app.ledger.read_point(account).await?;
    let row = point.unapplied.iter().fold(row, |row, event| after(row, id, event));
    // Its account has it, so it is only not to be read yet.
    row.map(Some).ok_or_else(|| Failure::of(Code::Busy))
}

/// A hold after an event that views do not have.
fn after(row: Option<HoldRow>, id: HoldId, event: &Event) -> Option<HoldRow> {
    let outcome = match &event.change {
        Change::Held { hold, .. } if *hold == id && row.is_none() => {
            return super::row_of(event).map(|(row, _)| row);
        }
        Change::Released { hold, cause, .. } if *hold == id => HoldOutcome::Released(*cause),
        Change::Debited { movement, purpose: Purpose::Capture { hold, .. }, .. } if *hold == id => {
            HoldOutcome::Captured { transfer: movement.transfer, amount: movement.entry.amount }
        }
        _ => return row,
    };
    row.map(|row| HoldRow { outcome, ..row })
}

/// One hold, for its payer or payee.
///
/// # Errors
/// [`Code::HoldNotFound`]: there is none, or the caller is no party to it.
pub async fn hold(app: &App, caller: &Caller, id: HoldId) -> Result<Hold, Failure> {
    let row = row(app, id).await?.filter(|row| [row.payer.user, row.payee.user].contains(&caller.user));
    let row = row.ok_or_else(|| Failure::of(Code::HoldNotFound))?;
    present::hold::hold(app, caller.user, &row).await
}

/// A page of the caller's holds, as payer or payee, newest first.
///
/// # Errors
/// The query is not valid, or the store does not answer.
pub async fn holds(app: &App, caller: &Caller, query: &PageQuery) -> Result<Items<Hold>, Failure> {
    let limit = usize::try_from(statement::limit(query.limit)?).unwrap_or(usize::MAX);
    let place = query.cursor.as_deref().map(cursor::read_holds).transpose()?.unwrap_or_default();
    let account = app.account_of(caller.user);
    // Views have the caller's own holds after this.
    app.ledger.read_point(account).await?;
    // One more than is shown says whether there is a next page.
    let mut rows = app.ledger.holds_of(account, &place, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|(sort, _)| cursor::holds(sort));
    let mut items = Vec::with_capacity(rows.len());
    for (_, row) in &rows {
        items.push(present::hold::hold(app, caller.user, row).await?);
    }
    Ok(Items { items, next_cursor })
}
