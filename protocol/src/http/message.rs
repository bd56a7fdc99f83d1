//! What became of a message.

use domain::delivery::Class;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::value::Time;

/// How far a message is with its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// One of their devices applied it.
    Applied,
    /// None has, and there is time.
    Pending,
    /// None has in time, or every one gave it up.
    Dead,
    /// None follows the stream: nothing is sent.
    Unsubscribed,
}

/// `GET /messages/{id}/timeline`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineResponse {
    /// The message's id.
    pub id: String,
    /// Its stream.
    pub stream: String,
    /// Its number there.
    pub offset: u64,
    /// How the stream is delivered.
    #[schema(value_type = String)]
    pub class: Class,
    /// How far it is.
    pub status: MessageStatus,
    /// When it was made; it is sent when that is durable.
    pub durable_at: Time,
    /// By when one of the person's devices is to apply it.
    pub deadline: Time,
    /// When the first device applied it. Null as well if that was longer ago than such times are kept.
    pub applied_at: Option<Time>,
    /// When it was dead for the person. It may be applied later.
    pub dead_at: Option<Time>,
    /// When somebody else was first told that it is.
    pub escalated_at: Option<Time>,
    /// The way to each device, in the order in which it was first sent there.
    pub devices: Vec<DeviceTimeline>,
}

/// What became of a message on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceTimeline {
    /// The device; for its person and for support only, and absent for a connection that did not say its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// When it was first sent.
    pub sent_at: Time,
    /// How often it was sent.
    pub attempts: u32,
    /// When it had arrived, if that was said before it was applied.
    pub received_at: Option<Time>,
    /// When it was applied.
    pub applied_at: Option<Time>,
    /// When it was given up.
    pub dead_at: Option<Time>,
    /// Why: `refused` or `unacknowledged`.
    pub dead_reason: Option<String>,
}
