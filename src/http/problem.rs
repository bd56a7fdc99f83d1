//! Failures as problems (RFC 9457).
//!
//! A handler answers a [`Failure`]; it becomes a body where the request's id is known, in [`render`].

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::code::Code;
use protocol::problem;

use crate::failure::Failure;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a failure that a handler answered. Answers its code.
pub fn render(response: &mut Response, request_id: &str) -> Option<Code> {
    let failure = response.extensions_mut().remove::<Failure>()?;
    let body = serde_json::to_vec(&failure.problem(request_id)).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    if failure.code.status() == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(after) = failure.retry_after {
        // In whole seconds, and never too early.
        let seconds = after.as_millis().div_ceil(1000).max(1);
        headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    Some(failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_failure_becomes_a_problem() {
        let failure = Failure::of(Code::Busy).retry_after(Duration::from_millis(1_001));
        let mut response = failure.into_response();
        assert_eq!(render(&mut response, "id-1"), Some(Code::Busy));
        assert_eq!(render(&mut response, "id-1"), None, "once");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: problem::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.code, problem.retry_after_ms, &*problem.request_id), (Code::Busy, Some(1_001), "id-1"));
    }

    #[test]
    fn who_is_not_signed_in_is_told_how() {
        let mut response = Failure::of(Code::TokenExpired).into_response();
        render(&mut response, "id");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
