//! Rooms, what is said in them, and notices.

use domain::ids::{RoomId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::event::{EventName, Notification};
use crate::http::user::Party;
use crate::json::Json;
use crate::value::Time;

/// The most characters of a room's name.
pub const NAME_CHARS_MAX: usize = 64;

/// Which kind of room a person may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MadeKind {
    /// For people they let in.
    Group,
    /// For one other.
    Direct,
}

/// `POST /rooms`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateRoomRequest {
    /// What it is to be.
    pub kind: MadeKind,
    /// What it is called; a group only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// Whether anybody may join it; a group only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// With whom: a QuickPe id, e-mail or user id; a direct room only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
}

/// `PATCH /rooms/{id}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenameRoomRequest {
    /// What it is called from now on.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
}

/// Whom a moderator does something to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRequest {
    /// A QuickPe id, e-mail or user id.
    pub user: String,
}

/// `POST /rooms/{id}/mute`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MuteRequest {
    /// A QuickPe id, e-mail or user id.
    pub user: String,
    /// For how long, in milliseconds: one second to 90 days. 0 ends a mute.
    pub for_ms: u64,
}

/// `POST /rooms/{id}/moderators`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModeratorRequest {
    /// A QuickPe id, e-mail or user id.
    pub user: String,
    /// Whether they moderate.
    pub moderates: bool,
}

/// `POST /rooms/{id}/messages`, `PATCH /rooms/{id}/messages/{offset}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageRequest {
    /// What is said: any JSON, at most 16 KiB of text.
    #[schema(value_type = serde_json::Value)]
    pub body: Json,
    /// For how long it is of interest, in milliseconds; not when a message is edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// What a command to a room did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomOffset {
    /// The room.
    #[schema(value_type = uuid::Uuid)]
    pub room: RoomId,
    /// The offset of the event that says so; of the room's last, if all was as asked already.
    pub offset: u64,
}

/// What kind of room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoomKindName {
    /// One's own.
    User,
    /// Of a role.
    Role,
    /// Of a region.
    Region,
    /// Of people who were let in.
    Group,
    /// Of two people.
    Direct,
    /// For anybody to read.
    Broadcast,
}

/// A room, as one of its readers sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// The id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RoomId,
    /// What it is.
    pub kind: RoomKindName,
    /// What it is called; null if nothing, or if who named it was erased.
    pub name: Option<String>,
    /// The other of two people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Party>,
    /// Whether the reader is only invited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invited: bool,
    /// Whether it can only be read.
    pub closed: bool,
    /// How many are in it, if it is of people.
    pub members: usize,
    /// Messages that the reader has not read.
    pub unread: u64,
    /// The offset of its last event.
    pub offset: u64,
    /// The life of the store's streams that `offset` belongs to.
    pub epoch: String,
}

/// `GET /rooms`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomsResponse {
    /// The rooms.
    pub rooms: Vec<Room>,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A member's rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RankName {
    /// May join.
    Invited,
    /// Reads and writes.
    Member,
    /// And lets others in and out.
    Moderator,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomMember {
    /// Who.
    #[schema(value_type = uuid::Uuid)]
    pub user: UserId,
    /// What others see of them.
    pub party: Party,
    /// What they are.
    pub rank: RankName,
    /// Until when they may not write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Time>,
}

/// `GET /rooms/{id}/members`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MembersResponse {
    /// All of them, in the order of ids.
    pub members: Vec<RoomMember>,
}

/// One event of a room, as its `message` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomHistoryEvent {
    /// Its place in the room.
    pub offset: u64,
    /// The id of its message.
    pub id: String,
    /// What happened.
    pub event: EventName,
    /// When.
    pub at: Time,
    /// The event, as it is shown now.
    #[schema(value_type = Object)]
    pub data: Json,
}

/// Which part of a room's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Events a page, 1 to 100; 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Newest first, from below this offset; from the end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Oldest first, from above this offset. Not together with `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// `GET /rooms/{id}/messages`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryResponse {
    /// The events.
    pub events: Vec<RoomHistoryEvent>,
    /// The offset up to which retention has removed what was: no page goes below it.
    pub floor: u64,
    /// The offset of the room's last event.
    pub offset: u64,
    /// The life of the store's streams that offsets belong to.
    pub epoch: String,
}

/// `PUT /rooms/{id}/read`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadRequest {
    /// All up to and with this offset was read.
    pub upto: u64,
}

/// What is read and what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadResponse {
    /// All up to and with this offset was read.
    pub upto: u64,
    /// Messages that were not.
    pub unread: u64,
}

/// Which notices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct NotificationsQuery {
    /// Only those that were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<bool>,
    /// Notices a page, 1 to 100; 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `nextCursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `GET /notifications`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationsResponse {
    /// The notices, newest first.
    #[schema(value_type = Vec<Object>)]
    pub notifications: Vec<Notification>,
    /// How many were not read; at most 100 are counted.
    pub unread: u64,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// What was done to a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationResponse {
    /// It was done.
    pub success: bool,
    /// The notice, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub notification: Option<Notification>,
}
