//! What servers say: into a room, to a role or region, to one person.

use std::time::Duration;

use domain::ids::{OperationId, RoomId, UserId};
use domain::ledger::{By, Origin, Via};
use domain::room::{Access, MessageKey, RoomClass, RoomCommand, RoomKind, RoomRequest};
use protocol::http::room::RoomOffset;
use protocol::json::Json;
use uuid::Uuid;

use crate::app::App;
use crate::failure::Failure;
use crate::rooms::notices::{Said, own_room};
use crate::rooms::words::{self, Words};
use crate::wallet::Done;

/// What a server says, and so that it is said once.
#[derive(Clone, Copy, Debug)]
pub struct Saying<'a> {
    /// What.
    pub body: &'a Json,
    /// For how long it is of interest.
    pub ttl_ms: Option<u64>,
    /// The idempotency key, with the name of whose it is.
    pub key: Option<&'a str>,
}

/// Says something in a room that somebody made.
///
/// # Errors
/// A rule is broken.
pub async fn publish(
    app: &App,
    operation: OperationId,
    room: RoomId,
    saying: Saying<'_>,
) -> Result<Done<RoomOffset>, Failure> {
    let words = words::of_server(saying.body, saying.ttl_ms)?;
    say(app, operation, room, None, words, saying.ttl_ms, saying.key).await
}

/// Says something to all who have a role or are in a region.
///
/// # Errors
/// A rule is broken.
pub async fn broadcast(
    app: &App,
    operation: OperationId,
    kind: RoomKind,
    saying: Saying<'_>,
) -> Result<Done<RoomOffset>, Failure> {
    let room = kind.room().ok_or_else(|| Failure::of(protocol::code::Code::NotFound))?;
    let words = words::of_server(saying.body, saying.ttl_ms)?;
    say(app, operation, room, Some(kind), words, saying.ttl_ms, saying.key).await
}

/// What a person is told in their own room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling<'a> {
    /// What.
    pub said: &'a Said,
    /// What of it tells it from another under one key: the same whenever it is told.
    pub same: &'a Json,
    /// So that it is told once.
    pub key: Option<&'a str>,
}

/// Tells one person something, sealed under their own key.
///
/// # Errors
/// The person was erased, or a store does not answer.
pub(super) async fn tell(
    app: &App,
    operation: OperationId,
    user: UserId,
    telling: Telling<'_>,
) -> Result<Done<RoomOffset>, Failure> {
    let Telling { said, same, key } = telling;
    let words = Words {
        body: words::seal(app, user, &said.body()?).await?,
        fingerprint: words::fingerprint(app, user, same, None).await?,
    };
    say(app, operation, own_room(user)?, Some(RoomKind::User(user)), words, None, key).await
}

/// Makes a room that only the server writes in and anybody reads.
///
/// # Errors
/// A rule is broken.
pub async fn create(
    app: &App,
    operation: OperationId,
    class: RoomClass,
    key: Option<&str>,
) -> Result<Done<RoomOffset>, Failure> {
    let room = key.map_or_else(|| RoomId::random(rand::random()), |key| RoomId::made(Uuid::nil(), key));
    let request = RoomRequest::Create { class, access: Access::Open, name: None };
    submit(app, operation, room, Some(RoomKind::Broadcast), request).await
}

async fn say(
    app: &App,
    operation: OperationId,
    room: RoomId,
    kind: Option<RoomKind>,
    words: Words,
    ttl_ms: Option<u64>,
    key: Option<&str>,
) -> Result<Done<RoomOffset>, Failure> {
    let request = RoomRequest::Publish {
        body: words.body,
        key: key.map(|key| MessageKey::of(room, Uuid::nil(), key)),
        fingerprint: key.map(|_| words.fingerprint),
        lasts: ttl_ms.map(Duration::from_millis),
    };
    submit(app, operation, room, kind, request).await
}

async fn submit(
    app: &App,
    operation: OperationId,
    room: RoomId,
    kind: Option<RoomKind>,
    request: RoomRequest,
) -> Result<Done<RoomOffset>, Failure> {
    let by = By { via: Via::Http, ..By::SYSTEM };
    let command = RoomCommand { origin: Origin { operation, by, trace: None }, kind, request };
    let effect = app.chat.submit(room, command).await?;
    Ok(Done { body: RoomOffset { room, offset: effect.offset }, pending: false, replayed: effect.replayed })
}
