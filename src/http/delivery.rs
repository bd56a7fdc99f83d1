//! What deliveries came to.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::delivery::Class;
use protocol::http::admin::{ClassDelivery, DeliveryResponse};
use protocol::problem::Problem;

use crate::app::App;
use crate::http::auth::caller::Admin;

/// What deliveries of this node came to since it began, by class.
#[utoipa::path(get, path = "/admin/delivery", tag = "admin", responses(
    (status = 200, description = "Counts and times.", body = DeliveryResponse),
    (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn delivery(State(app): State<Arc<App>>, _: Admin) -> Json<DeliveryResponse> {
    let classes = Class::ALL.map(|class| {
        let read = app.streams.stats().read(class);
        let ended = read.delivered.saturating_add(read.dead);
        ClassDelivery {
            class,
            sent: read.sent,
            delivered: read.delivered,
            retried: read.retried,
            shed: read.shed,
            dead: read.dead,
            success_per_10k: read.delivered.saturating_mul(10_000).checked_div(ended),
            p50_ms: read.p50_ms,
            p99_ms: read.p99_ms,
        }
    });
    Json(DeliveryResponse {
        classes: classes.into(),
        followers: u64::try_from(app.streams.followers()).unwrap_or(u64::MAX),
        dead_letters_per_minute: app.dead_letters.per_minute(app.now()),
    })
}
