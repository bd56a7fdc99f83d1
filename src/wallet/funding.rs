//! Money from outside and to outside.

use domain::ids::TransferId;
use domain::ledger::Request;
use protocol::code::Code;
use protocol::http::account::{FundingRequest, TransactionResponse};
use storage::identity::Role;

use crate::app::App;
use crate::failure::Failure;
use crate::present::note::Note;
use crate::wallet::keyed::keyed;
use crate::wallet::transaction::entered;
use crate::wallet::{Caller, Done, amount};

/// Deposits into the caller's account. Stands for a funding rail: where people may not fund themselves, only the
/// treasury does.
///
/// # Errors
/// A rule forbids it, or the node cannot say.
pub async fn deposit(
    app: &App,
    caller: &Caller,
    request: &FundingRequest,
    key: Option<&str>,
) -> Result<Done<TransactionResponse>, Failure> {
    if caller.role != Role::Treasury && !app.config.funding.is_self_service(app.config.profile) {
        return Err(Code::FundingDisabled.into());
    }
    fund(app, caller, request, key, true).await
}

/// Withdraws from the caller's account.
///
/// # Errors
/// A rule forbids it, or the node cannot say.
pub async fn withdraw(
    app: &App,
    caller: &Caller,
    request: &FundingRequest,
    key: Option<&str>,
) -> Result<Done<TransactionResponse>, Failure> {
    fund(app, caller, request, key, false).await
}

async fn fund(
    app: &App,
    caller: &Caller,
    request: &FundingRequest,
    key: Option<&str>,
    is_deposit: bool,
) -> Result<Done<TransactionResponse>, Failure> {
    let amount = amount::parse(&request.amount, app.currency)?;
    let note = Note::parse(request.description.as_deref(), None)?;
    let account = app.account_of(caller.user);
    let kind = if is_deposit { "deposit" } else { "withdraw" };
    let keyed = keyed(app, caller, account, key, &(kind, amount, app.currency.code(), &note)).await?;
    let (transfer, fingerprint) = (TransferId(keyed.id), keyed.fingerprint);
    let note = note.seal(&app.sealer, caller.user).await?;
    let request = if is_deposit {
        Request::Deposit { transfer, amount, fingerprint, note }
    } else {
        Request::Withdraw { transfer, amount, fingerprint, note }
    };
    let effect = app.ledger.submit(account, caller.command(app, caller.user, request)).await;
    entered(app, caller, effect.map_err(|error| Failure::from(error).about(transfer))?).await
}
