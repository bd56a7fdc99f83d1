//! Whether the node is well, and what was measured.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use protocol::http::health::{HealthResponse, HealthStatus};

use crate::app::App;

/// All parts.
#[utoipa::path(get, path = "/health", tag = "node", responses(
    (status = 200, description = "The node serves.", body = HealthResponse),
    (status = 503, description = "It does not.", body = HealthResponse),
))]
pub async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<HealthResponse>) {
    answer(app.readiness.report())
}

/// Whether the process answers at all. If it does not, start it again.
#[utoipa::path(get, path = "/health/live", tag = "node", responses(
    (status = 200, description = "It does.", body = HealthResponse),
    (status = 503, description = "It does not.", body = HealthResponse),
))]
pub async fn live(State(app): State<Arc<App>>) -> (StatusCode, Json<HealthResponse>) {
    answer(app.readiness.live())
}

/// Whether clients should be sent here.
#[utoipa::path(get, path = "/health/ready", tag = "node", responses(
    (status = 200, description = "They should.", body = HealthResponse),
    (status = 503, description = "They should not.", body = HealthResponse),
))]
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<HealthResponse>) {
    answer(app.readiness.report())
}

fn answer(health: HealthResponse) -> (StatusCode, Json<HealthResponse>) {
    let status = match health.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(health))
}

/// What was measured, as Prometheus reads it.
#[utoipa::path(get, path = "/metrics", tag = "node", responses(
    (status = 200, description = "Metrics in the text format of Prometheus.", body = String,
        content_type = "text/plain"),
))]
pub async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
