//! What servers with keys of their own ask.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::Json;

/// `POST /server/publish`, with the room in the path, or by what it is derived of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerMessageRequest {
    /// What is said: any JSON, at most 16 KiB of text.
    #[schema(value_type = serde_json::Value)]
    pub body: Json,
    /// For how long it is of interest, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// `POST /server/rooms`: a room that only the server writes in and anybody reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateBroadcastRequest {
    /// Its messages are delivered as notices, never shed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notices: bool,
}

/// `POST /server/notify/{user}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotifyRequest {
    /// What it is about: 1 to 32 characters.
    #[serde(rename = "type")]
    #[schema(min_length = 1, max_length = 32)]
    pub kind: String,
    /// One line.
    #[schema(min_length = 1, max_length = 128)]
    pub title: String,
    /// The text.
    #[schema(max_length = 1024)]
    pub message: String,
}
