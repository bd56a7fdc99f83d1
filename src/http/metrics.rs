//! Names, units and help of what is measured of HTTP requests.

use std::time::Duration;

use axum::http::Method;
use metrics::{Unit, describe_histogram, histogram};

/// How long requests took, by `method`, `route` and `status`.
pub const REQUESTS: &str = "quickpe_http_request_duration_seconds";

/// Tells the recorder units and help. Call it once, after the recorder is installed.
pub fn describe() {
    describe_histogram!(REQUESTS, Unit::Seconds, "Time from a request's head to its answer's, by route and status.");
}

/// Counts an answered request. The route is the pattern, never the path: paths hold ids.
pub fn answered(method: &Method, route: &str, status: u16, took: Duration) {
    // Anybody can make up methods; a label has a bounded number of values.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    histogram!(REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status.to_string())
        .record(took.as_secs_f64());
}
