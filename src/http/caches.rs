//! How often caches had what was asked for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::http::admin::CacheResponse;
use protocol::problem::Problem;

use crate::app::App;
use crate::cache;
use crate::http::auth::caller::Admin;

/// How often the caches of this node had what was asked for since it began, by cache and level.
#[utoipa::path(get, path = "/admin/cache", tag = "admin", responses(
    (status = 200, description = "Counts and rates.", body = CacheResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn caches(State(app): State<Arc<App>>, _: Admin) -> Json<CacheResponse> {
    Json(cache::report(&app))
}
