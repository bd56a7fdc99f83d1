//! The answer to a command: 201, or 202 while the other side is not known to have it.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::http::IDEMPOTENCY_REPLAYED;
use serde::Serialize;

use crate::wallet::Done;

static REPLAYED: HeaderName = HeaderName::from_static(IDEMPOTENCY_REPLAYED);

/// A command that was done.
pub struct Answer<T>(pub Done<T>);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let status = if self.0.pending { StatusCode::ACCEPTED } else { StatusCode::CREATED };
        let mut response = (status, Json(self.0.body)).into_response();
        if self.0.replayed {
            response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
        }
        response
    }
}
