//! Who is online, and who is in a room now.

use std::sync::Arc;

use axum::extract::State;
use domain::ids::{RoomId, UserId};
use protocol::http::presence::{PresenceResponse, RoomPresenceResponse};
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::SignedIn;
use crate::http::extract::Id;
use crate::rooms::presence;

/// Whether somebody is online who shares a room with the caller; of oneself also on which devices.
#[utoipa::path(get, path = "/user/{user}/presence", tag = "user",
    params(("user" = uuid::Uuid, Path, description = "Who.")), responses(
    (status = 200, description = "As it is now.", body = PresenceResponse),
    (status = 404, description = "`not_found`: nobody, or nobody who shares a room with the caller.", body = Problem,
        content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn user(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(user): Id<UserId>,
) -> Result<axum::Json<PresenceResponse>, Failure> {
    presence::of(&app, &caller, user).await.map(axum::Json)
}

/// Who follows a room now.
#[utoipa::path(get, path = "/rooms/{id}/presence", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 200, description = "As it is now.", body = RoomPresenceResponse),
    (status = 403, description = "`blocked`", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn room(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
) -> Result<axum::Json<RoomPresenceResponse>, Failure> {
    presence::room(&app, &caller, room).await.map(axum::Json)
}
