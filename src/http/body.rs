//! Bodies: JSON, of bounded size, in bounded time.
//!
//! A body over the limit is read and dropped up to a second limit, so that its sender, who is still sending, hears
//! the answer instead of a broken connection.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use protocol::code::Code;
use protocol::problem::{FieldCode, FieldError};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::failure::Failure;
use crate::http::config::HttpConfig;

/// A JSON body.
pub struct Json<T>(pub T);

/// A JSON body that may be left out, or be `null`, where all its fields may.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read(&app.config.http, body).await?;
        is_json(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read(&app.config.http, body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        is_json(&parts.headers)?;
        if bytes.trim_ascii() == b"null" {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// Reads a body to its end.
async fn read(config: &HttpConfig, body: Body) -> Result<Bytes, Failure> {
    match tokio::time::timeout(config.body_timeout(), read_bounded(config, body)).await {
        Ok(read) => read,
        Err(_) => Err(Failure::of(Code::Malformed).saying("The body did not arrive in time.")),
    }
}

async fn read_bounded(config: &HttpConfig, body: Body) -> Result<Bytes, Failure> {
    let mut chunks = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::of(Code::Malformed).saying("The body ended early."))?;
        seen = seen.saturating_add(chunk.len());
        if seen > config.drop_bytes_max {
            break;
        }
        if seen <= config.body_bytes_max {
            kept.extend_from_slice(&chunk);
        } else {
            kept.clear();
        }
    }
    if seen <= config.body_bytes_max { Ok(kept.freeze()) } else { Err(Code::TooLarge.into()) }
}

/// `application/json`, or any `application/…+json`, whatever its parameters.
fn is_json(headers: &HeaderMap) -> Result<(), Failure> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    if subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json")) {
        Ok(())
    } else {
        Err(Code::UnsupportedMediaType.into())
    }
}

/// Reads a JSON object.
///
/// # Errors
/// It is none, or a field is missing or not of its type: which, is said.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // An array would be read as a struct's fields in order, and nobody means that.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Code::Malformed.into());
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => wrong_field::<T>(bytes),
        _ => Failure::of(Code::Malformed),
    })
}

/// What is wrong with which field of a body that is JSON: read once more, with an eye on the path.
fn wrong_field<T: DeserializeOwned>(bytes: &[u8]) -> Failure {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else { return Code::Malformed.into() };
    let path = error.path().to_string();
    let text = error.inner().to_string();
    // What was sent is not repeated: it may be a password.
    if let Some(field) = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return FieldError::of(field, FieldCode::Required, "is missing").into();
    }
    if path == "." {
        return Code::Malformed.into();
    }
    FieldError::of(path, FieldCode::Malformed, "is not of the expected type or form").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use futures_util::stream;
    use protocol::http::account::TransferRequest;
    use protocol::http::auth::SignUpRequest;

    fn config() -> HttpConfig {
        HttpConfig { body_bytes_max: 10, drop_bytes_max: 100, body_timeout_ms: 20, ..HttpConfig::default() }
    }

    fn in_chunks(chunks: usize, of: usize) -> Body {
        Body::from_stream(stream::iter((0..chunks).map(move |_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; of])))))
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        assert_eq!(read(&config(), in_chunks(2, 5)).await.unwrap().len(), 10);
        assert_eq!(read(&config(), Body::empty()).await.unwrap().len(), 0);
        for chunks in [3, 20, 1_000_000] {
            assert_eq!(read(&config(), in_chunks(chunks, 5)).await.unwrap_err().code, Code::TooLarge, "{chunks}");
        }
        let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(read(&config(), broken).await.unwrap_err().code, Code::Malformed);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&config(), silent).await.unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn only_json_is_taken() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.quickpe+json", true),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            assert_eq!(is_json(&headers).is_ok(), expected, "{text}");
        }
        assert!(is_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let failure = |body: &str| parse::<TransferRequest>(body.as_bytes()).unwrap_err();
        for body in ["", "{", "[1,", "[]", r#"["x",1]"#, "1", "nonsense", "\u{1}"] {
            assert_eq!(failure(body).code, Code::Malformed, "{body}");
        }
        for (body, field, code) in [
            (r#"{"to":"x"}"#, "amount", FieldCode::Required),
            (r#"{"to":1,"amount":1}"#, "to", FieldCode::Malformed),
            (r#"{"to":"x","amount":[1]}"#, "amount", FieldCode::Malformed),
        ] {
            let failure = failure(body);
            assert_eq!(failure.code, Code::ValidationFailed, "{body}");
            assert_eq!((failure.errors[0].field.as_str(), failure.errors[0].code), (field, code), "{body}");
        }
        let secret = parse::<SignUpRequest>(br#"{"password":{"hunter2":1}}"#).err().unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
