//! One's sign-ins: which there are, and ending one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{LoginId, UserId};
use protocol::code::Code;
use protocol::event::room::SecurityKind;
use protocol::http::auth::{LoginSession, SessionsResponse};
use protocol::problem::Problem;
use protocol::value::Time;
use storage::identity::Login;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::SignedIn;
use crate::http::extract::Id;
use crate::revoking;
use crate::rooms::presence;
use crate::rooms::security::{self, Security};

/// One's sign-ins that have not ended, with the device that each is of.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", responses(
    (status = 200, description = "All of them, at most 64.", body = SessionsResponse),
), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<axum::Json<SessionsResponse>, Failure> {
    of(&app, caller.user, caller.login).await.map(axum::Json)
}

/// Ends one of one's sign-ins: its tokens are good for nothing any more, and its connections are closed (4403).
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "auth",
    params(("id" = uuid::Uuid, Path, description = "The sign-in.")), responses(
    (status = 204, description = "It has ended."),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn end(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(login): Id<LoginId>,
) -> Result<StatusCode, Failure> {
    end_one(&app, caller.user, login).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A person's sign-ins; `current` is the one that asks, if it is one of them.
///
/// # Errors
/// The identity store does not answer. That of presence may be away: then nobody seems online.
pub async fn of(app: &App, user: UserId, current: Option<LoginId>) -> Result<SessionsResponse, Failure> {
    let connected = presence::sessions(app, user).await.unwrap_or_else(|failure| {
        tracing::warn!(code = %failure.code, "who is online cannot be read");
        Vec::new()
    });
    let now = app.now();
    let logins = app.identity.logins(user).await?.into_iter().filter(|login| login.expires_at > now);
    let shown = |login: Login| LoginSession {
        id: login.id,
        online: connected.iter().any(|present| present.login == Some(login.id)),
        current: current == Some(login.id),
        device: Some(login.device).filter(|device| !device.is_empty()),
        created_at: Time::of(login.created_at),
        last_seen_at: Time::of(login.used_at),
        expires_at: Time::of(login.expires_at),
    };
    Ok(SessionsResponse { sessions: logins.map(shown).collect() })
}

/// Ends one of a person's sign-ins, and tells them.
///
/// # Errors
/// [`Code::NotFound`]: they have no such sign-in.
pub async fn end_one(app: &Arc<App>, user: UserId, login: LoginId) -> Result<(), Failure> {
    let not_found = || Failure::of(Code::NotFound);
    let known = app.identity.login(login).await?.filter(|known| known.user == user).ok_or_else(not_found)?;
    if !app.identity.end_login(user, login).await? {
        return Err(not_found());
    }
    ended(app, &known).await;
    Ok(())
}

/// Ends all of a person's sign-ins and connections, and tells them of each.
///
/// # Errors
/// The identity store does not answer.
pub async fn end_all(app: &Arc<App>, user: UserId) -> Result<usize, Failure> {
    let known = app.identity.logins(user).await?;
    let ids = app.identity.end_logins(user, None).await?;
    for id in &ids {
        revoking::login_ended(app, user, *id).await;
    }
    // Those of tokens that belong to no login too.
    revoking::disconnected(app, user, None).await;
    for login in known.iter().filter(|known| ids.contains(&known.id)) {
        tell(app, login).await;
    }
    Ok(ids.len())
}

async fn ended(app: &Arc<App>, login: &Login) {
    revoking::login_ended(app, login.user, login.id).await;
    tell(app, login).await;
}

async fn tell(app: &Arc<App>, login: &Login) {
    security::tell(app, login.user, Security::of(SecurityKind::SessionEnded).on(login.id, &login.device)).await;
}
