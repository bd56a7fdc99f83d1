//! One's rooms, who is in them, what was said in them, and what of it was read.

use std::sync::Arc;

use actors::rooms::chat::Shown;
use actors::streams::message_id;
use domain::ids::{RoomId, UserId};
use domain::room::{Profile, Rank, Region, Room, RoomKind};
use protocol::code::Code;
use protocol::http::page::PageQuery;
use protocol::http::room::{
    HistoryQuery, HistoryResponse, MembersResponse, RankName, ReadRequest, ReadResponse, Room as RoomBody,
    RoomHistoryEvent, RoomKindName, RoomMember, RoomsResponse,
};
use protocol::json::Json;
use protocol::problem::FieldCode;
use protocol::value::Time;

use crate::app::App;
use crate::failure::Failure;
use crate::present;
use crate::rooms::{notices, readable, words};
use crate::wallet::{Caller, cursor, statement};

/// The caller's rooms with what they have not read: those of people by id, and on the first page those that nobody
/// has to make.
///
/// # Errors
/// The cursor is none, or the store does not answer.
pub async fn mine(app: &App, caller: &Caller, query: &PageQuery) -> Result<RoomsResponse, Failure> {
    let limit = usize::try_from(statement::limit(query.limit)?).unwrap_or(usize::MAX);
    let after = query.cursor.as_deref().map(cursor::read_rooms).transpose()?.map(RoomId);
    let mut rooms = Vec::new();
    if after.is_none() {
        let role = caller.role.name().parse().ok().map(RoomKind::Role);
        let regions = caller.region.iter().flat_map(Region::rooms);
        for kind in std::iter::once(RoomKind::User(caller.user)).chain(role).chain(regions) {
            let Some(room) = kind.room() else { continue };
            let state = app.chat.state(room).await?;
            if let Some(profile) = state.profile.clone() {
                rooms.push(body(app, caller, &state, &profile, false).await?);
            }
        }
    }
    let memberships = app.chat.rooms_of(caller.user, after, limit).await?;
    let last = memberships.last().filter(|_| memberships.len() == limit).map(|last| cursor::rooms(last.room.0));
    for membership in memberships {
        let state = app.chat.state(membership.room).await?;
        // The views may be a little behind: what they say of who is in is looked at again.
        let Some(profile) = state.profile.clone() else { continue };
        let Some(member) = profile.members.get(&caller.user) else { continue };
        rooms.push(body(app, caller, &state, &profile, member.rank == Rank::Invited).await?);
    }
    Ok(RoomsResponse { rooms, next_cursor: last })
}

/// One room.
///
/// # Errors
/// [`Code::NotFound`]
pub async fn room(app: &App, caller: &Caller, room: RoomId) -> Result<RoomBody, Failure> {
    let (state, profile) = readable(app, caller, room).await?;
    body(app, caller, &state, &profile, false).await
}

async fn body(
    app: &App,
    caller: &Caller,
    state: &Room,
    profile: &Arc<Profile>,
    invited: bool,
) -> Result<RoomBody, Failure> {
    let name = match &profile.name {
        Some(name) => words::open_name(app, name).await?,
        None => None,
    };
    let with = match &profile.kind {
        RoomKind::Direct(one, other) => Some(app.people.party(if *one == caller.user { *other } else { *one }).await?),
        _ => None,
    };
    let unread = match profile.kind {
        _ if invited => 0,
        RoomKind::User(user) => notices::unread_in_room(app, user).await?,
        _ => unread(app, caller, state).await?,
    };
    Ok(RoomBody {
        id: state.id,
        kind: match profile.kind {
            RoomKind::User(_) => RoomKindName::User,
            RoomKind::Role(_) => RoomKindName::Role,
            RoomKind::Region(_) => RoomKindName::Region,
            RoomKind::Group => RoomKindName::Group,
            RoomKind::Direct(..) => RoomKindName::Direct,
            RoomKind::Broadcast => RoomKindName::Broadcast,
        },
        name,
        with,
        invited,
        closed: profile.closed,
        members: profile.joined(),
        unread,
        offset: state.head,
        epoch: app.epoch.clone(),
    })
}

/// How many messages of a room come after what the caller has read of it.
async fn unread(app: &App, caller: &Caller, state: &Room) -> Result<u64, Failure> {
    let mark = app.deliveries.read_mark(caller.user, state.id.0).await?;
    Ok(app.chat.unread(state, mark.upto).await?)
}

