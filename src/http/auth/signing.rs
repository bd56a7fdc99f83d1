//! Signing up and in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{LoginId, UserId};
use protocol::code::Code;
use protocol::event::room::SecurityKind;
use protocol::http::auth::{PASSWORD_CHARS_MAX, SignInRequest, SignUpRequest, TokensResponse};
use protocol::problem::{FieldCode, FieldError, Problem};
use storage::identity::{Email, Login, NewLogin, NewUser, RefreshToken, Role, SignUp, Status, User};

use crate::app::App;
use crate::failure::Failure;
use crate::http::body::Json;
use crate::http::{people, users};
use crate::revoking;
use crate::rooms::devices;
use crate::rooms::security::{self, Security};

/// The most characters that a device may call itself by.
pub(super) const DEVICE_CHARS_MAX: usize = 64;

/// Makes a person and signs them in.
#[utoipa::path(post, path = "/auth/signup", tag = "auth", request_body = SignUpRequest, responses(
    (status = 201, description = "Signed up and signed in.", body = TokensResponse),
    (status = 409, description = "`email_taken`", body = Problem, content_type = "application/problem+json"),
))]
pub async fn sign_up(
    State(app): State<Arc<App>>,
    Json(request): Json<SignUpRequest>,
) -> Result<(StatusCode, axum::Json<TokensResponse>), Failure> {
    let mut errors = Vec::new();
    let first_name = users::name("firstName", &request.first_name, &mut errors);
    let last_name = users::name("lastName", &request.last_name, &mut errors);
    let email = users::email(&request.email, &mut errors);
    password(&app, &request.password, &mut errors);
    device(request.device.as_deref(), &mut errors);
    let region = people::parse_region(request.region.as_deref(), &mut errors);
    let (Some(first_name), Some(last_name), Some(email), true) = (first_name, last_name, email, errors.is_empty())
    else {
        return Err(Failure::fields(errors));
    };
    let new = NewUser {
        id: UserId(app.new_id()),
        email,
        first_name,
        last_name,
        password_hash: app.access.passwords.hash(request.password).await?,
        role: Role::User,
        region,
        created_at: app.now(),
    };
    let user = create(&app, new).await?;
    revoking::profile_changed(&app, user.id).await;
    // Where somebody signs up is nowhere new.
    seen(&app, user.id, request.device.as_deref()).await;
    let (tokens, _) = begin(&app, user, request.device.as_deref()).await?;
    Ok((StatusCode::CREATED, axum::Json(tokens)))
}

async fn create(app: &App, new: NewUser) -> Result<User, Failure> {
    match app.identity.create_user(new).await? {
        SignUp::Created(user) => Ok(user),
        SignUp::EmailTaken => Err(Code::EmailTaken.into()),
        SignUp::IdTaken => {
            tracing::error!("an id was drawn twice");
            Err(Code::Internal.into())
        }
    }
}

/// Signs in. Says the same, in the same time, to an unknown e-mail and to a wrong password.
#[utoipa::path(post, path = "/auth/signin", tag = "auth", request_body = SignInRequest, responses(
    (status = 200, description = "Signed in.", body = TokensResponse),
    (status = 401, description = "`bad_credentials`", body = Problem, content_type = "application/problem+json"),
))]
pub async fn sign_in(
    State(app): State<Arc<App>>,
    Json(request): Json<SignInRequest>,
) -> Result<axum::Json<TokensResponse>, Failure> {
    let mut errors = Vec::new();
    device(request.device.as_deref(), &mut errors);
    if !errors.is_empty() {
        return Err(Failure::fields(errors));
    }
    let user = match Email::parse(&request.email) {
        Ok(email) => app.identity.user_by_email(&email).await?,
        Err(_) => None,
    };
    let user = user.filter(|user| user.status == Status::Active);
    let hash = match &user {
        Some(user) => app.identity.credentials(user.id).await?.map(|credentials| credentials.password_hash),
        None => None,
    };
    let right = check_password(&app, &request.email, hash, request.password).await?;
    let user = user.filter(|_| right).ok_or_else(|| Failure::of(Code::BadCredentials))?;
    let id = user.id;
    let (tokens, login) = begin(&app, user, request.device.as_deref()).await?;
    if seen(&app, id, request.device.as_deref()).await {
        security::tell(&app, id, Security::of(SecurityKind::SignedIn).on(login.id, &login.device)).await;
    }
    Ok(axum::Json(tokens))
}

