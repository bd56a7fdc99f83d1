//! Notices: what the platform tells a person in their own room, and what credits to their account make, as one list.
//!
//! Nothing is stored for the list itself: it is the two streams, and two read marks. That marks changed is an event of
//! the person's own room, so that all their devices hear it.

use std::collections::VecDeque;
use std::sync::Arc;

use actors::streams::{message_id, read_message_id};
use domain::ids::{AccountId, RoomId, UserId};
use domain::ledger::{Change, Event};
use domain::room::{RoomChange, RoomKind};
use domain::time::Timestamp;
use protocol::amount::Major;
use protocol::code::Code;
use protocol::event::Notification;
use protocol::http::room::{NotificationResponse, NotificationsQuery, NotificationsResponse};
use protocol::value::Time;
use storage::deliveries::ReadMark;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::present;
use crate::wallet::{Caller, cursor, statement};
pub use said::{Notice, Said};
pub use telling::{Unread, tell, tell_of_security, tell_that_read, unread_in_room, unread_upto};

mod said;
mod telling;

/// The most events of each stream that one page looks at: a page may be short, and have a next one.
const LOOKED_AT_MAX: usize = 200;

/// A person's two streams, and what they have read of them.
struct Streams {
    room: RoomId,
    account: Uuid,
    room_read: ReadMark,
    account_read: ReadMark,
}

/// An event that may be a notice.
struct Candidate {
    stream: Uuid,
    offset: u64,
    at: Timestamp,
    read: bool,
    says: Option<Notice>,
}

/// The caller's notices, newest first.
///
/// # Errors
/// The cursor is none, or a store does not answer.
pub async fn list(app: &App, caller: &Caller, query: &NotificationsQuery) -> Result<NotificationsResponse, Failure> {
    let limit = usize::try_from(statement::limit(query.limit)?).unwrap_or(usize::MAX);
    let only_unread = query.unread == Some(true);
    let (mut room_before, mut account_before) = match query.cursor.as_deref() {
        Some(cursor) => cursor::read_notices(cursor)?,
        None => (u64::MAX, u64::MAX),
    };
    let streams = streams(app, caller.user).await?;
    let unread = telling::counted(telling::unread(app, &streams).await?.len());
    let mut rooms = of_room(app, &streams, room_before).await?;
    let mut accounts = of_account(app, &streams, account_before).await?;
    let more = rooms.len() == LOOKED_AT_MAX || accounts.len() == LOOKED_AT_MAX;
    let mut notifications = Vec::new();
    while notifications.len() < limit {
        let newer_in_room = match (rooms.front(), accounts.front()) {
            (Some(room), Some(account)) => room.at >= account.at,
            (room, _) => room.is_some(),
        };
        let next = if newer_in_room { rooms.pop_front() } else { accounts.pop_front() };
        let Some(next) = next else { break };
        *(if newer_in_room { &mut room_before } else { &mut account_before }) = next.offset;
        if !(only_unread && next.read) {
            notifications.extend(next.notification());
        }
    }
    let left = more || !rooms.is_empty() || !accounts.is_empty();
    let next_cursor = left.then(|| cursor::notices(room_before, account_before));
    Ok(NotificationsResponse { notifications, unread, next_cursor })
}

/// Says that one notice was read.
///
/// # Errors
/// [`Code::NotFound`]
pub async fn read(app: &App, caller: &Caller, id: &str) -> Result<NotificationResponse, Failure> {
    let not_found = || Failure::of(Code::NotFound);
    let (stream, offset) = read_message_id(id).ok_or_else(not_found)?;
    let streams = streams(app, caller.user).await?;
    let before = offset.checked_add(1).ok_or_else(not_found)?;
    let found = if stream == streams.room.0 {
        of_room(app, &streams, before).await?.pop_front()
    } else if stream == streams.account {
        of_account(app, &streams, before).await?.pop_front()
    } else {
        None
    };
    let found = found.filter(|found| found.offset == offset).ok_or_else(not_found)?;
    let notification = Candidate { read: true, ..found }.notification().ok_or_else(not_found)?;
    app.deliveries.mark_read(caller.user, stream, 0, vec![offset]).await?;
    // Keyed by what was read: told once, and told by the next try if a crash comes between.
    let key = format!("/read {id}");
    telling::tell_of_reading(app, caller.origin.operation, caller.user, vec![id.to_owned()], Some(&key)).await?;
    Ok(NotificationResponse { success: true, notification: Some(notification) })
}

