//! Making rooms, and who is in them.

use std::time::Duration;

use domain::ids::{RoomId, UserId};
use domain::room::{Access, RoomClass, RoomKind, RoomRequest};
use protocol::code::Code;
use protocol::http::room::{CreateRoomRequest, MadeKind, ModeratorRequest, MuteRequest, RenameRoomRequest, RoomOffset};
use protocol::problem::FieldCode;

use crate::app::App;
use crate::failure::Failure;
use crate::rooms::{submit, submit_as, words};
use crate::wallet::{Caller, Done, payee};

/// Makes a room. The same key makes the same one.
///
/// # Errors
/// A field is missing or wrong, or a rule is broken.
pub async fn create(
    app: &App,
    caller: &Caller,
    request: &CreateRoomRequest,
    key: Option<&str>,
) -> Result<Done<RoomOffset>, Failure> {
    let (room, kind) = match request.kind {
        MadeKind::Group => {
            let room = key.map_or_else(|| RoomId::random(rand::random()), |key| RoomId::made(caller.user.0, key));
            (room, RoomKind::Group)
        }
        MadeKind::Direct => {
            let with =
                request.with.as_deref().ok_or_else(|| Failure::field("with", FieldCode::Required, "says with whom"))?;
            let kind = RoomKind::direct(caller.user, person(app, with).await?)
                .ok_or_else(|| Failure::field("with", FieldCode::Conflicting, "is yourself"))?;
            let room = kind.room().ok_or_else(|| Failure::of(Code::Internal))?;
            (room, kind)
        }
    };
    let name = match &request.name {
        Some(name) if request.kind == MadeKind::Group => Some(words::name(app, caller.user, name).await?),
        _ => None,
    };
    let access = if request.open { Access::Open } else { Access::Invited };
    let create = RoomRequest::Create { class: RoomClass::Chat, access, name };
    let done = submit_as(app, caller, room, Some(kind), create).await?;
    app.chat.catch_up(room).await;
    Ok(done)
}

/// Calls a room something else.
///
/// # Errors
/// The name is out of range, or a rule is broken.
pub async fn rename(
    app: &App,
    caller: &Caller,
    room: RoomId,
    request: &RenameRoomRequest,
) -> Result<Done<RoomOffset>, Failure> {
    let name = words::name(app, caller.user, &request.name).await?;
    submit(app, caller, room, RoomRequest::Rename { name }).await
}

/// Lets somebody join, unless one of the two wants to hear no more of the other.
///
/// # Errors
/// There is nobody of this name, or a rule is broken.
pub async fn invite(app: &App, caller: &Caller, room: RoomId, whom: &str) -> Result<Done<RoomOffset>, Failure> {
    let user = person(app, whom).await?;
    if let Some(direct) = RoomKind::direct(caller.user, user).and_then(|kind| kind.room()) {
        let between = app.chat.state(direct).await?;
        if between.profile.as_ref().is_some_and(|profile| !profile.blocked_by.is_empty()) {
            return Err(Code::Blocked.into());
        }
    }
    let done = submit(app, caller, room, RoomRequest::Invite { user }).await?;
    // So that who was invited finds the room among theirs.
    app.chat.catch_up(room).await;
    Ok(done)
}

/// Becomes a member.
///
/// # Errors
/// A rule is broken.
pub async fn join(app: &App, caller: &Caller, room: RoomId) -> Result<Done<RoomOffset>, Failure> {
    let done = submit(app, caller, room, RoomRequest::Join).await?;
    app.chat.catch_up(room).await;
    Ok(done)
}

/// Is a member no more.
///
/// # Errors
/// A rule is broken.
pub async fn leave(app: &App, caller: &Caller, room: RoomId) -> Result<Done<RoomOffset>, Failure> {
    let done = submit(app, caller, room, RoomRequest::Leave).await?;
    app.chat.catch_up(room).await;
    Ok(done)
}

/// Puts somebody out.
///
/// # Errors
/// A rule is broken.
pub async fn kick(app: &App, caller: &Caller, room: RoomId, whom: &str) -> Result<Done<RoomOffset>, Failure> {
    let user = person(app, whom).await?;
    submit(app, caller, room, RoomRequest::Kick { user }).await
}

/// Has somebody not write for a while; for no time ends that.
///
/// # Errors
/// A rule is broken.
pub async fn mute(
    app: &App,
    caller: &Caller,
    room: RoomId,
    request: &MuteRequest,
) -> Result<Done<RoomOffset>, Failure> {
    let user = person(app, &request.user).await?;
    let lasts = Duration::from_millis(request.for_ms);
    let request = if lasts.is_zero() { RoomRequest::Unmute { user } } else { RoomRequest::Mute { user, lasts } };
    submit(app, caller, room, request).await
}

/// Makes somebody a moderator, or no more.
///
/// # Errors
/// A rule is broken.
pub async fn moderator(
    app: &App,
    caller: &Caller,
    room: RoomId,
    request: &ModeratorRequest,
) -> Result<Done<RoomOffset>, Failure> {
    let user = person(app, &request.user).await?;
    submit(app, caller, room, RoomRequest::SetModerator { user, moderates: request.moderates }).await
}

/// Ends a room.
///
/// # Errors
/// A rule is broken.
pub async fn close(app: &App, caller: &Caller, room: RoomId) -> Result<Done<RoomOffset>, Failure> {
    submit(app, caller, room, RoomRequest::Close).await
}

/// Wants to hear no more of somebody, or does again. It stands in the room of the two, whether they ever wrote
/// there or not.
///
/// # Errors
/// There is nobody of this name, or it is the caller.
pub async fn block(app: &App, caller: &Caller, whom: &str, blocks: bool) -> Result<Done<RoomOffset>, Failure> {
    let user = person(app, whom).await?;
    let kind = RoomKind::direct(caller.user, user)
        .ok_or_else(|| Failure::field("user", FieldCode::Conflicting, "is yourself"))?;
    let room = kind.room().ok_or_else(|| Failure::of(Code::Internal))?;
    let request = if blocks { RoomRequest::Block } else { RoomRequest::Unblock };
    submit_as(app, caller, room, Some(kind), request).await
}

/// The live person of this name.
async fn person(app: &App, whom: &str) -> Result<UserId, Failure> {
    let found = payee::payee(app, whom).await;
    found
        .map(|party| party.user)
        .map_err(|failure| if failure.code == Code::PayeeNotFound { Code::NotFound.into() } else { failure })
}
