//! Telling people: notices into their own room with how many are unread, and that notices were read.
//!
//! How many are unread is part of what is told, so that a message says the same whenever it is delivered.

use std::sync::Arc;

use actors::streams::message_id;
use domain::ids::{OperationId, UserId};
use domain::ledger::{Change, Event};
use domain::time::Timestamp;
use protocol::http::room::RoomOffset;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::rooms::notices::{Notice, Said, Streams, account_events, of_room, streams};
use crate::rooms::security::Security;
use crate::rooms::serving::{self, Telling};
use crate::wallet::{Caller, Done};

/// The most unread notices that are counted.
const UNREAD_MAX: usize = 100;

/// A notice that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    stream: Uuid,
    offset: u64,
    at: Timestamp,
}

/// The notices of a person's own room up to and with `upto` that they have not read, by when they were made.
///
/// # Errors
/// A store does not answer.
pub async fn unread_upto(app: &App, user: UserId, upto: u64) -> Result<Vec<Unread>, Failure> {
    let streams = streams(app, user).await?;
    let mut unread = unread_of_room(app, &streams).await?;
    unread.retain(|unread| unread.offset <= upto);
    Ok(unread)
}

/// How many notices of a person's own room they have not read.
///
/// # Errors
/// A store does not answer.
pub async fn unread_in_room(app: &App, user: UserId) -> Result<u64, Failure> {
    let streams = streams(app, user).await?;
    Ok(counted(unread_of_room(app, &streams).await?.len()))
}

/// Tells all devices of a person that notices were read, if any were.
///
/// # Errors
/// A store does not answer.
pub async fn tell_that_read(app: &App, caller: &Caller, mut read: Vec<Unread>) -> Result<(), Failure> {
    if read.is_empty() {
        return Ok(());
    }
    read.sort_unstable_by_key(|read| std::cmp::Reverse(read.at));
    let ids = read.iter().take(UNREAD_MAX).map(|read| message_id(read.stream, read.offset)).collect();
    tell_of_reading(app, caller.origin.operation, caller.user, ids, None).await
}

/// Tells all devices of a person that these were read.
pub(super) async fn tell_of_reading(
    app: &App,
    operation: OperationId,
    user: UserId,
    ids: Vec<String>,
    key: Option<&str>,
) -> Result<(), Failure> {
    let unread = counted(unread(app, &streams(app, user).await?).await?.len());
    let same = Said::Read { read: ids.clone(), unread: 0 }.body()?;
    let telling = Telling { said: &Said::Read { read: ids, unread }, same: &same, key };
    serving::tell(app, operation, user, telling).await?;
    Ok(())
}

/// Tells a person something.
///
/// # Errors
/// The person was erased, or a store does not answer.
pub async fn tell(
    app: &App,
    operation: OperationId,
    user: UserId,
    notice: &Notice,
    key: Option<&str>,
) -> Result<Done<RoomOffset>, Failure> {
    let unread = Some(unread_with_one_more(app, user).await?);
    let same = Said::Notice { notice: notice.clone(), unread: None }.body()?;
    let telling = Telling { said: &Said::Notice { notice: notice.clone(), unread }, same: &same, key };
    serving::tell(app, operation, user, telling).await
}

/// Tells a person what happened to who may sign in as them.
///
/// # Errors
/// As [`tell`].
pub async fn tell_of_security(
    app: &App,
    operation: OperationId,
    user: UserId,
    security: &Security,
) -> Result<(), Failure> {
    let said = Said::Security { security: security.clone(), unread: unread_with_one_more(app, user).await? };
    let same = said.body()?;
    serving::tell(app, operation, user, Telling { said: &said, same: &same, key: None }).await?;
    Ok(())
}

/// The newest notices that were not read.
pub(super) async fn unread(app: &App, streams: &Streams) -> Result<Vec<Unread>, Failure> {
    let mut unread = unread_of_room(app, streams).await?;
    unread.extend(unread_of_account(app, streams).await?);
    Ok(unread)
}

/// How many there are when one more is made.
async fn unread_with_one_more(app: &App, user: UserId) -> Result<u64, Failure> {
    let unread = unread(app, &streams(app, user).await?).await?;
    Ok(counted(unread.len().saturating_add(1)))
}

/// As many as are told.
pub(super) fn counted(count: usize) -> u64 {
    u64::try_from(count.min(UNREAD_MAX)).unwrap_or(u64::MAX)
}

/// The newest notices of a person's own room that were not read.
async fn unread_of_room(app: &App, streams: &Streams) -> Result<Vec<Unread>, Failure> {
    let head = app.chat.head(streams.room).await?;
    if streams.room_read.upto >= head {
        return Ok(Vec::new());
    }
    let notices = of_room(app, streams, u64::MAX).await?;
    let unread = notices.iter().filter(|notice| !notice.read && notice.says.is_some());
    Ok(unread.map(|notice| Unread { stream: notice.stream, offset: notice.offset, at: notice.at }).collect())
}

/// The newest credits whose notices were not read.
async fn unread_of_account(app: &App, streams: &Streams) -> Result<Vec<Unread>, Failure> {
    let events = account_events(app, streams, u64::MAX).await?;
    let is_unread = |event: &&Arc<Event>| {
        matches!(event.change, Change::Credited { .. }) && !streams.account_read.has(event.offset)
    };
    let unread = events.iter().filter(is_unread);
    Ok(unread.map(|event| Unread { stream: streams.account, offset: event.offset, at: event.meta.at }).collect())
}
