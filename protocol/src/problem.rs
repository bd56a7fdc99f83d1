//! Problems: the body of every HTTP error (RFC 9457).

use std::borrow::Cow;

use domain::ids::TransferId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code::Code;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The body of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A URI that names the kind of problem: `urn:quickpe:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    #[schema(value_type = String)]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// What happened here, for a person to read.
    #[schema(value_type = String)]
    pub message: Cow<'static, str>,
    /// What is wrong with which field; absent if it is not about fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// When to come back, in milliseconds; `Retry-After` says it in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The transfer whose outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub transfer_id: Option<TransferId>,
    /// The request's id, as in `X-Request-Id` and the logs.
    pub request_id: String,
}

impl Problem {
    /// A problem with the code's own words.
    pub fn of(code: Code, request_id: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:quickpe:problem:{code}"),
            title: Cow::Borrowed(code.title()),
            status: code.status(),
            code,
            message: Cow::Borrowed(code.message()),
            errors: Vec::new(),
            retry_after_ms: None,
            transfer_id: None,
            request_id: request_id.into(),
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// The field, as a path: `amount`, `items[2].name`.
    pub field: String,
    /// The stable code.
    pub code: FieldCode,
    /// For a person to read, to go after the field's name: `must be more than zero`.
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn of(field: impl Into<String>, code: FieldCode, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldCode {
    /// Not there.
    Required,
    /// Not of its form.
    Malformed,
    /// Fewer characters than needed.
    TooShort,
    /// More characters or items than allowed.
    TooLong,
    /// Less than allowed.
    TooSmall,
    /// More than allowed.
    TooLarge,
    /// More decimals than the currency has.
    TooPrecise,
    /// Zero or less.
    NotPositive,
    /// Together with another field that excludes it.
    Conflicting,
}
