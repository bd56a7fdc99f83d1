//! Who is to be paid: by QuickPe id, e-mail or user id.

use domain::ids::{QuickpeId, UserId};
use domain::ledger::Party;
use protocol::code::Code;
use storage::identity::{Email, Status};

use crate::app::App;
use crate::failure::Failure;

/// The form in which a payee as it was written is compared and fingerprinted.
pub fn canonical(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The live person that `text` names, and their account.
///
/// # Errors
/// [`Code::PayeeNotFound`]: nobody, or nobody who can be paid.
pub async fn payee(app: &App, text: &str) -> Result<Party, Failure> {
    let user = find(app, text.trim()).await?.ok_or_else(|| Failure::of(Code::PayeeNotFound))?;
    Ok(Party { user, account: app.account_of(user) })
}

async fn find(app: &App, text: &str) -> Result<Option<UserId>, Failure> {
    if text.contains('@') {
        let Ok(email) = Email::parse(text) else { return Ok(None) };
        let user = app.identity.user_by_email(&email).await?;
        return Ok(user.filter(|user| user.status == Status::Active).map(|user| user.id));
    }
    let user = if let Ok(id) = text.parse::<QuickpeId>() {
        app.people.by_handle(id).await?
    } else {
        text.parse::<UserId>().ok()
    };
    let Some(user) = user else { return Ok(None) };
    Ok(app.people.card(user).await?.payable.then_some(user))
}