/// Whether a person was not known on this device. One that does not say its name is never known.
async fn seen(app: &Arc<App>, user: UserId, device: Option<&str>) -> bool {
    let Some(name) = device.filter(|name| !name.is_empty()) else { return true };
    match devices::seen(app, user, name).await {
        Ok(seen) => seen.is_new,
        Err(error) => {
            // Better told once too often.
            tracing::warn!(%error, "a device cannot be read");
            true
        }
    }
}

/// Whether a password is right. Each account may be tried so often in so long, from wherever, whether there is such an
/// account or not.
pub(in crate::http) async fn check_password(
    app: &App,
    email: &str,
    hash: Option<String>,
    password: String,
) -> Result<bool, Failure> {
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Ok(false);
    }
    // First a turn: who is only told that we are busy has not failed.
    let turn = app.access.passwords.turn().await?;
    let key = format!("signin:{}", email.trim().to_lowercase());
    // Counted before and forgiven after, so that many at once are no more than so many.
    match app.rate_limits.note_failure(&key, app.config.auth.failures(), app.now()).await {
        Ok(decision) if !decision.allowed => {
            return Err(Failure::of(Code::SignInLocked).retry_after(decision.retry_after));
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "failed sign-ins cannot be counted"),
    }
    let right = app.access.passwords.verify(turn, hash, password).await?;
    if right && let Err(error) = app.rate_limits.clear_failures(&key).await {
        tracing::warn!(%error, "failed sign-ins cannot be forgotten");
    }
    Ok(right)
}

/// Begins a login.
async fn begin(app: &App, user: User, device: Option<&str>) -> Result<(TokensResponse, Login), Failure> {
    let now = app.now();
    let login = NewLogin {
        id: LoginId(app.new_id()),
        user: user.id,
        device: device.unwrap_or_default().to_owned(),
        at: now,
        expires_at: now.after(app.config.auth.refresh_lasts()),
    };
    let login = app.identity.begin_login(login).await?.ok_or_else(|| Failure::of(Code::BadCredentials))?;
    app.access.logins.began(login.id);
    Ok((tokens(app, &user, &login)?, login))
}

/// The tokens of a login as it is now.
pub(super) fn tokens(app: &App, user: &User, login: &Login) -> Result<TokensResponse, Failure> {
    let token = app.tokens.issue_access(user.id, user.role, user.region, Some(login.id), app.now())?;
    let refresh = RefreshToken { login: login.id, generation: login.generation };
    Ok(TokensResponse {
        token,
        refresh_token: app.tokens.issue_refresh(refresh),
        expires_in: app.tokens.access_lasts().as_secs(),
        user: users::shown(user),
    })
}

/// Checks a new password's length.
pub(in crate::http) fn password(app: &App, password: &str, errors: &mut Vec<FieldError>) {
    let (count, least) = (password.chars().count(), app.config.auth.password_chars_min(app.config.profile));
    if count < least {
        errors.push(FieldError::of("password", FieldCode::TooShort, format!("has at least {least} characters")));
    }
    if count > PASSWORD_CHARS_MAX {
        let message = format!("has at most {PASSWORD_CHARS_MAX} characters");
        errors.push(FieldError::of("password", FieldCode::TooLong, message));
    }
}

/// Checks a device's name for itself.
pub(super) fn device(device: Option<&str>, errors: &mut Vec<FieldError>) {
    if device.is_some_and(|device| device.chars().count() > DEVICE_CHARS_MAX) {
        let message = format!("has at most {DEVICE_CHARS_MAX} characters");
        errors.push(FieldError::of("device", FieldCode::TooLong, message));
    }
}