/// Who is in a room.
///
/// # Errors
/// [`Code::NotFound`]
pub async fn members(app: &App, caller: &Caller, room: RoomId) -> Result<MembersResponse, Failure> {
    let (_, profile) = readable(app, caller, room).await?;
    let mut members = Vec::with_capacity(profile.members.len());
    for (user, member) in &profile.members {
        members.push(RoomMember {
            user: *user,
            party: app.people.party(*user).await?,
            rank: match member.rank {
                Rank::Invited => RankName::Invited,
                Rank::Member => RankName::Member,
                Rank::Moderator => RankName::Moderator,
            },
            muted_until: member.muted_until.filter(|until| *until > app.now()).map(Time::of),
        });
    }
    Ok(MembersResponse { members })
}

/// What happened in a room, as it is shown now.
///
/// # Errors
/// [`Code::NotFound`], or a parameter is out of range.
pub async fn history(
    app: &App,
    caller: &Caller,
    room: RoomId,
    query: &HistoryQuery,
) -> Result<HistoryResponse, Failure> {
    let limit = usize::try_from(statement::limit(query.limit)?).unwrap_or(usize::MAX);
    for (name, offset) in [("before", query.before), ("after", query.after)] {
        // As the document has it: clients read such numbers as signed ones.
        if offset.is_some_and(|offset| i64::try_from(offset).is_err()) {
            return Err(Failure::field(name, FieldCode::TooLarge, "is no offset"));
        }
    }
    let (state, profile) = readable(app, caller, room).await?;
    let mut events = match (query.before, query.after) {
        (Some(_), Some(_)) => {
            return Err(Failure::field("after", FieldCode::Conflicting, "goes without before"));
        }
        (before, None) => app.chat.events_before(room, before.unwrap_or(u64::MAX), limit).await?,
        (None, Some(after)) => app.chat.events_after(room, after, limit).await?,
    };
    let now = app.now();
    events.retain(|event| !app.chat.is_past(&profile.kind, event, now));
    let owner = matches!(profile.kind, RoomKind::User(_)).then_some(caller.user);
    let mut history = Vec::with_capacity(events.len());
    for shown in app.chat.shown(room, events, now).await? {
        history.push(of_history(app, owner, &shown).await?);
    }
    let floor = app.chat.floor(room).await?;
    Ok(HistoryResponse { events: history, floor, offset: state.head, epoch: app.epoch.clone() })
}

/// An event as those who follow the room hear it now.
async fn of_history(app: &App, owner: Option<UserId>, shown: &Shown) -> Result<RoomHistoryEvent, Failure> {
    let event = &shown.event;
    let told = present::room::told(app, owner, shown).await?;
    Ok(RoomHistoryEvent {
        offset: event.offset,
        id: message_id(event.room.0, event.offset),
        event: told.name,
        at: Time::of(event.meta.at),
        data: Json::from_text(told.data).map_err(|_| Failure::of(Code::Internal))?,
    })
}

/// Says how far the caller has read a room. Never goes back.
///
/// # Errors
/// [`Code::NotFound`]; an offset beyond the room's last.
pub async fn read(app: &App, caller: &Caller, room: RoomId, request: &ReadRequest) -> Result<ReadResponse, Failure> {
    let (state, profile) = readable(app, caller, room).await?;
    if request.upto > state.head {
        return Err(Failure::field("upto", FieldCode::TooLarge, "is beyond the room's last event"));
    }
    let is_own = matches!(profile.kind, RoomKind::User(_));
    let read = if is_own { notices::unread_upto(app, caller.user, request.upto).await? } else { Vec::new() };
    let mark = app.deliveries.mark_read(caller.user, room.0, request.upto, Vec::new()).await?;
    // One's own room holds more than notices, and its notices are in the list of both.
    notices::tell_that_read(app, caller, read).await?;
    let unread = match profile.kind {
        RoomKind::User(user) => notices::unread_in_room(app, user).await?,
        _ => app.chat.unread(&state, mark.upto).await?,
    };
    Ok(ReadResponse { upto: mark.upto, unread })
}

/// The message that a path names by its offset.
///
/// # Errors
/// [`Code::NotFound`]
pub fn offset_of(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::of(Code::NotFound))
}
