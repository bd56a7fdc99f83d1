//! One's own profile, and finding others.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::UserId;
use protocol::code::Code;
use protocol::event::room::SecurityKind;
use protocol::http::user::{
    DeleteUserRequest, FOUND_MAX, FindUsersRequest, FindUsersResponse, UpdateUserRequest, User,
};
use protocol::problem::{FieldCode, FieldError, Problem};
use protocol::value::{Handle, Role, Time};
use storage::identity::{self, Email, Person, PersonName, ProfileChange, ProfileChanged};

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::SignedIn;
use crate::http::auth::signing;
use crate::http::body::Json;
use crate::revoking;
use crate::rooms::security::{self, Security};
use crate::wallet::{Caller, erasure};

/// The most characters of a search: the longest e-mail.
const FILTER_CHARS_MAX: usize = 254;

/// How often a change is tried on what somebody else made of the profile meanwhile.
const CHANGE_TRIES: usize = 4;

/// Oneself.
#[utoipa::path(get, path = "/user/me", tag = "user", responses(
    (status = 200, description = "The caller.", body = User),
), security(("bearer" = [])))]
pub async fn me(State(app): State<Arc<App>>, SignedIn(caller): SignedIn) -> Result<axum::Json<User>, Failure> {
    Ok(axum::Json(shown(&of(&app, caller.user).await?)))
}

