//! `quickpe admin …`: what an operator does on the machine of a node.

use domain::ids::{AccountId, OperationId, RoomId, TransferId};
use domain::ledger::{By, Command, Limits, Opening, Origin, Principal, Request, Suspended, Via};
use domain::money::{Currency, Minor};
use storage::identity::{Email, Role, User};

use crate::command::Context;
use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::revoking;

/// What an operator's doings go back to.
fn origin(context: &Context) -> Origin {
    let by = By { principal: Principal::System, session: None, device: None, via: Via::Operator };
    Origin { operation: OperationId(context.app.new_id()), by, trace: None }
}

async fn person(context: &Context, email: &str) -> Result<User, Failure> {
    let email = Email::parse(email).map_err(|error| Failure::usage(format!("`{email}` {error}")))?;
    let found = context.app.identity.user_by_email(&email).await?;
    found.ok_or_else(|| Failure::failed("nobody has this e-mail"))
}

/// Gives a person a role.
///
/// # Errors
/// There is no such person or role.
pub async fn grant(context: &Context, email: &str, role: &str, out: &Output) -> Result<(), Failure> {
    let role: Role = role.parse().map_err(|error| Failure::usage(format!("`{role}` {error}")))?;
    let person = person(context, email).await?;
    let gone = || Failure::failed("nobody has this e-mail");
    let changed = context.app.identity.change_role(person.id, role).await?.ok_or_else(gone)?;
    revoking::profile_changed(&context.app, changed.id).await;
    tracing::info!(user = %changed.id, %role, "an operator gave a role");
    out.line(format!("{} is now {role}", changed.quickpe_id)).await;
    Ok(())
}

/// Lists what rests in suspense.
///
/// # Errors
/// A shard is not open.
pub async fn list_suspense(context: &Context, out: &Output) -> Result<(), Failure> {
    let all = context.app.ledger.suspense().await.map_err(|error| Failure::failed(error.to_string()))?;
    for suspended in &all {
        out.line(describe(suspended)).await;
    }
    out.line(format!("{} in suspense", all.len())).await;
    Ok(())
}

/// Offers a credit in suspense to its payee again.
///
/// # Errors
/// Nothing of the transfer rests in suspense.
pub async fn release_suspense(context: &Context, transfer: TransferId, out: &Output) -> Result<(), Failure> {
    let released = context.app.ledger.release_suspense(transfer, origin(context)).await;
    let released = released.map_err(|error| Failure::failed(error.to_string()))?;
    out.line(format!("offered again: {}", describe(&released))).await;
    Ok(())
}

/// Sends a credit in suspense back to its payer.
///
/// # Errors
/// Nothing of the transfer rests in suspense, or it is a return itself.
pub async fn return_suspense(context: &Context, transfer: TransferId, out: &Output) -> Result<(), Failure> {
    let returned = context.app.ledger.return_suspense(transfer, origin(context)).await;
    let returned = returned.map_err(|error| Failure::failed(error.to_string()))?;
    out.line(format!("sent back: {}", describe(&returned))).await;
    Ok(())
}

fn describe(suspended: &Suspended) -> String {
    let credit = &suspended.credit;
    format!(
        "{} {} {} from {} to {}: {:?}",
        credit.transfer,
        credit.currency.format(credit.amount),
        credit.currency.code(),
        credit.payer.account,
        credit.payee.account,
        suspended.reason
    )
}

/// Ends an account's quarantine.
///
/// # Errors
/// Its shard is not open.
pub async fn release_account(context: &Context, account: AccountId, out: &Output) -> Result<(), Failure> {
    let ended = context.app.ledger.end_quarantine(account, origin(context)).await;
    let was_quarantined = ended.map_err(|error| Failure::failed(error.to_string()))?;
    let said = if was_quarantined { "its quarantine is over" } else { "it was in no quarantine" };
    out.line(format!("{account}: {said}")).await;
    Ok(())
}

/// Ends a room's quarantine.
///
/// # Errors
/// Its shard is not open.
pub async fn release_room(context: &Context, room: RoomId, out: &Output) -> Result<(), Failure> {
    let ended = context.app.chat.end_quarantine(room, origin(context)).await;
    let was_quarantined = ended.map_err(|error| Failure::failed(error.to_string()))?;
    let said = if was_quarantined { "its quarantine is over" } else { "it was in no quarantine" };
    out.line(format!("{room}: {said}")).await;
    Ok(())
}

/// Rewrites the identity store now.
///
/// # Errors
/// The disk refuses; the store is then as it was.
pub async fn compact(context: &Context, out: &Output) -> Result<(), Failure> {
    context.app.identity.compact().await?;
    out.line("the identity store is rewritten: what was erased is gone from the disk").await;
    Ok(())
}

/// Shows what a person's account may spend, or sets it.
///
/// # Errors
/// There is no such person, or what is given is no amount.
pub async fn limits(
    context: &Context,
    email: &str,
    per_transaction: Option<&str>,
    per_day: Option<&str>,
    out: &Output,
) -> Result<(), Failure> {
    let app = &context.app;
    let owner = person(context, email).await?.id;
    let account = AccountId::of(owner, app.currency);
    let busy = |error: actors::call::CommandError| Failure::failed(error.to_string());
    let before = app.ledger.account(account).await.map_err(busy)?.standing.limits;
    let limits = Limits {
        per_transaction: limit(per_transaction, before.per_transaction, app.currency)?,
        per_day: limit(per_day, before.per_day, app.currency)?,
    };
    if limits != before {
        let opening = Opening { owner, currency: app.currency };
        let command = Command { origin: origin(context), opening, request: Request::SetLimits { limits } };
        app.ledger.submit(account, command).await.map_err(busy)?;
    }
    let shown = |limit: Option<Minor>| limit.map_or_else(|| "none".to_owned(), |limit| app.currency.format(limit));
    let (transaction, day) = (shown(limits.per_transaction), shown(limits.per_day));
    out.line(format!("in one transaction: {transaction}, in one day: {day} ({})", app.currency.code())).await;
    Ok(())
}

/// What a limit is to be: as it was if nothing is given.
fn limit(given: Option<&str>, before: Option<Minor>, currency: Currency) -> Result<Option<Minor>, Failure> {
    match given {
        None => Ok(before),
        Some("none") => Ok(None),
        Some(text) => match currency.parse(text) {
            Ok(amount) if amount.is_amount() => Ok(Some(amount)),
            _ => Err(Failure::usage(format!("`{text}` is neither an amount above zero nor `none`"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_set_or_lifted() {
        let before = Some(Minor::new(500));
        assert_eq!(limit(None, before, Currency::Inr).unwrap(), before);
        assert_eq!(limit(Some("none"), before, Currency::Inr).unwrap(), None);
        assert_eq!(limit(Some("7.50"), before, Currency::Inr).unwrap(), Some(Minor::new(750)));
        for wrong in ["0", "-1", "7.505", "much"] {
            assert!(limit(Some(wrong), before, Currency::Inr).is_err(), "{wrong}");
        }
    }
}
