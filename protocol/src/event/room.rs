//! What `message` frames of rooms carry.

use domain::ids::RoomId;
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
    /// When.
    pub timestamp: Time,
}

/// `notification:new`: a notice to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationNew {
    /// The notice.
    pub notification: Notification,
}