/// Changes what is given of oneself. A new e-mail or password needs the password of now; a new password ends all other
/// logins.
#[utoipa::path(patch, path = "/user/me", tag = "user", request_body = UpdateUserRequest, responses(
    (status = 200, description = "The caller, changed.", body = User),
    (status = 409, description = "`email_taken` or `conflict`", body = Problem,
        content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn update(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Json(request): Json<UpdateUserRequest>,
) -> Result<axum::Json<User>, Failure> {
    let mut errors = Vec::new();
    let change = ProfileChange {
        first_name: request.first_name.as_deref().and_then(|text| name("firstName", text, &mut errors)),
        last_name: request.last_name.as_deref().and_then(|text| name("lastName", text, &mut errors)),
        email: request.email.as_deref().and_then(|text| email(text, &mut errors)),
    };
    if let Some(password) = &request.password {
        signing::password(&app, password, &mut errors);
    }
    let needs_password = request.email.is_some() || request.password.is_some();
    if needs_password && request.current_password.is_none() {
        errors.push(FieldError::of("currentPassword", FieldCode::Required, "is needed for this change"));
    }
    if !errors.is_empty() {
        return Err(Failure::fields(errors));
    }
    let user = of(&app, caller.user).await?;
    let hash = match request.current_password {
        Some(password) if needs_password => Some(confirmed(&app, &user, password).await?),
        _ => None,
    };
    // The e-mail, which may be taken, before the password, which nothing forbids: all or nothing but for a crash.
    let user = change_profile(&app, user, change).await?;
    if let (Some(new), Some(hash)) = (request.password, hash) {
        change_password(&app, &caller, hash, new).await?;
    }
    Ok(axum::Json(shown(&user)))
}

async fn change_profile(app: &App, mut user: identity::User, change: ProfileChange) -> Result<identity::User, Failure> {
    if change.first_name.is_none() && change.last_name.is_none() && change.email.is_none() {
        return Ok(user);
    }
    for _ in 0..CHANGE_TRIES {
        match app.identity.update_profile(user.id, user.version, change.clone()).await? {
            ProfileChanged::Changed(user) => {
                revoking::profile_changed(app, user.id).await;
                return Ok(user);
            }
            ProfileChanged::Stale(now) => user = now,
            ProfileChanged::EmailTaken => return Err(Code::EmailTaken.into()),
            ProfileChanged::Unknown => return Err(Code::TokenInvalid.into()),
        }
    }
    Err(Code::Conflict.into())
}

async fn change_password(app: &Arc<App>, caller: &Caller, from: String, to: String) -> Result<(), Failure> {
    let to = app.access.passwords.hash(to).await?;
    if !app.identity.change_password(caller.user, from, to, app.now()).await? {
        return Err(Code::Conflict.into());
    }
    for login in app.identity.end_logins(caller.user, caller.login).await? {
        revoking::login_ended(app, caller.user, login).await;
    }
    security::tell(app, caller.user, Security::of(SecurityKind::PasswordChanged)).await;
    Ok(())
}

/// The hash of the caller's password, if `password` is it.
async fn confirmed(app: &App, user: &identity::User, password: String) -> Result<String, Failure> {
    let credentials = app.identity.credentials(user.id).await?;
    let hash = credentials.map(|credentials| credentials.password_hash);
    let right = signing::check_password(app, user.email.as_str(), hash.clone(), password).await?;
    hash.filter(|_| right).ok_or_else(|| Failure::of(Code::BadCredentials))
}

/// Erases oneself. Refused while the account holds money, open holds or unsettled transfers.
#[utoipa::path(delete, path = "/user/me", tag = "user", request_body = DeleteUserRequest, responses(
    (status = 204, description = "Erased."),
    (status = 409, description = "`account_not_empty`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn delete(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Json(request): Json<DeleteUserRequest>,
) -> Result<StatusCode, Failure> {
    let user = of(&app, caller.user).await?;
    confirmed(&app, &user, request.password).await?;
    // Not undone half-way by a client that leaves.
    let erasing = tokio::spawn(async move { erasure::erase(&app, caller.user, caller.origin).await });
    erasing.await.map_err(|_| Failure::of(Code::OutcomeUnknown))??;
    Ok(StatusCode::NO_CONTENT)
}

/// Finds people by the start of a name or QuickPe id, or by a whole e-mail.
#[utoipa::path(post, path = "/user/bulk", tag = "user", request_body = FindUsersRequest, responses(
    (status = 200, description = "Who was found.", body = FindUsersResponse),
), security(("bearer" = [])))]
pub async fn find(
    State(app): State<Arc<App>>,
    _: SignedIn,
    Json(request): Json<FindUsersRequest>,
) -> Result<axum::Json<FindUsersResponse>, Failure> {
    let limit = request.limit.unwrap_or(FOUND_MAX);
    if !(1..=FOUND_MAX).contains(&limit) {
        let code = if limit == 0 { FieldCode::TooSmall } else { FieldCode::TooLarge };
        return Err(Failure::field("limit", code, "is 1 to 20"));
    }
    if request.filter.chars().count() > FILTER_CHARS_MAX {
        return Err(Failure::field("filter", FieldCode::TooLong, "has at most 254 characters"));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let users = app.people.find(request.filter.trim(), limit).await?;
    Ok(axum::Json(FindUsersResponse { users: users.to_vec() }))
}

/// The live person that a token names.
///
/// # Errors
/// [`Code::TokenInvalid`]: they are erased.
pub async fn of(app: &App, user: UserId) -> Result<identity::User, Failure> {
    let person = app.identity.person(user).await?;
    person.and_then(Person::live).ok_or_else(|| Failure::of(Code::TokenInvalid))
}

/// A person, as they see themselves.
pub fn shown(user: &identity::User) -> User {
    User {
        id: user.id,
        quickpe_id: Handle(user.quickpe_id),
        first_name: user.first_name.as_str().to_owned(),
        last_name: user.last_name.as_str().to_owned(),
        email: user.email.as_str().to_owned(),
        role: match user.role {
            identity::Role::User => Role::User,
            identity::Role::Treasury => Role::Treasury,
            identity::Role::Admin => Role::Admin,
            identity::Role::Support => Role::Support,
        },
        region: user.region.map(|region| region.to_string()),
        created_at: Time::of(user.created_at),
    }
}

/// Takes a name, or says what is wrong with it.
pub(super) fn name(field: &'static str, text: &str, errors: &mut Vec<FieldError>) -> Option<PersonName> {
    let name = PersonName::parse(text);
    let (code, message) = match text.trim().chars().count() {
        0 => (FieldCode::TooShort, "has at least 1 character"),
        count if count > 64 => (FieldCode::TooLong, "has at most 64 characters"),
        _ => (FieldCode::Malformed, "has no control characters"),
    };
    name.map_err(|_| errors.push(FieldError::of(field, code, message))).ok()
}

/// Takes an e-mail, or says what is wrong with it.
pub(super) fn email(text: &str, errors: &mut Vec<FieldError>) -> Option<Email> {
    let email = Email::parse(text);
    email.map_err(|_| errors.push(FieldError::of("email", FieldCode::Malformed, "is not an e-mail address"))).ok()
}
