//! The id by which a request is found in the logs: its sender's, or one that is made.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use protocol::http::REQUEST_ID;

/// The header, of requests and answers alike.
const HEADER: HeaderName = HeaderName::from_static(REQUEST_ID);

/// The most characters of an id that is taken from its sender.
const CHARS_MAX: usize = 128;

/// The sender's id of a request, if it can be put into a line of a log.
pub fn of(headers: &HeaderMap) -> Option<Box<str>> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let sound = (1..=CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| id.into())
}

/// A new id.
pub fn made() -> Box<str> {
    uuid::Uuid::new_v4().to_string().into()
}

/// Names the request in the headers of its answer.
pub fn write(id: &str, headers: &mut HeaderMap) {
    // Visible characters, all of them: always a header's value.
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HEADER, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_id_is_bounded_and_visible() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            of(&headers)
        };
        assert_eq!(id("abc-1").as_deref(), Some("abc-1"));
        assert_eq!([id(""), id("a b"), id("é"), id(&"x".repeat(129))], [None, None, None, None]);
        assert_eq!(of(&HeaderMap::new()), None);
    }
}
