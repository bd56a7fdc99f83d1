//! What every request passes on its way in and every answer on its way out.
//!
//! In: an id, a span of its trace, the client's address, its limit, a deadline. Out: the problem's body, the id, the
//! span, the limit's headers, a line in the log and a figure in the metrics. A handler that panics is a problem too;
//! the node goes on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use protocol::code::Code;
use tracing::Instrument;

use crate::app::App;
use crate::edge::request_id;
use crate::failure::Failure;
use crate::http::context::Context;
use crate::http::{limits, metrics, problem};
use crate::trace;

/// Takes a request through its handler.
pub async fn envelope(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let context = Context::of(&app, &request);
    request.extensions_mut().insert(Arc::clone(&context));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", id = %context.id, trace = context.trace_id());
    let mut response = answer(&app, &context, request, next).instrument(span.clone()).await;
    let code = problem::render(&mut response, &context.id);
    write_headers(&context, route.as_ref(), response.headers_mut());
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics::answered(&method, route, response.status().as_u16(), began.elapsed());
    span.in_scope(|| {
        let (status, took) = (response.status().as_u16(), began.elapsed());
        tracing::debug!(%method, route, status, code = code.map(Code::as_str), ?took, "answered");
    });
    response
}

/// The handler's answer, or what stands for it when there is none.
async fn answer(app: &App, context: &Context, request: Request, next: Next) -> Response {
    if is_limited(request.uri().path())
        && let Err(failure) = limits::address(app, context).await
    {
        return failure.into_response();
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(app.config.http.request_timeout(), handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            tracing::error!(what = what(panic.as_ref()), "a handler panicked");
            Failure::of(Code::Internal).into_response()
        }
        // What was handed over may be done yet: only of a read it is sure that nothing was.
        Err(_) if is_read => Failure::of(Code::Busy).into_response(),
        Err(_) => Failure::of(Code::OutcomeUnknown).into_response(),
    }
}

/// Whether a path is a client's. The node's own health and figures are asked for by its keepers.
fn is_limited(path: &str) -> bool {
    !(path.starts_with("/health") || path == "/metrics")
}

fn what(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("something that is no text")
}

fn write_headers(context: &Context, route: Option<&MatchedPath>, headers: &mut HeaderMap) {
    request_id::write(&context.id, headers);
    trace::write(context.span, headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // People's money and tokens are nothing for a cache on the way; the page of the documentation is.
    if route.is_none_or(|route| route.as_str().starts_with("/api/v1")) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some((limit, decision)) = context.limit() {
        limits::write(limit, decision, headers);
    }
}

/// Nothing is at this path.
pub async fn not_found() -> Failure {
    Code::NotFound.into()
}

/// Something is at this path, but not for this method.
pub async fn method_not_allowed() -> Failure {
    Code::MethodNotAllowed.into()
}
