//! Messages, one by one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::http::message::TimelineResponse;
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::SignedIn;
use crate::http::extract::Id;
use crate::tracking;

/// What became of a message of one's own money or notices, or of one that tells somebody of a transfer of one's own.
/// The roles `admin` and `support` may ask of any.
#[utoipa::path(get, path = "/messages/{id}/timeline", tag = "user",
    params(("id" = String, Path, description = "The message's `id`, as it came.")), responses(
    (status = 200, description = "Its way to each device.", body = TimelineResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn timeline(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<String>,
) -> Result<Json<TimelineResponse>, Failure> {
    tracking::timeline(&app, &caller, &id).await.map(Json)
}
