//! What became of a message: who may ask, and what they are told.
//!
//! A message's id leads to its stream and offset. What is durable of its way is in the store of watches, what is not is
//! with the connections; both are put together here. The other party of a transfer sees how far its message is, not on
//! which devices.

use actors::deadlines::places::places;
use actors::streams::{LivePassage, message_id, read_message_id};
use domain::delivery::Class;
use domain::delivery::person::{DevicePlace, deadline};
use domain::ids::{AccountId, RoomId, UserId};
use domain::room::{RoomClass, RoomKind};
use domain::time::Timestamp;
use protocol::code::Code;
use protocol::http::message::{DeviceTimeline, MessageStatus, TimelineResponse};
use protocol::value::Time;
use storage::identity::Role;
use storage::watches::{Passage, Timeline};
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::present::transaction::Entry;
use crate::wallet::Caller;

/// A message as it was found.
struct Found {
    stream: Uuid,
    offset: u64,
    class: Class,
    /// Whom it is for.
    owner: UserId,
    /// The other party, if it tells of a transfer.
    other: Option<UserId>,
    at: Timestamp,
}

/// What became of a message.
///
/// # Errors
/// [`Code::NotFound`]: there is none of this id, or it is nobody's own. [`Code::Forbidden`]: it is not theirs to know.
pub async fn timeline(app: &App, caller: &Caller, id: &str) -> Result<TimelineResponse, Failure> {
    let (stream, offset) = read_message_id(id).ok_or_else(|| Failure::of(Code::NotFound))?;
    let found = match money(app, stream, offset).await? {
        Some(found) => Some(found),
        None => notice(app, stream, offset).await?,
    };
    let found = found.ok_or_else(|| Failure::of(Code::NotFound))?;
    let sees_devices = caller.user == found.owner || matches!(caller.role, Role::Admin | Role::Support);
    if !sees_devices && found.other != Some(caller.user) {
        return Err(Code::Forbidden.into());
    }
    let owed = &app.owed;
    // What leaves a connection is noted before it does: connections first.
    let live = app.streams.passages(found.owner, stream, offset);
    let kept = owed.timeline(found.owner, stream, offset).await?;
    let places = places(&*app.deliveries, &app.streams, found.owner, stream).await?;
    Ok(told(app, &found, &kept, &live, &places, sees_devices))
}

/// The message of an account's event.
async fn money(app: &App, stream: Uuid, offset: u64) -> Result<Option<Found>, Failure> {
    let account = AccountId(stream);
    let Some(before) = offset.checked_sub(1) else { return Ok(None) };
    let events = app.ledger.events_after(account, before, 1).await?;
    let Some(event) = events.into_iter().next().filter(|event| event.offset == offset) else { return Ok(None) };
    let Some(opening) = app.ledger.account(account).await?.opening else { return Ok(None) };
    let other = Entry::of(&event).and_then(|entry| entry.counterparty);
    Ok(Some(Found { stream, offset, class: Class::Money, owner: opening.owner, other, at: event.meta.at }))
}

/// The message of an event of a person's own room.
async fn notice(app: &App, stream: Uuid, offset: u64) -> Result<Option<Found>, Failure> {
    let room = RoomId(stream);
    let state = app.chat.state(room).await?;
    let Some(profile) = &state.profile else { return Ok(None) };
    let (RoomKind::User(owner), RoomClass::Notice) = (&profile.kind, profile.class) else { return Ok(None) };
    let Some(before) = offset.checked_sub(1) else { return Ok(None) };
    let events = app.chat.events_after(room, before, 1).await?;
    let Some(event) = events.into_iter().next().filter(|event| event.offset == offset) else { return Ok(None) };
    Ok(Some(Found { stream, offset, class: Class::Notice, owner: *owner, other: None, at: event.meta.at }))
}

fn told(
    app: &App,
    found: &Found,
    kept: &Timeline,
    live: &[LivePassage],
    places: &[DevicePlace],
    sees_devices: bool,
) -> TimelineResponse {
    let mut devices: Vec<DeviceTimeline> = kept.passages.iter().map(|passage| done(passage, sees_devices)).collect();
    for passage in live.iter().filter(|live| !kept.passages.iter().any(|kept| is_newer(kept, live))) {
        devices.push(under_way(passage, sees_devices));
    }
    devices.sort_by_key(|device| device.sent_at);
    let applied_at = kept.passages.iter().filter_map(|passage| passage.applied_at).min();
    let is_applied = applied_at.is_some() || places.iter().any(|place| place.has_applied(found.offset));
    let status = if is_applied {
        MessageStatus::Applied
    } else if kept.dead_at.is_some() {
        MessageStatus::Dead
    } else if places.is_empty() && devices.is_empty() {
        MessageStatus::Unsubscribed
    } else {
        MessageStatus::Pending
    };
    TimelineResponse {
        id: message_id(found.stream, found.offset),
        stream: found.stream.to_string(),
        offset: found.offset,
        class: found.class,
        status,
        durable_at: Time::of(found.at),
        deadline: Time::of(deadline(found.at, app.streams.policy(found.class).deadline_ms)),
        applied_at: applied_at.map(Time::of),
        dead_at: kept.dead_at.map(Time::of),
        escalated_at: kept.escalated_at.map(Time::of),
        devices,
    }
}

/// Whether what is kept of a device tells all that its connection does.
fn is_newer(kept: &Passage, live: &LivePassage) -> bool {
    kept.device == live.device && (kept.applied_at.is_some() || kept.attempts >= live.attempts)
}

fn done(passage: &Passage, sees_devices: bool) -> DeviceTimeline {
    DeviceTimeline {
        device_id: passage.device.filter(|_| sees_devices).map(|device| device.to_string()),
        sent_at: Time::of(passage.sent_at),
        attempts: passage.attempts,
        received_at: passage.received_at.map(Time::of),
        applied_at: passage.applied_at.map(Time::of),
        dead_at: passage.dead.map(|(at, _)| Time::of(at)),
        dead_reason: passage.reason().map(|reason| reason.name().to_owned()),
    }
}

fn under_way(passage: &LivePassage, sees_devices: bool) -> DeviceTimeline {
    DeviceTimeline {
        device_id: passage.device.filter(|_| sees_devices).map(|device| device.to_string()),
        sent_at: Time::of(passage.sent_at),
        attempts: passage.attempts,
        received_at: passage.received_at.map(Time::of),
        applied_at: None,
        dead_at: None,
        dead_reason: None,
    }
}
