//! Stopping an account's directions, and letting them go again.

use domain::ids::UserId;
use domain::ledger::Request;
use protocol::code::Code;
use protocol::http::account::DESCRIPTION_CHARS_MAX;
use protocol::http::admin::{FreezeRequest, FreezeResponse};
use protocol::problem::FieldCode;
use protocol::value::FreezeScope;
use storage::sealing::Purpose;

use crate::app::App;
use crate::failure::Failure;
use crate::present::event::frozen_scope;
use crate::wallet::Caller;

/// Freezes (or frees) an account in the directions of the request's scope. As it is asked already: changes nothing.
///
/// # Errors
/// There is no such person, or the node cannot say.
pub async fn freeze(
    app: &App,
    caller: &Caller,
    owner: UserId,
    request: &FreezeRequest,
    frozen: bool,
) -> Result<FreezeResponse, Failure> {
    let reason = request.reason.trim();
    if reason.is_empty() {
        return Err(Failure::field("reason", FieldCode::TooShort, "says why"));
    }
    if reason.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Failure::field("reason", FieldCode::TooLong, "has at most 280 characters"));
    }
    // The operator's words are about the owner, and go with them.
    let reason = app.sealer.seal(owner, Purpose::Reason, reason).await?;
    let reason = reason.ok_or_else(|| Failure::of(Code::NotFound))?;
    let debit = matches!(request.scope, FreezeScope::Debit | FreezeScope::All).then_some(frozen);
    let credit = matches!(request.scope, FreezeScope::Credit | FreezeScope::All).then_some(frozen);
    let account = app.account_of(owner);
    let request = Request::Freeze { debit, credit, reason: Some(reason) };
    app.ledger.submit(account, caller.command(app, owner, request)).await?;
    let state = app.ledger.account(account).await?;
    let frozen_scope = frozen_scope(state.standing.freeze);
    Ok(FreezeResponse { user_id: owner, frozen: frozen_scope.is_some(), frozen_scope })
}
