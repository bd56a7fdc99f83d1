//! An event of a room, as the `message` that those who read the room hear.
//!
//! Every event is one message. Its data is a function of the event and of what became of it, but for the names and
//! the text of people, who may be renamed or erased.

use actors::rooms::chat::{Showing, Shown};
use domain::ids::UserId;
use domain::ledger::Principal;
use domain::room::{LeaveCause, RoomChange, RoomEvent};
use domain::sealed::Sealed;
use domain::time::Timestamp;
use protocol::code::Code;
use protocol::event::room::{Gone, MemberChange, MemberUpdate, MessageNew, MessageUpdate, NotificationNew, RoomUpdate};
use protocol::event::{EventName, Notification};
use protocol::http::user::Party;
use protocol::json::Json;
use protocol::value::Time;
use serde::Deserialize;
use storage::sealing::Purpose;

use crate::app::App;
use crate::failure::Failure;
use crate::present::event::{Told, json};
use crate::rooms::words;

/// What the body of a message in a person's own room is: a notice.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
}

/// What those who read the room hear of an event; `owner` is whose own room it is, if it is one's own.
///
/// # Errors
/// A store does not answer: it can be asked again.
pub async fn told(app: &App, owner: Option<UserId>, shown: &Shown) -> Result<Told, Failure> {
    let event = &*shown.event;
    let (room, timestamp) = (event.room, Time::of(event.meta.at));
    match &event.change {
        RoomChange::Published { body, expires_at, .. } => {
            let (body, gone) = said(app, body, shown).await?;
            if owner.is_some()
                && let Some(notice) = body.as_ref().and_then(|body| body.read::<Notice>().ok())
            {
                return json(
                    EventName::NotificationNew,
                    &NotificationNew { notification: notification(event, notice) },
                );
            }
            let new = MessageNew {
                room,
                from: from(app, event).await?,
                body,
                edited: matches!(shown.now, Showing::Edited(_)),
                gone,
                expires_at: expires_at.map(Time::of),
                timestamp,
            };
            json(EventName::MessageNew, &new)
        }
        RoomChange::Edited { of, body } => {
            let body = words::open(app, body).await?;
            json(EventName::MessageUpdate, &MessageUpdate { room, of: *of, body, deleted: false, timestamp })
        }
        RoomChange::Deleted { of } => {
            json(EventName::MessageUpdate, &MessageUpdate { room, of: *of, body: None, deleted: true, timestamp })
        }
        RoomChange::Opened { name, .. } => {
            let name = named(app, name.as_ref()).await?;
            json(EventName::RoomUpdate, &RoomUpdate { room, name, closed: false, timestamp })
        }
        RoomChange::Renamed { name } => {
            let name = named(app, Some(name)).await?;
            json(EventName::RoomUpdate, &RoomUpdate { room, name, closed: false, timestamp })
        }
        RoomChange::Closed => json(EventName::RoomUpdate, &RoomUpdate { room, name: None, closed: true, timestamp }),
        _ => member(app, event).await,
    }
}

/// Who came, went, or may do something else than before.
async fn member(app: &App, event: &RoomEvent) -> Result<Told, Failure> {
    let Some((user, change, until)) = changed(&event.change) else { return Err(Code::Internal.into()) };
    let update = MemberUpdate {
        room: event.room,
        user: app.people.party(user).await?,
        change,
        until: until.map(Time::of),
        timestamp: Time::of(event.meta.at),
    };
    json(EventName::MemberUpdate, &update)
}

/// What is different with whom.
const fn changed(change: &RoomChange) -> Option<(UserId, MemberChange, Option<Timestamp>)> {
    Some(match change {
        RoomChange::Invited { user } => (*user, MemberChange::Invited, None),
        RoomChange::Joined { user } => (*user, MemberChange::Joined, None),
        RoomChange::Left { user, cause: LeaveCause::Left, .. } => (*user, MemberChange::Left, None),
        RoomChange::Left { user, cause: LeaveCause::Kicked, .. } => (*user, MemberChange::Kicked, None),
        RoomChange::RankChanged { user, moderates: true } => (*user, MemberChange::Promoted, None),
        RoomChange::RankChanged { user, moderates: false } => (*user, MemberChange::Demoted, None),
        RoomChange::Muted { user, until } => (*user, MemberChange::Muted, Some(*until)),
        RoomChange::Unmuted { user } => (*user, MemberChange::Unmuted, None),
        RoomChange::Blocked { by } => (*by, MemberChange::Blocked, None),
        RoomChange::Unblocked { by } => (*by, MemberChange::Unblocked, None),
        _ => return None,
    })
}

/// What a message says now, or why it says nothing.
async fn said(app: &App, body: &Sealed, shown: &Shown) -> Result<(Option<Json>, Option<Gone>), Failure> {
    let body = match &shown.now {
        Showing::Deleted => return Ok((None, Some(Gone::Deleted))),
        Showing::Expired => return Ok((None, Some(Gone::Expired))),
        Showing::AsSaid => words::open(app, body).await?,
        Showing::Edited(edit) => match &edit.change {
            RoomChange::Edited { body, .. } => words::open(app, body).await?,
            _ => None,
        },
    };
    let gone = body.is_none().then_some(Gone::Erased);
    Ok((body, gone))
}

async fn named(app: &App, name: Option<&Sealed>) -> Result<Option<String>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let text = app.sealer.unseal(Purpose::RoomName, name).await?;
    Ok(text.map(|text| text.to_string()))
}

/// Who said it; nobody if the server did.
async fn from(app: &App, event: &RoomEvent) -> Result<Option<Party>, Failure> {
    match event.meta.origin.by.principal {
        Principal::Person(user) => Ok(Some(app.people.party(user).await?)),
        Principal::System => Ok(None),
    }
}

/// The notice that an event of a person's own room is.
pub fn notification(event: &RoomEvent, notice: Notice) -> Notification {
    Notification {
        id: actors::streams::message_id(event.room.0, event.offset),
        kind: notice.kind,
        title: notice.title,
        message: notice.message,
        timestamp: Time::of(event.meta.at),
        read: false,
    }
}
