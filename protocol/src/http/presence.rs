//! Who is online, and who is in a room now.

use domain::ids::{DeviceId, LoginId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::user::Party;
use crate::value::Time;

/// The most people who are named in a room; of a larger one it is only told how many are there.
pub const NAMED_MAX: usize = 100;

/// Somebody who is in a room now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresentUser {
    /// Who.
    #[schema(value_type = uuid::Uuid)]
    pub id: UserId,
    /// What others see of them.
    #[serde(flatten)]
    pub party: Party,
}

/// `GET /user/{id}/presence`, `GET /server/users/{id}/presence`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceResponse {
    /// Who.
    #[schema(value_type = uuid::Uuid)]
    pub id: UserId,
    /// Whether a session of theirs is connected, or was a few seconds ago.
    pub online: bool,
    /// Their connections, by device. Only they themselves and servers are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<PresentDevice>>,
}

/// A device with connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresentDevice {
    /// The device; null for connections that did not name one.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub device: Option<DeviceId>,
    /// When the oldest of them was made.
    pub since: Time,
    /// Its connections, as `welcome` names them.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub sessions: Vec<SessionId>,
    /// The sign-ins that they are of, as `GET /auth/sessions` names them.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub logins: Vec<LoginId>,
}

/// `GET /rooms/{id}/presence`, `GET /server/rooms/{id}/presence`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomPresenceResponse {
    /// How many people follow the room now.
    pub online: u64,
    /// Who they are; absent for a room that is too large, and for one that is not of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<PresentUser>>,
}
