//! One person pays another.

use domain::ids::TransferId;
use domain::ledger::{Change, Party, Request};
use protocol::code::Code;
use protocol::http::account::{TransactionResponse, TransferRequest};

use crate::app::App;
use crate::failure::Failure;
use crate::present::note::Note;
use crate::wallet::keyed::{Keyed, keyed};
use crate::wallet::payee::{canonical, payee};
use crate::wallet::transaction::entered;
use crate::wallet::{Caller, Done, amount};

/// Pays somebody from the caller's account.
///
/// # Errors
/// A rule forbids it, nobody is the payee, or the node cannot say.
pub async fn transfer(
    app: &App,
    caller: &Caller,
    request: &TransferRequest,
    key: Option<&str>,
) -> Result<Done<TransactionResponse>, Failure> {
    let to = request.payee()?;
    let amount = amount::parse(&request.amount, app.currency)?;
    let note = Note::parse(request.description.as_deref(), request.category.as_deref())?;
    let account = app.account_of(caller.user);
    let request = ("transfer", canonical(to), amount, app.currency.code(), &note);
    let keyed = keyed(app, caller, account, key, &request).await?;
    let transfer = TransferId(keyed.id);
    let payee = match payee(app, to).await {
        Err(failure) if failure.code == Code::PayeeNotFound => paid_before(app, keyed).await?.ok_or(failure)?,
        payee => payee?,
    };
    let note = note.seal(&app.sealer, caller.user).await?;
    let request = Request::Transfer { transfer, payee, amount, fingerprint: keyed.fingerprint, note };
    let effect = app.ledger.submit(account, caller.command(app, caller.user, request)).await;
    entered(app, caller, effect.map_err(|error| Failure::from(error).about(transfer))?).await
}

/// Whom a key paid before. A payee who has another e-mail by now, or is erased, must not make a repeated request
/// look as if it had never been done.
async fn paid_before(app: &App, keyed: Keyed) -> Result<Option<Party>, Failure> {
    if keyed.fingerprint.is_none() {
        return Ok(None);
    }
    let before = app.ledger.transfer(TransferId(keyed.id)).await?;
    Ok(before.and_then(|before| match before.event.change {
        Change::Debited { payee, .. } => Some(payee),
        _ => None,
    }))
}
