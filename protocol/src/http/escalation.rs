//! What the webhook of escalations is sent.

use domain::delivery::Class;
use serde::{Deserialize, Serialize};

use crate::http::admin::Offsets;
use crate::value::Time;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EscalationEvent {
    /// No device of a person took messages in time, or every one gave them up.
    #[serde(rename = "message.undelivered")]
    Undelivered,
}

/// The body of a request to the webhook. Ids and offsets: never what a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EscalationBody {
    /// The same for the same messages, however often it is sent.
    pub id: String,
    /// What has happened.
    pub event: EscalationEvent,
    /// Whom the messages are for.
    pub user_id: String,
    /// The stream.
    pub stream: String,
    /// How it is delivered.
    pub class: Class,
    /// Which messages of it.
    pub offsets: Offsets,
    /// The id of the first.
    pub first_message: String,
    /// The id of the last.
    pub last_message: String,
    /// The dead letter that tells of them, unless it is resolved.
    pub dead_letter: Option<String>,
    /// When it was found.
    pub at: Time,
}
