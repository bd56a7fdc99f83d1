//! Notices to a person.

use std::sync::Arc;

use axum::extract::State;
use protocol::http::room::{NotificationResponse, NotificationsQuery, NotificationsResponse};
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::auth::caller::SignedIn;
use crate::http::extract::{Id, Params};
use crate::rooms::notices;

/// One's notices, newest first.
#[utoipa::path(get, path = "/notifications", tag = "rooms", params(NotificationsQuery), responses(
    (status = 200, description = "A page; it may be short, and have a next one.", body = NotificationsResponse),
), security(("bearer" = [])))]
pub async fn list(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Params(query): Params<NotificationsQuery>,
) -> Result<axum::Json<NotificationsResponse>, Failure> {
    notices::list(&app, &caller, &query).await.map(axum::Json)
}

/// Says that one was read.
#[utoipa::path(patch, path = "/notifications/{id}/read", tag = "rooms",
    params(("id" = String, Path, description = "The notice.")), responses(
    (status = 200, description = "It is read.", body = NotificationResponse),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn read(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<String>,
) -> Result<axum::Json<NotificationResponse>, Failure> {
    notices::read(&app, &caller, &id).await.map(axum::Json)
}

/// Says that all were read.
#[utoipa::path(post, path = "/notifications/read-all", tag = "rooms", responses(
    (status = 200, description = "All are read.", body = NotificationResponse),
), security(("bearer" = [])))]
pub async fn read_all(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<axum::Json<NotificationResponse>, Failure> {
    notices::read_all(&app, &caller).await.map(axum::Json)
}

/// Tells oneself something, to see that it arrives.
#[utoipa::path(post, path = "/notifications/test", tag = "rooms", responses(
    (status = 200, description = "It is on its way.", body = NotificationResponse),
), security(("bearer" = [])))]
pub async fn test(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<axum::Json<NotificationResponse>, Failure> {
    notices::test(&app, &caller).await.map(axum::Json)
}
