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
use protocol::event::EventName;
use protocol::event::room::{
    Gone, MemberChange, MemberUpdate, MessageNew, MessageUpdate, NotificationNew, NotificationUpdate, RoomUpdate,
    SecurityNew,
};
use protocol::http::user::Party;
use protocol::json::Json;
use protocol::value::Time;
use storage::sealing::Purpose;

use crate::app::App;
use crate::failure::Failure;
use crate::present::event::{Told, json};
use crate::rooms::notices::{self, Said};
use crate::rooms::security::Security;
use crate::rooms::words;

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
                && let Some(said) = body.as_ref().and_then(Said::read)
            {
                return in_own_room(event, said);
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
            let body = if matches!(shown.now, Showing::Deleted) { None } else { words::open(app, body).await? };
            json(
                EventName::MessageUpdate,
                &MessageUpdate { room, of: *of, by: from(app, event).await?, body, deleted: false, timestamp },
            )
        }
        RoomChange::Deleted { of } => json(
            EventName::MessageUpdate,
            &MessageUpdate { room, of: *of, by: from(app, event).await?, body: None, deleted: true, timestamp },
        ),
        RoomChange::Opened { .. } | RoomChange::Renamed { .. } | RoomChange::Closed => {
            let name = match &event.change {
                RoomChange::Opened { name, .. } => named(app, name.as_ref()).await?,
                RoomChange::Renamed { name } => named(app, Some(name)).await?,
                _ => None,
            };
            let closed = event.change == RoomChange::Closed;
            json(EventName::RoomUpdate, &RoomUpdate { room, name, closed, by: from(app, event).await?, timestamp })
        }
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
        by: from(app, event).await?,
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
///
/// # Errors
/// The store does not answer.
pub async fn said(app: &App, body: &Sealed, shown: &Shown) -> Result<(Option<Json>, Option<Gone>), Failure> {
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

/// What a person hears in their own room.
fn in_own_room(event: &RoomEvent, said: Said) -> Result<Told, Failure> {
    let notification = |notice| notices::shown(notice, event.room.0, event.offset, event.meta.at);
    match said {
        Said::Notice { notice, unread } => {
            json(EventName::NotificationNew, &NotificationNew { notification: notification(notice), unread })
        }
        Said::Read { read, unread } => json(EventName::NotificationUpdate, &NotificationUpdate { ids: read, unread }),
        Said::Security { security, unread } => {
            let notification = notification(security.notice());
            let Security { kind, device, device_id, session } = security;
            json(EventName::SecurityNew, &SecurityNew { kind, device, device_id, session, notification, unread })
        }
    }
}
