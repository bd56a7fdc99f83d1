//! Erasing a person: close the account, destroy the data key, remove the identity.
//!
//! Each step is durable before the next and may be done again, so an erasure that a crash cut short is gone on with
//! at the next start. Until the key is destroyed it can be refused; after that it can only be finished.

use actors::ledger::system_origin;
use domain::ids::{OperationId, UserId};
use domain::ledger::{Command, Origin, Request};
use protocol::code::Code;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::revoking;

/// Erases a person. The ledger stands; their name, e-mail, credentials and data key go, and with the key all text of
/// theirs.
///
/// # Errors
/// [`Code::OutcomeUnknown`], or a store's failure after the account was closed: [`resume`] goes on with it. All
/// others, [`Code::AccountNotEmpty`] before all: the person is who they were.
pub async fn erase(app: &App, user: UserId, origin: Origin) -> Result<(), Failure> {
    if !app.identity.begin_erasure(user, app.now()).await? {
        return Err(Code::NotFound.into());
    }
    app.access.logins.forget_all();
    revoking::profile_changed(app, user).await;
    if let Err(failure) = close(app, user, origin).await {
        if failure.code != Code::OutcomeUnknown {
            abandon(app, user).await?;
        }
        return Err(failure);
    }
    remove(app, user).await
}

/// Goes on with the erasures that a crash cut short. To be called once at start, when the shards are open.
///
/// # Errors
/// The identity store does not answer.
pub async fn resume(app: &App) -> Result<(), Failure> {
    for erasure in app.identity.unfinished_erasures().await? {
        let user = erasure.user;
        let finished = match close(app, user, system_origin(OperationId(Uuid::new_v4()))).await {
            Ok(()) => remove(app, user).await,
            // Money came in before the crash: what was asked for is refused, as it would have been then.
            Err(failure) if failure.code == Code::AccountNotEmpty => abandon(app, user).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = finished {
            tracing::error!(%user, code = %failure.code, "an erasure could not be finished; the next start tries again");
        }
    }
    Ok(())
}

async fn close(app: &App, user: UserId, origin: Origin) -> Result<(), Failure> {
    let command = Command { origin, opening: app.opening(user), request: Request::Close };
    app.ledger.submit(app.account_of(user), command).await?;
    Ok(())
}

/// What cannot be taken back: from the first line on, only forward.
async fn remove(app: &App, user: UserId) -> Result<(), Failure> {
    revoking::disconnected(app, user, None).await;
    app.sealer.destroy(user).await?;
    app.deliveries.forget_user(user).await?;
    app.watches.forget_watches(user).await?;
    app.identity.remove_identity(user, app.now()).await?;
    revoking::erased(app, user).await;
    Ok(())
}

async fn abandon(app: &App, user: UserId) -> Result<(), Failure> {
    app.identity.abandon_erasure(user).await?;
    revoking::profile_changed(app, user).await;
    Ok(())
}
