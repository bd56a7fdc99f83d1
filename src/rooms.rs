//! What people and servers may ask of rooms: the commands and reads behind HTTP routes and frames alike.
//!
//! A request is parsed here once, into domain types; free text is fingerprinted and sealed here; what comes back is
//! the protocol's. Neither HTTP nor WebSocket is known here.

pub mod devices;
pub mod managing;
pub mod notices;
pub mod presence;
pub mod reading;
mod refusal;
pub mod security;
pub mod serving;
pub mod talking;
pub mod words;

use std::sync::Arc;

use domain::ids::RoomId;
use domain::room::{Profile, Room, RoomCommand, RoomKind, RoomRequest};
use protocol::code::Code;
use protocol::http::room::RoomOffset;

use crate::app::App;
use crate::failure::Failure;
use crate::wallet::{Caller, Done};

/// A room that the caller may read, and what it is.
///
/// # Errors
/// [`Code::NotFound`]: there is none, or none for them. A stranger is not told which.
pub async fn readable(app: &App, caller: &Caller, room: RoomId) -> Result<(Arc<Room>, Arc<Profile>), Failure> {
    let state = app.chat.state(room).await?;
    let profile = state.profile.clone().filter(|profile| may_read(profile, caller));
    profile.map(|profile| (state, profile)).ok_or_else(|| Failure::of(Code::NotFound))
}

/// Whether the caller may read the room: what is in tokens is not in rooms.
fn may_read(profile: &Profile, caller: &Caller) -> bool {
    match &profile.kind {
        RoomKind::Role(role) => role.as_str() == caller.role.name(),
        RoomKind::Region(_) => caller.region.is_some_and(|region| region.rooms().any(|room| room == profile.kind)),
        _ => profile.is_readable_by(caller.user),
    }
}

/// Has a room decide what the caller asks.
async fn submit(app: &App, caller: &Caller, room: RoomId, request: RoomRequest) -> Result<Done<RoomOffset>, Failure> {
    submit_as(app, caller, room, None, request).await
}

/// The same, where the room is known by what its id is derived of, or is to be made.
async fn submit_as(
    app: &App,
    caller: &Caller,
    room: RoomId,
    kind: Option<RoomKind>,
    request: RoomRequest,
) -> Result<Done<RoomOffset>, Failure> {
    let command = RoomCommand { origin: caller.origin.clone(), kind, request };
    let effect = app.chat.submit(room, command).await?;
    Ok(Done { body: RoomOffset { room, offset: effect.offset }, pending: false, replayed: effect.replayed })
}
