//! What `message` frames of rooms carry.

use domain::ids::{DeviceId, LoginId, RoomId};
use serde::{Deserialize, Serialize};

use crate::event::Notification;
use crate::http::user::Party;
use crate::json::Json;
use crate::value::Time;

/// `message:new`: somebody said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageNew {
    /// Where.
    pub room: RoomId,
    /// Who; null if the server did.
    pub from: Option<Party>,
    /// What, as it was written; null if it is gone.
    pub body: Option<Json>,
    /// It was edited since: `body` is what it says now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Why there is no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
    /// When it is of no interest any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When.
    pub timestamp: Time,
}

/// Why a message has no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gone {
    /// It was deleted.
    Deleted,
    /// Its time is over.
    Expired,
    /// Who wrote it was erased.
    Erased,
}

/// `message:update`: a message was edited or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageUpdate {
    /// Where.
    pub room: RoomId,
    /// The message's offset.
    pub of: u64,
    /// Who did it: its writer, or a moderator; null if the server did.
    pub by: Option<Party>,
    /// What it says now; null if it was deleted.
    pub body: Option<Json>,
    /// It was deleted.
    pub deleted: bool,
    /// When.
    pub timestamp: Time,
}

/// What is different with somebody in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberChange {
    /// They may join.
    Invited,
    /// They are a member.
    Joined,
    /// They went.
    Left,
    /// They were put out.
    Kicked,
    /// They are a moderator.
    Promoted,
    /// They are a moderator no more.
    Demoted,
    /// They may not write until `until`.
    Muted,
    /// They may write again.
    Unmuted,
    /// They want to hear no more of the other.
    Blocked,
    /// They hear of the other again.
    Unblocked,
}

/// `member:update`: something is different with somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberUpdate {
    /// Where.
    pub room: RoomId,
    /// Who.
    pub user: Party,
    /// What.
    pub change: MemberChange,
    /// Who did it; null if the server did.
    pub by: Option<Party>,
    /// Until when, if it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// When.
    pub timestamp: Time,
}

/// `room:update`: the room began, has another name, or is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomUpdate {
    /// Which.
    pub room: RoomId,
    /// What it is called, if this says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It can be read and not written.
    pub closed: bool,
    /// Who did it; null if the server did.
    pub by: Option<Party>,
    /// When.
    pub timestamp: Time,
}

/// `notification:new`: a notice to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationNew {
    /// The notice.
    pub notification: Notification,
    /// How many notices were not read with it, at most 100; absent of those that were made before this was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
}

/// `notification:update`: notices were read, on whatever device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationUpdate {
    /// Which: the newest 100 of them.
    pub ids: Vec<String>,
    /// How many are not read now, at most 100; with none, all are read.
    pub unread: u64,
}

/// What happened to who may sign in as a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityKind {
    /// Somebody signed in on a device that was not known.
    SignedIn,
    /// There is another password: all other sessions have ended.
    PasswordChanged,
    /// A session was ended from elsewhere.
    SessionEnded,
    /// The place of the device seen longest ago was given to a new one.
    DeviceForgotten,
    /// A refresh token was used twice: its session has ended.
    TokenReused,
}

/// `security:new`: something about who may sign in as a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityNew {
    /// What.
    pub kind: SecurityKind,
    /// What the device calls itself, if that is known.
    pub device: Option<String>,
    /// The device that was forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// The session that began or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<LoginId>,
    /// The same as a notice.
    pub notification: Notification,
    /// How many notices were not read with it, at most 100.
    pub unread: u64,
}
