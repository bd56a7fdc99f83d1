//! Going on with a login, ending it, and asking whose it is.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::ids::LoginId;
use domain::ids::UserId;
use protocol::code::Code;
use protocol::event::room::SecurityKind;
use protocol::http::auth::{RefreshRequest, SignOutRequest, TokensResponse, VerifyResponse};
use protocol::problem::Problem;
use protocol::value::Time;
use storage::identity::{Login, Rotate, Rotation};

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::{SignedIn, bearer, check};
use crate::http::auth::signing::{device, tokens};
use crate::http::body::{Json, OptionalJson};
use crate::http::users;
use crate::revoking;
use crate::rooms::security::{self, Security};

/// Exchanges a refresh token for new tokens. Each is good once; a second use ends the login, but for the same one from
/// the same device within 10 s, which gets the same successor.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = RefreshRequest, responses(
    (status = 200, description = "The next tokens.", body = TokensResponse),
    (status = 401, description = "`token_expired`, `token_invalid` or `token_reused`", body = Problem,
        content_type = "application/problem+json"),
))]
pub async fn refresh(
    State(app): State<Arc<App>>,
    Json(request): Json<RefreshRequest>,
) -> Result<axum::Json<TokensResponse>, Failure> {
    let mut errors = Vec::new();
    device(request.device.as_deref(), &mut errors);
    if !errors.is_empty() {
        return Err(Failure::fields(errors));
    }
    let token = app.tokens.verify_refresh(&request.refresh_token).ok_or_else(|| Failure::of(Code::TokenInvalid))?;
    let now = app.now();
    let rotate = Rotate {
        login: token.login,
        generation: token.generation,
        device: request.device.unwrap_or_default(),
        at: now,
        expires_at: now.after(app.config.auth.refresh_lasts()),
    };
    // Read before it ends, if it does: what it is called is told to its owner.
    let device = app.identity.login(token.login).await?.map(|login| login.device).unwrap_or_default();
    let login = rotated(&app, token.login, &device, app.identity.rotate(rotate).await?).await?;
    let user = app.identity.person(login.user).await?.and_then(storage::identity::Person::live);
    let user = user.ok_or_else(|| Failure::of(Code::TokenInvalid))?;
    tokens(&app, &user, &login).map(axum::Json)
}

/// The login that goes on, or why it does not.
async fn rotated(app: &Arc<App>, login: LoginId, device: &str, rotation: Rotation) -> Result<Login, Failure> {
    match rotation {
        Rotation::Rotated(login) | Rotation::Repeated(login) => Ok(login),
        Rotation::Reused { user } => {
            tracing::warn!(%user, %login, "a refresh token was used twice: the login was ended");
            revoking::login_ended(app, user, login).await;
            security::tell(app, user, Security::of(SecurityKind::TokenReused).on(login, device)).await;
            Err(Code::TokenReused.into())
        }
        Rotation::Expired => {
            app.access.logins.ended(login);
            Err(Code::TokenExpired.into())
        }
        Rotation::Unknown => Err(Code::TokenInvalid.into()),
    }
}

/// Who signs out: by the refresh token in the body, else by the access token.
pub struct SigningOut(Option<Arc<str>>);

impl FromRequestParts<Arc<App>> for SigningOut {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(bearer(parts).map(Arc::from)))
    }
}

/// Ends a login: the one of the refresh token, else the access token's own. Ending one that has ended changes nothing.
#[utoipa::path(post, path = "/auth/signout", tag = "auth", request_body = Option<SignOutRequest>, responses(
    (status = 204, description = "The login has ended."),
    (status = 401, description = "Neither token says whose login to end.", body = Problem,
        content_type = "application/problem+json"),
), security((), ("bearer" = [])))]
pub async fn sign_out(
    State(app): State<Arc<App>>,
    SigningOut(bearer): SigningOut,
    OptionalJson(request): OptionalJson<SignOutRequest>,
) -> Result<StatusCode, Failure> {
    let (user, login) = match (&request.refresh_token, bearer) {
        (Some(text), _) => {
            let token = app.tokens.verify_refresh(text).ok_or_else(|| Failure::of(Code::TokenInvalid))?;
            match app.identity.login(token.login).await? {
                Some(login) => (login.user, login.id),
                None => return Ok(StatusCode::NO_CONTENT),
            }
        }
        (None, Some(bearer)) => {
            let granted = check(&app, &bearer).await?;
            match granted.login {
                Some(login) => (granted.user, login),
                None => return Ok(StatusCode::NO_CONTENT),
            }
        }
        (None, None) => return Err(Code::Unauthenticated.into()),
    };
    end(&app, user, login).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(app: &App, user: UserId, login: LoginId) -> Result<(), Failure> {
    app.identity.end_login(user, login).await?;
    revoking::login_ended(app, user, login).await;
    Ok(())
}

/// Says whose token it is and when it ends.
#[utoipa::path(get, path = "/auth/verify", tag = "auth", responses(
    (status = 200, description = "The token is good.", body = VerifyResponse),
), security(("bearer" = [])))]
pub async fn verify(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<axum::Json<VerifyResponse>, Failure> {
    let user = users::of(&app, caller.user).await?;
    Ok(axum::Json(VerifyResponse { user: users::shown(&user), expires_at: Time::of(caller.expires_at) }))
}
