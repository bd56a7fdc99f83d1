//! A payee gives back what was paid.

use domain::ids::TransferId;
use domain::ledger::{Refusal, Request};
use protocol::code::Code;
use protocol::http::transaction::{RefundRequest, RefundResponse};

use actors::call::CommandError;

use crate::app::App;
use crate::failure::Failure;
use crate::wallet::keyed::keyed;
use crate::wallet::transaction::entered;
use crate::wallet::{Caller, Done, amount};

/// Gives back what a transfer or capture brought the caller, in part or whole.
///
/// # Errors
/// A rule forbids it, there is no such transfer, or the node cannot say.
pub async fn refund(
    app: &App,
    caller: &Caller,
    of: TransferId,
    request: &RefundRequest,
    key: Option<&str>,
) -> Result<Done<RefundResponse>, Failure> {
    let amount = amount::parse_optional(request.amount.as_ref(), app.currency)?;
    let account = app.account_of(caller.user);
    let keyed = keyed(app, caller, account, key, &("refund", of, amount, app.currency.code())).await?;
    let transfer = TransferId(keyed.id);
    let request = Request::Refund { transfer, of, amount, fingerprint: keyed.fingerprint };
    let effect = match app.ledger.submit(account, caller.command(app, caller.user, request)).await {
        Ok(effect) => effect,
        Err(CommandError::Refused(Refusal::OriginalNotFound)) => return Err(not_theirs(app, caller, of).await?),
        Err(error) => return Err(Failure::from(error).about(transfer)),
    };
    let done = entered(app, caller, effect).await?;
    let body = RefundResponse { transaction: done.body.transaction };
    Ok(Done { body, pending: done.pending, replayed: done.replayed })
}

/// What was no credit to the caller: a debit of theirs, which is theirs to see, or nothing they may know of.
async fn not_theirs(app: &App, caller: &Caller, of: TransferId) -> Result<Failure, Failure> {
    let account = app.account_of(caller.user);
    let known = app
        .ledger
        .transfer(of)
        .await?
        .filter(|read| read.event.account == account && read.event.change.movement().is_some());
    Ok(if known.is_some() { Code::NotRefundable.into() } else { Code::NotFound.into() })
}
