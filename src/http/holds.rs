//! Holds: money set aside for a payee.

use std::sync::Arc;

use axum::extract::State;
use domain::ids::HoldId;
use protocol::http::KeyHeader;
use protocol::http::hold::{CaptureRequest, CaptureResponse, Hold, HoldRequest, HoldResponse, ReleaseResponse};
use protocol::http::page::{Items, PageQuery};
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::answer::Answer;
use crate::http::auth::caller::SignedIn;
use crate::http::body::{Json, OptionalJson};
use crate::http::extract::{Id, Key, Params};
use crate::wallet;

/// The caller's holds, as payer or payee, newest first.
#[utoipa::path(get, path = "/account/holds", tag = "holds", params(PageQuery), responses(
    (status = 200, description = "A page.", body = Items<Hold>),
), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Items<Hold>>, Failure> {
    wallet::holds::reading::holds(&app, &caller, &query).await.map(axum::Json)
}

/// One hold, for its payer or payee.
#[utoipa::path(get, path = "/account/holds/{id}", tag = "holds",
    params(("id" = uuid::Uuid, Path, description = "The hold.")), responses(
    (status = 200, description = "The hold.", body = Hold),
    (status = 404, description = "`hold_not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn read(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<HoldId>,
) -> Result<axum::Json<Hold>, Failure> {
    wallet::holds::reading::hold(&app, &caller, id).await.map(axum::Json)
}

/// Sets money aside for a payee.
#[utoipa::path(post, path = "/account/holds", tag = "holds", request_body = HoldRequest,
    params(KeyHeader), responses(
    (status = 201, description = "Set aside.", body = HoldResponse),
    (status = 404, description = "`payee_not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Refused by a rule.", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn hold(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    key: Key,
    Json(request): Json<HoldRequest>,
) -> Result<Answer<HoldResponse>, Failure> {
    wallet::holds::hold(&app, &caller, &request, key.text()).await.map(Answer)
}

/// Takes what was set aside for the caller, in part or whole; the rest is released.
#[utoipa::path(post, path = "/account/holds/{id}/capture", tag = "holds", request_body = Option<CaptureRequest>,
    params(("id" = uuid::Uuid, Path, description = "The hold."), KeyHeader), responses(
    (status = 201, description = "Captured.", body = CaptureResponse),
    (status = 202, description = "Captured; on its way to the payee.", body = CaptureResponse),
    (status = 403, description = "The caller is its payer.", body = Problem,
        content_type = "application/problem+json"),
    (status = 404, description = "`hold_not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "`hold_resolved` or `hold_expired`", body = Problem,
        content_type = "application/problem+json"),
    (status = 422, description = "Refused by a rule.", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn capture(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<HoldId>,
    key: Key,
    OptionalJson(request): OptionalJson<CaptureRequest>,
) -> Result<Answer<CaptureResponse>, Failure> {
    wallet::holds::capture(&app, &caller, id, &request, key.text()).await.map(Answer)
}

/// Gives a hold back to its payer. Releasing what is released changes nothing.
#[utoipa::path(post, path = "/account/holds/{id}/release", tag = "holds",
    params(("id" = uuid::Uuid, Path, description = "The hold.")), responses(
    (status = 200, description = "Released.", body = ReleaseResponse),
    (status = 404, description = "`hold_not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "`hold_resolved` or `hold_expired`", body = Problem,
        content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn release(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<HoldId>,
) -> Result<axum::Json<ReleaseResponse>, Failure> {
    wallet::holds::release(&app, &caller, id).await.map(axum::Json)
}
