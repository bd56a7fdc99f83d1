//! What has ended or changed: forgotten and closed on this node at once, and told to the others.
//!
//! Whoever ends a sign-in or changes a person has it in the identity store first and then calls one of these. Telling
//! the others may fail: then they follow when what they remember is too old.

use std::sync::Arc;

use domain::ids::{LoginId, UserId};
use futures_util::{StreamExt, stream};
use storage::revocations::{Heard, Revocation};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;

/// Sign-ins looked up at once after something was missed.
const LOGINS_AT_ONCE: usize = 16;

/// A sign-in has ended: its tokens are good for nothing, and its connections close.
pub async fn login_ended(app: &App, user: UserId, login: LoginId) {
    revoke(app, Revocation::Login { user, login }).await;
}

/// Connections of a person end: one, those of one sign-in, or all.
pub async fn disconnected(app: &App, user: UserId, which: Option<Uuid>) {
    revoke(app, Revocation::Connections { user, which }).await;
}

/// A person is new, or their name, role or region has changed.
pub async fn profile_changed(app: &App, user: UserId) {
    revoke(app, Revocation::Profile { user }).await;
}

/// A person is erased.
pub async fn erased(app: &App, user: UserId) {
    revoke(app, Revocation::Erased { user }).await;
    app.newest.purge(app.account_of(user)).await;
}

async fn revoke(app: &App, revocation: Revocation) {
    apply(app, revocation);
    if let Err(error) = app.revocations.tell(revocation).await {
        tracing::warn!(%error, "other nodes do not hear what has ended yet");
    }
}

/// Forgets and closes what is this node's.
fn apply(app: &App, revocation: Revocation) {
    match revocation {
        Revocation::Login { user, login } => {
            app.access.logins.ended(login);
            app.sessions.close(user, Some(login.0));
        }
        Revocation::Connections { user, which } => app.sessions.close(user, which),
        Revocation::Profile { user } => app.people.forget(user),
        Revocation::Erased { user } => {
            app.access.logins.forget_all();
            app.people.forget(user);
            app.sealer.forget(user);
            app.newest.forget(app.account_of(user));
            app.sessions.close(user, None);
        }
    }
}

/// Does what other nodes tell, until `stop`.
pub async fn hear(app: Arc<App>, stop: CancellationToken) {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = app.revocations.heard() => heard,
        };
        match heard {
            Heard::Revoked(revocation) => apply(&app, revocation),
            Heard::Missed => missed(&app).await,
        }
    }
}

/// Nothing that is remembered is gone by, and every connection's sign-in is looked up.
async fn missed(app: &App) {
    app.access.logins.forget_all();
    app.people.forget_all();
    app.sealer.forget_all();
    app.newest.forget_all();
    let logins = app.sessions.logins().await;
    let looked_up = logins.into_iter().map(|(user, login)| async move {
        match app.access.logins.is_live(login).await {
            Ok(true) => {}
            Ok(false) => app.sessions.close(user, Some(login.0)),
            // Its token ends in a while.
            Err(error) => tracing::warn!(%error, "whether a sign-in has ended cannot be read"),
        }
    });
    stream::iter(looked_up).for_each_concurrent(LOGINS_AT_ONCE, |looked_up| looked_up).await;
}
