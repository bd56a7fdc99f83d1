//! What administrators do to people: their sign-ins, and where they are. It is written to the log under the target
//! `audit`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::ids::{LoginId, UserId};
use domain::room::Region;
use protocol::code::Code;
use protocol::http::admin::{RegionRequest, RegionResponse};
use protocol::http::auth::SessionsResponse;
use protocol::problem::{FieldCode, FieldError, Problem};

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::Admin;
use crate::http::auth::sessions;
use crate::http::body::Json;
use crate::http::extract::Id;
use crate::revoking;

/// A person's sign-ins that have not ended.
#[utoipa::path(get, path = "/admin/users/{userId}/sessions", tag = "admin",
    params(("userId" = uuid::Uuid, Path, description = "Who.")), responses(
    (status = 200, description = "All of them, at most 64.", body = SessionsResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn sessions(
    State(app): State<Arc<App>>,
    _: Admin,
    Id(user): Id<UserId>,
) -> Result<axum::Json<SessionsResponse>, Failure> {
    known(&app, user).await?;
    sessions::of(&app, user, None).await.map(axum::Json)
}

/// Ends all of a person's sign-ins and connections.
#[utoipa::path(delete, path = "/admin/users/{userId}/sessions", tag = "admin",
    params(("userId" = uuid::Uuid, Path, description = "Who.")), responses(
    (status = 204, description = "They have ended."),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(user): Id<UserId>,
) -> Result<StatusCode, Failure> {
    known(&app, user).await?;
    let ended = sessions::end_all(&app, user).await?;
    tracing::info!(target: "audit", admin = %caller.user, %user, ended, "a person's sessions are ended");
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of a person's sign-ins and its connections.
#[utoipa::path(delete, path = "/admin/users/{userId}/sessions/{id}", tag = "admin",
    params(("userId" = uuid::Uuid, Path, description = "Who."),
        ("id" = uuid::Uuid, Path, description = "The sign-in.")), responses(
    (status = 204, description = "It has ended."),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn end_session(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Path((user, login)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let (Ok(user), Ok(login)) = (user.parse::<UserId>(), login.parse::<LoginId>()) else {
        return Err(Code::NotFound.into());
    };
    sessions::end_one(&app, user, login).await?;
    tracing::info!(target: "audit", admin = %caller.user, %user, %login, "a person's session is ended");
    Ok(StatusCode::NO_CONTENT)
}

/// Says where a person is. Their tokens say so from the next one on.
#[utoipa::path(put, path = "/admin/users/{userId}/region", tag = "admin", request_body = RegionRequest,
    params(("userId" = uuid::Uuid, Path, description = "Who.")), responses(
    (status = 200, description = "Where they are now.", body = RegionResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn region(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(user): Id<UserId>,
    Json(request): Json<RegionRequest>,
) -> Result<axum::Json<RegionResponse>, Failure> {
    let mut errors = Vec::new();
    let region = parse_region(request.region.as_deref(), &mut errors);
    if !errors.is_empty() {
        return Err(Failure::fields(errors));
    }
    let changed = app.identity.change_region(user, region).await?.ok_or_else(|| Failure::of(Code::NotFound))?;
    revoking::profile_changed(&app, user).await;
    tracing::info!(target: "audit", admin = %caller.user, %user, ?region, "a person's region is changed");
    Ok(axum::Json(RegionResponse { user_id: user, region: changed.region.map(|region| region.to_string()) }))
}

/// Takes a region, or says what is wrong with it.
pub(in crate::http) fn parse_region(text: Option<&str>, errors: &mut Vec<FieldError>) -> Option<Region> {
    let region = text?.trim().parse::<Region>();
    region.map_err(|error| errors.push(FieldError::of("region", FieldCode::Malformed, error.to_string()))).ok()
}

/// Refuses a person who is not there.
async fn known(app: &App, user: UserId) -> Result<(), Failure> {
    let person = app.identity.person(user).await?.and_then(storage::identity::Person::live);
    person.map(drop).ok_or_else(|| Failure::of(Code::NotFound))
}
