//! HTTP: from requests to commands and reads, and from what comes back to answers.
//!
//! A route is one handler that extracts, calls one function of [`crate::wallet`] or [`crate::rooms`] (or of the
//! identity store), and answers. What all have in common is in [`envelope`]. Nothing here knows an actor.

pub mod account;
pub mod admin;
pub mod answer;
pub mod auth;
pub mod body;
pub mod caches;
pub mod config;
pub mod context;
pub mod dead_letters;
pub mod delivery;
pub mod envelope;
pub mod extract;
pub mod health;
pub mod holds;
pub mod limits;
pub mod messages;
pub mod metrics;
pub mod notifications;
pub mod openapi;
pub mod people;
pub mod presence;
pub mod problem;
pub mod rooms;
pub mod server;
pub mod users;

use std::sync::Arc;

use axum::{Router, middleware};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// All routes of a node, ready to be served.
pub fn router(app: Arc<App>) -> Router {
    let (routes, document) = documented();
    let envelope = middleware::from_fn_with_state(Arc::clone(&app), envelope::envelope);
    Router::new()
        .merge(routes)
        .merge(openapi::routes(&document))
        .fallback(envelope::not_found)
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .layer(envelope)
        // The live stream joins here, beside the envelope and not inside: an upgraded connection has no deadline.
        // `.merge(websocket routes)`
        .with_state(app)
}

/// The OpenAPI document of all routes.
pub fn document() -> OpenApi {
    documented().1
}

/// The routes with their handlers, and the document that they make.
fn documented() -> (Router<Arc<App>>, OpenApi) {
    let api = OpenApiRouter::new()
        .routes(routes!(auth::signing::sign_up))
        .routes(routes!(auth::signing::sign_in))
        .routes(routes!(auth::renewing::refresh))
        .routes(routes!(auth::renewing::sign_out))
        .routes(routes!(auth::renewing::verify))
        .routes(routes!(auth::sessions::list))
        .routes(routes!(auth::sessions::end))
        .routes(routes!(users::me, users::update, users::delete))
        .routes(routes!(users::find))
        .routes(routes!(presence::user))
        .routes(routes!(account::balance))
        .routes(routes!(account::deposit))
        .routes(routes!(account::withdraw))
        .routes(routes!(account::transfer))
        .routes(routes!(account::transactions))
        .routes(routes!(account::transaction))
        .routes(routes!(account::refund))
        .routes(routes!(holds::list, holds::hold))
        .routes(routes!(holds::read))
        .routes(routes!(holds::capture))
        .routes(routes!(holds::release))
        .routes(routes!(messages::timeline))
        .routes(routes!(rooms::create, rooms::mine))
        .routes(routes!(rooms::room, rooms::rename, rooms::close))
        .routes(routes!(rooms::members))
        .routes(routes!(presence::room))
        .routes(routes!(rooms::invite))
        .routes(routes!(rooms::join))
        .routes(routes!(rooms::leave))
        .routes(routes!(rooms::kick))
        .routes(routes!(rooms::mute))
        .routes(routes!(rooms::moderator))
        .routes(routes!(rooms::publish, rooms::history))
        .routes(routes!(rooms::edit, rooms::delete))
        .routes(routes!(rooms::read))
        .routes(routes!(rooms::block, rooms::unblock))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::read))
        .routes(routes!(notifications::read_all))
        .routes(routes!(notifications::test))
        .routes(routes!(server::create))
        .routes(routes!(server::publish))
        .routes(routes!(server::to_role))
        .routes(routes!(server::to_region))
        .routes(routes!(server::notify))
        .routes(routes!(server::disconnect))
        .routes(routes!(server::disconnect_one))
        .routes(routes!(server::user_presence))
        .routes(routes!(server::room_presence))
        .routes(routes!(admin::freeze))
        .routes(routes!(admin::unfreeze))
        .routes(routes!(people::sessions, people::end_sessions))
        .routes(routes!(people::end_session))
        .routes(routes!(people::region))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::one, dead_letters::purge))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dead_letters::redrive_all))
        .routes(routes!(dead_letters::progress))
        .routes(routes!(delivery::delivery))
        .routes(routes!(caches::caches));
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::described())
        .nest("/api/v1", api)
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .split_for_parts();
    openapi::complete(&mut document);
    (router, document)
}
