//! Rooms: who is in them, what is said in them, and what of it was read.

use std::sync::Arc;

use axum::extract::{Path, State};
use domain::ids::RoomId;
use protocol::http::KeyHeader;
use protocol::http::page::PageQuery;
use protocol::http::room::{
    CreateRoomRequest, HistoryQuery, HistoryResponse, MemberRequest, MembersResponse, MessageRequest, ModeratorRequest,
    MuteRequest, ReadRequest, ReadResponse, RenameRoomRequest, Room, RoomOffset, RoomsResponse,
};
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::answer::Answer;
use crate::http::auth::caller::SignedIn;
use crate::http::body::Json;
use crate::http::extract::{Id, Key, Params};
use crate::rooms::{managing, reading, talking};

/// Makes a group, or a room of two.
#[utoipa::path(post, path = "/rooms", tag = "rooms", request_body = CreateRoomRequest,
    params(KeyHeader), responses(
    (status = 201, description = "Made, or there before.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn create(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    key: Key,
    Json(request): Json<CreateRoomRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::create(&app, &caller, &request, key.text()).await.map(Answer)
}

/// One's rooms, with what is unread in them.
#[utoipa::path(get, path = "/rooms", tag = "rooms", params(PageQuery), responses(
    (status = 200, description = "A page.", body = RoomsResponse),
), security(("bearer" = [])))]
pub async fn mine(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<RoomsResponse>, Failure> {
    reading::mine(&app, &caller, &query).await.map(axum::Json)
}

/// One room.
#[utoipa::path(get, path = "/rooms/{id}", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 200, description = "As it is.", body = Room),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn room(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
) -> Result<axum::Json<Room>, Failure> {
    reading::room(&app, &caller, room).await.map(axum::Json)
}

/// Calls a room something else.
#[utoipa::path(patch, path = "/rooms/{id}", tag = "rooms", request_body = RenameRoomRequest,
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn rename(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Json(request): Json<RenameRoomRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::rename(&app, &caller, room, &request).await.map(Answer)
}

/// Ends a room: it can be read and not written from then on.
#[utoipa::path(delete, path = "/rooms/{id}", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn close(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::close(&app, &caller, room).await.map(Answer)
}

/// Who is in a room.
#[utoipa::path(get, path = "/rooms/{id}/members", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 200, description = "As it is.", body = MembersResponse),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn members(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
) -> Result<axum::Json<MembersResponse>, Failure> {
    reading::members(&app, &caller, room).await.map(axum::Json)
}

/// Lets somebody join.
#[utoipa::path(post, path = "/rooms/{id}/invite", tag = "rooms", request_body = MemberRequest,
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn invite(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Json(request): Json<MemberRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::invite(&app, &caller, room, &request.user).await.map(Answer)
}

/// Becomes a member.
#[utoipa::path(post, path = "/rooms/{id}/join", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn join(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::join(&app, &caller, room).await.map(Answer)
}

/// Is a member no more.
#[utoipa::path(post, path = "/rooms/{id}/leave", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn leave(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::leave(&app, &caller, room).await.map(Answer)
}

/// Puts somebody out, or takes their invitation back.
#[utoipa::path(post, path = "/rooms/{id}/kick", tag = "rooms", request_body = MemberRequest,
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn kick(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Json(request): Json<MemberRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::kick(&app, &caller, room, &request.user).await.map(Answer)
}

/// Has somebody not write for a while.
#[utoipa::path(post, path = "/rooms/{id}/mute", tag = "rooms", request_body = MuteRequest,
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn mute(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Json(request): Json<MuteRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::mute(&app, &caller, room, &request).await.map(Answer)
}

/// Makes somebody a moderator, or no more.
#[utoipa::path(post, path = "/rooms/{id}/moderators", tag = "rooms", request_body = ModeratorRequest,
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn moderator(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Json(request): Json<ModeratorRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::moderator(&app, &caller, room, &request).await.map(Answer)
}

/// Says something.
#[utoipa::path(post, path = "/rooms/{id}/messages", tag = "rooms", request_body = MessageRequest,
    params(("id" = uuid::Uuid, Path, description = "The room."),
        KeyHeader), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn publish(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    key: Key,
    Json(request): Json<MessageRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    talking::publish(&app, &caller, room, &request, key.text()).await.map(Answer)
}

/// What happened in a room, as it is shown now.
#[utoipa::path(get, path = "/rooms/{id}/messages", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room."), HistoryQuery), responses(
    (status = 200, description = "As it is.", body = HistoryResponse),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn history(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Params(query): Params<HistoryQuery>,
) -> Result<axum::Json<HistoryResponse>, Failure> {
    reading::history(&app, &caller, room, &query).await.map(axum::Json)
}

/// Has one's own message say something else.
#[utoipa::path(patch, path = "/rooms/{id}/messages/{offset}", tag = "rooms", request_body = MessageRequest,
    params(("id" = uuid::Uuid, Path, description = "The room."),
        ("offset" = u64, Path, description = "The message.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn edit(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((room, offset)): Path<(String, String)>,
    Json(request): Json<MessageRequest>,
) -> Result<Answer<RoomOffset>, Failure> {
    talking::edit(&app, &caller, talking::room_of(&room)?, reading::offset_of(&offset)?, &request).await.map(Answer)
}

/// Takes a message back: its writer, or a moderator.
#[utoipa::path(delete, path = "/rooms/{id}/messages/{offset}", tag = "rooms",
    params(("id" = uuid::Uuid, Path, description = "The room."),
        ("offset" = u64, Path, description = "The message.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn delete(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Path((room, offset)): Path<(String, String)>,
) -> Result<Answer<RoomOffset>, Failure> {
    talking::delete(&app, &caller, talking::room_of(&room)?, reading::offset_of(&offset)?).await.map(Answer)
}

/// Says how far one has read. It never goes back.
#[utoipa::path(put, path = "/rooms/{id}/read", tag = "rooms", request_body = ReadRequest,
    params(("id" = uuid::Uuid, Path, description = "The room.")), responses(
    (status = 200, description = "As it is.", body = ReadResponse),
), security(("bearer" = [])))]
pub async fn read(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(room): Id<RoomId>,
    Json(request): Json<ReadRequest>,
) -> Result<axum::Json<ReadResponse>, Failure> {
    reading::read(&app, &caller, room, &request).await.map(axum::Json)
}

/// Wants to hear no more of somebody.
#[utoipa::path(post, path = "/user/{user}/block", tag = "rooms",
    params(("user" = String, Path, description = "A QuickPe id, e-mail or user id.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn block(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(user): Id<String>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::block(&app, &caller, &user, true).await.map(Answer)
}

/// Wants to hear of somebody again.
#[utoipa::path(delete, path = "/user/{user}/block", tag = "rooms",
    params(("user" = String, Path, description = "A QuickPe id, e-mail or user id.")), responses(
    (status = 201, description = "Done.", body = RoomOffset),
), security(("bearer" = [])))]
pub async fn unblock(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(user): Id<String>,
) -> Result<Answer<RoomOffset>, Failure> {
    managing::block(&app, &caller, &user, false).await.map(Answer)
}
