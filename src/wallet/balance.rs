//! What an account has.

use domain::ledger::Account;
use domain::money::Currency;
use protocol::amount::Major;
use protocol::http::account::BalanceResponse;

use crate::app::App;
use crate::failure::Failure;
use crate::present::event::frozen_scope;
use crate::wallet::Caller;

/// The caller's balance, as of the account's last durable event.
///
/// # Errors
/// The account cannot be read now.
pub async fn balance(app: &App, caller: &Caller) -> Result<BalanceResponse, Failure> {
    let account = app.ledger.account(app.account_of(caller.user)).await?;
    Ok(of(&account, app.currency, &app.epoch))
}

fn of(account: &Account, currency: Currency, epoch: &str) -> BalanceResponse {
    let balances = account.balances;
    let frozen_scope = frozen_scope(account.standing.freeze);
    BalanceResponse {
        balance: Major::of(balances.posted, currency),
        balance_minor: balances.posted,
        available: Major::of(balances.available(), currency),
        available_minor: balances.available(),
        held: Major::of(balances.held, currency),
        held_minor: balances.held,
        currency: currency.into(),
        frozen: frozen_scope.is_some(),
        frozen_scope,
        epoch: epoch.to_owned(),
        offset: account.head,
    }
}
