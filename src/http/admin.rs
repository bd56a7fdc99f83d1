//! What administrators do and see.

use std::sync::Arc;

use axum::extract::State;
use domain::ids::UserId;
use protocol::http::admin::{FreezeRequest, FreezeResponse};
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::Admin;
use crate::http::body::Json;
use crate::http::extract::Id;
use crate::wallet::freeze as freezing;

/// Stops money going out of an account, into it, or both.
#[utoipa::path(post, path = "/admin/accounts/{userId}/freeze", tag = "admin", request_body = FreezeRequest,
    params(("userId" = uuid::Uuid, Path, description = "Whose account.")), responses(
    (status = 200, description = "What is frozen now.", body = FreezeResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn freeze(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(owner): Id<UserId>,
    Json(request): Json<FreezeRequest>,
) -> Result<axum::Json<FreezeResponse>, Failure> {
    freezing::freeze(&app, &caller, owner, &request, true).await.map(axum::Json)
}

/// Lets what was stopped go again.
#[utoipa::path(post, path = "/admin/accounts/{userId}/unfreeze", tag = "admin", request_body = FreezeRequest,
    params(("userId" = uuid::Uuid, Path, description = "Whose account.")), responses(
    (status = 200, description = "What is frozen now.", body = FreezeResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn unfreeze(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    Id(owner): Id<UserId>,
    Json(request): Json<FreezeRequest>,
) -> Result<axum::Json<FreezeResponse>, Failure> {
    freezing::freeze(&app, &caller, owner, &request, false).await.map(axum::Json)
}
