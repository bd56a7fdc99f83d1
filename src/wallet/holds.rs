//! Money set aside for a payee: holding, capturing, releasing.

pub mod reading;

use std::sync::Arc;
use std::time::Duration;

use actors::call::{Effect, Status};
use actors::projector::cells::{HoldOutcome, HoldRow};
use domain::ids::{AccountId, HoldId, TransferId};
use domain::ledger::command::HOLD_LASTS;
use domain::ledger::{Change, Event, Party, Request};
use protocol::amount::Major;
use protocol::code::Code;
use protocol::http::hold::{CaptureRequest, CaptureResponse, HoldRequest, HoldResponse, ReleaseResponse};

use crate::app::App;
use crate::failure::Failure;
use crate::present;
use crate::present::note::Note;
use crate::present::transaction::Entry;
use crate::wallet::keyed::{Keyed, keyed};
use crate::wallet::payee::{canonical, payee};
use crate::wallet::{Caller, Done, amount, transaction};

/// Sets money of the caller aside for a payee.
///
/// # Errors
/// A rule forbids it, nobody is the payee, or the node cannot say.
pub async fn hold(
    app: &App,
    caller: &Caller,
    request: &HoldRequest,
    key: Option<&str>,
) -> Result<Done<HoldResponse>, Failure> {
    let amount = amount::parse(&request.amount, app.currency)?;
    let note = Note::parse(request.description.as_deref(), None)?;
    let lasts = request.expires_in_ms.map_or(HOLD_LASTS, Duration::from_millis);
    let account = app.account_of(caller.user);
    let lasts_ms = request.expires_in_ms;
    let canonical = ("hold", canonical(&request.to), amount, app.currency.code(), lasts_ms, &note);
    let keyed = keyed(app, caller, account, key, &canonical).await?;
    let id = HoldId(keyed.id);
    let payee = match payee(app, &request.to).await {
        Err(failure) if failure.code == Code::PayeeNotFound => held_before(app, keyed).await?.ok_or(failure)?,
        payee => payee?,
    };
    let note = note.seal(&app.sealer, caller.user).await?;
    let request = Request::Hold { hold: id, payee, amount, lasts, fingerprint: keyed.fingerprint, note };
    let effect = app.ledger.submit(account, caller.command(app, caller.user, request)).await?;
    held(app, caller, effect).await
}

async fn held(app: &App, caller: &Caller, effect: Effect) -> Result<Done<HoldResponse>, Failure> {
    let event = effect.event.ok_or_else(|| Failure::of(Code::Internal))?;
    let (mut row, after) = row_of(&event).ok_or_else(|| Failure::of(Code::Internal))?;
    if effect.replayed {
        // It may be captured or over by now.
        row = reading::row(app, row.hold).await?.unwrap_or(row);
    }
    let body = HoldResponse {
        hold: present::hold::hold(app, caller.user, &row).await?,
        balance: Major::of(after.posted, app.currency),
        balance_minor: after.posted,
        available: Major::of(after.available(), app.currency),
        available_minor: after.available(),
        held: Major::of(after.held, app.currency),
        held_minor: after.held,
    };
    Ok(Done { body, pending: false, replayed: effect.replayed })
}

/// The hold that an event makes, and what the account has after it.
fn row_of(event: &Event) -> Option<(HoldRow, domain::ledger::Balances)> {
    let Change::Held { hold, amount, currency, owner, payee, expires_at, after, note, .. } = &event.change else {
        return None;
    };
    let row = HoldRow {
        hold: *hold,
        payer: Party { user: *owner, account: event.account },
        payee: *payee,
        amount: *amount,
        currency: *currency,
        offset: event.offset,
        created_at: event.meta.at,
        expires_at: *expires_at,
        outcome: HoldOutcome::Held,
        note: note.clone(),
    };
    Some((row, *after))
}

/// For whom a key set money aside before.
async fn held_before(app: &App, keyed: Keyed) -> Result<Option<Party>, Failure> {
    if keyed.fingerprint.is_none() {
        return Ok(None);
    }
    Ok(reading::row(app, HoldId(keyed.id)).await?.map(|row| row.payee))
}

/// Has the caller, who is its payee, take a hold; what they do not take is released.
///
/// # Errors
/// A rule forbids it, there is no such hold for them, or the node cannot say.
pub async fn capture(
    app: &App,
    caller: &Caller,
    id: HoldId,
    request: &CaptureRequest,
    key: Option<&str>,
) -> Result<Done<CaptureResponse>, Failure> {
    let amount = amount::parse_optional(request.amount.as_ref(), app.currency)?;
    let payer = payer_account(app, caller, id).await?;
    let keyed = keyed(app, caller, payer.account, key, &("capture", id, amount, app.currency.code())).await?;
    let transfer = TransferId(keyed.id);
    let request = Request::Capture { transfer, hold: id, by: caller.user, amount, fingerprint: keyed.fingerprint };
    let effect = app.ledger.submit(payer.account, caller.command(app, payer.user, request)).await;
    let effect = effect.map_err(|error| Failure::from(error).about(transfer))?;
    if effect.replayed {
        // What the caller gave back of it since is their own write: views have it after this.
        app.ledger.read_point(app.account_of(caller.user)).await?;
    }
    let transaction = match effect.status {
        Status::Pending => None,
        Status::Completed | Status::Returned => credit(app, caller, transfer).await?,
    };
    let row = reading::row(app, id).await?.ok_or_else(|| Failure::of(Code::HoldNotFound))?;
    let body = CaptureResponse {
        hold: present::hold::hold(app, caller.user, &row).await?,
        transfer_id: transfer,
        transaction: match transaction {
            Some(event) => match Entry::of(&event) {
                Some(entry) => Some(transaction::read(app, caller, &event, entry).await?),
                None => None,
            },
            None => None,
        },
    };
    Ok(Done { pending: body.transaction.is_none(), body, replayed: effect.replayed })
}

async fn credit(app: &App, caller: &Caller, transfer: TransferId) -> Result<Option<Arc<Event>>, Failure> {
    Ok(app.ledger.credit(transfer, app.account_of(caller.user)).await?)
}

/// Releases a hold, for its payer or payee. Releasing what is released changes nothing.
///
/// # Errors
/// A rule forbids it, there is no such hold for the caller, or the node cannot say.
pub async fn release(app: &App, caller: &Caller, id: HoldId) -> Result<ReleaseResponse, Failure> {
    let payer = payer_account(app, caller, id).await?;
    let request = Request::Release { hold: id, by: caller.user };
    app.ledger.submit(payer.account, caller.command(app, payer.user, request)).await?;
    let row = reading::row(app, id).await?.ok_or_else(|| Failure::of(Code::HoldNotFound))?;
    Ok(ReleaseResponse { hold: present::hold::hold(app, caller.user, &row).await? })
}

/// Whose money a hold is. A stranger is not told that there is one.
async fn payer_account(app: &App, caller: &Caller, id: HoldId) -> Result<Party, Failure> {
    let not_found = || Failure::of(Code::HoldNotFound);
    let account: AccountId = app.ledger.account_of_hold(id).await?.ok_or_else(not_found)?;
    // While it is open its account knows all about it; views may be behind.
    let state = app.ledger.account(account).await?;
    let open = state.holds.get(&id).zip(state.opening);
    let (payer, payee) = match open {
        Some((hold, opening)) => (Party { user: opening.owner, account }, hold.payee),
        None => reading::row(app, id).await?.map(|row| (row.payer, row.payee)).ok_or_else(not_found)?,
    };
    if [payer.user, payee.user].contains(&caller.user) { Ok(payer) } else { Err(not_found()) }
}