/// Says that all notices were read.
///
/// # Errors
/// A store does not answer.
pub async fn read_all(app: &App, caller: &Caller) -> Result<NotificationResponse, Failure> {
    let streams = streams(app, caller.user).await?;
    let unread = telling::unread(app, &streams).await?;
    let head = app.chat.head(streams.room).await?;
    app.deliveries.mark_read(caller.user, streams.room.0, head, Vec::new()).await?;
    let account = app.ledger.account(app.account_of(caller.user)).await?;
    app.deliveries.mark_read(caller.user, streams.account, account.head, Vec::new()).await?;
    tell_that_read(app, caller, unread).await?;
    Ok(NotificationResponse { success: true, notification: None })
}

/// Tells the caller something, to see that it arrives.
///
/// # Errors
/// A store does not answer.
pub async fn test(app: &App, caller: &Caller) -> Result<NotificationResponse, Failure> {
    let notice = Notice {
        kind: "test".to_owned(),
        title: "A test".to_owned(),
        message: "Notices arrive on this device.".to_owned(),
    };
    let offset = tell(app, caller.origin.operation, caller.user, &notice, None).await?.body.offset;
    let room = own_room(caller.user)?;
    let candidate = Candidate { stream: room.0, offset, at: app.now(), read: false, says: Some(notice) };
    Ok(NotificationResponse { success: true, notification: candidate.notification() })
}

/// A person's own room.
///
/// # Errors
/// None: every person has one.
pub fn own_room(user: UserId) -> Result<RoomId, Failure> {
    RoomKind::User(user).room().ok_or_else(|| Failure::of(Code::Internal))
}

async fn streams(app: &App, user: UserId) -> Result<Streams, Failure> {
    let (room, account) = (own_room(user)?, app.account_of(user).0);
    let room_read = app.deliveries.read_mark(user, room.0).await?;
    let account_read = app.deliveries.read_mark(user, account).await?;
    Ok(Streams { room, account, room_read, account_read })
}

/// What a person's own room says, newest first.
async fn of_room(app: &App, streams: &Streams, before: u64) -> Result<VecDeque<Candidate>, Failure> {
    let events = app.chat.events_before(streams.room, before, LOOKED_AT_MAX).await?;
    let mut candidates = VecDeque::with_capacity(events.len());
    for shown in app.chat.shown(streams.room, events, app.now()).await? {
        let body = match &shown.event.change {
            RoomChange::Published { body, .. } => present::room::said(app, body, &shown).await?.0,
            _ => None,
        };
        candidates.push_back(Candidate {
            stream: streams.room.0,
            offset: shown.event.offset,
            at: shown.event.meta.at,
            read: streams.room_read.has(shown.event.offset),
            says: body.as_ref().and_then(Said::read).and_then(Said::notice),
        });
    }
    Ok(candidates)
}

/// What credits make, newest first.
async fn of_account(app: &App, streams: &Streams, before: u64) -> Result<VecDeque<Candidate>, Failure> {
    let events = account_events(app, streams, before).await?;
    let mut candidates = VecDeque::with_capacity(events.len());
    for event in events {
        candidates.push_back(Candidate {
            stream: streams.account,
            offset: event.offset,
            at: event.meta.at,
            read: streams.account_read.has(event.offset),
            says: of_credit(app, &event).await?,
        });
    }
    Ok(candidates)
}

/// Events of a person's account, newest first: those that were heard a moment ago too, which views may not have yet.
async fn account_events(app: &App, streams: &Streams, before: u64) -> Result<Vec<Arc<Event>>, Failure> {
    let account = AccountId(streams.account);
    let newest = app.ledger.account(account).await?.head.min(before.saturating_sub(1));
    let after = newest.saturating_sub(u64::try_from(LOOKED_AT_MAX).unwrap_or(u64::MAX));
    let mut events = app.ledger.events_after(account, after, LOOKED_AT_MAX).await?;
    events.retain(|event| event.offset <= newest);
    events.reverse();
    Ok(events)
}

/// The notice that a credit makes; none of any other event.
///
/// # Errors
/// A store does not answer.
pub async fn of_credit(app: &App, event: &Event) -> Result<Option<Notice>, Failure> {
    let Change::Credited { movement, payer, .. } = &event.change else { return Ok(None) };
    let entry = &movement.entry;
    let amount = Major::of(entry.amount, entry.currency);
    let from = app.people.party(payer.user).await?.name;
    Ok(Some(Notice {
        kind: "credit".to_owned(),
        title: "Money received".to_owned(),
        message: format!("{} {amount} from {from}", entry.currency.code()),
    }))
}

impl Candidate {
    /// The notice, if it is one.
    fn notification(self) -> Option<Notification> {
        let shown = shown(self.says?, self.stream, self.offset, self.at);
        Some(Notification { read: self.read, ..shown })
    }
}

/// A notice that an event makes, not read.
pub fn shown(notice: Notice, stream: Uuid, offset: u64, at: Timestamp) -> Notification {
    let Notice { kind, title, message } = notice;
    Notification { id: message_id(stream, offset), kind, title, message, timestamp: Time::of(at), read: false }
}
