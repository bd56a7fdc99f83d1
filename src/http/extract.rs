//! What a request says beside its body: ids in its path, its query, its idempotency key.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use protocol::code::Code;
use protocol::http::{IDEMPOTENCY_KEY, is_idempotency_key};
use protocol::problem::{FieldCode, FieldError};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::failure::Failure;
use crate::http::context::Context;

/// The id in the path. What is no id names nothing.
pub struct Id<T>(pub T);

impl<T: FromStr + Send> FromRequestParts<Arc<App>> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let not_found = || Failure::of(Code::NotFound);
        let path = <Path<String> as FromRequestParts<_>>::from_request_parts(parts, app).await;
        let Path(text) = path.map_err(|_| not_found())?;
        text.parse().map(Self).map_err(|_| not_found())
    }
}

/// The query.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| wrong_parameter(&rejection))
    }
}

/// What is wrong with which parameter, as far as the framework tells: `…: limit: invalid digit found in string`.
fn wrong_parameter(rejection: &QueryRejection) -> Failure {
    let text = rejection.body_text();
    let mut parts = text.splitn(3, ": ").skip(1);
    match (parts.next(), parts.next()) {
        (Some(field), Some(_)) if field.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            FieldError::of(field, FieldCode::Malformed, "is not of the expected type or form").into()
        }
        _ => Failure::of(Code::Malformed).saying("The query string cannot be read."),
    }
}

/// The idempotency key, if there is one.
pub struct Key(pub Option<String>);

impl FromRequestParts<Arc<App>> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        match value.to_str() {
            Ok(key) if values.next().is_none() && is_idempotency_key(key) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Code::IdempotencyKeyInvalid.into()),
        }
    }
}

impl Key {
    /// The key.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// What is known of the request itself.
pub struct Known(pub Arc<Context>);

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Arc<Context>>().cloned().map(Self).ok_or_else(|| Failure::of(Code::Internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Request, Uri};
    use protocol::http::transaction::TransactionsQuery;

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, field) in [
            ("limit=x", Some("limit")),
            ("limit=-1", Some("limit")),
            ("type=sideways", Some("type")),
            ("from=yesterday", Some("from")),
        ] {
            let uri: Uri = format!("http://x/?{query}").parse().unwrap();
            let rejection = Query::<TransactionsQuery>::try_from_uri(&uri).unwrap_err();
            let failure = wrong_parameter(&rejection);
            assert_eq!(failure.errors.first().map(|error| error.field.as_str()), field, "{query}");
        }
        let uri: Uri = "http://x/?newer=1&limit=5".parse().unwrap();
        assert_eq!(Query::<TransactionsQuery>::try_from_uri(&uri).unwrap().limit, Some(5), "unknown ones are ignored");
        assert!(Request::builder().uri("http://x/").body(()).is_ok());
    }
}
