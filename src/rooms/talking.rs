//! Saying something in a room, and taking it back.

use std::future::Future;
use std::time::Duration;

use domain::ids::RoomId;
use domain::room::{MessageKey, RoomCommand, RoomRequest};
use protocol::code::Code;
use protocol::http::room::{MessageRequest, RoomOffset};
use protocol::json::Json;

use crate::app::App;
use crate::failure::Failure;
use crate::rooms::{submit, words};
use crate::wallet::{Caller, Done};

/// Says something; answered when it is durable.
///
/// # Errors
/// It is too long, or a rule is broken.
pub async fn publish(
    app: &App,
    caller: &Caller,
    room: RoomId,
    request: &MessageRequest,
    key: Option<&str>,
) -> Result<Done<RoomOffset>, Failure> {
    hand(app, caller, room, &request.body, request.ttl_ms, key).await?.await
}

/// Hands a message to its room, in its place among all others; the answer comes when it is durable.
///
/// # Errors
/// Nothing happened.
pub async fn hand(
    app: &App,
    caller: &Caller,
    room: RoomId,
    body: &Json,
    ttl_ms: Option<u64>,
    key: Option<&str>,
) -> Result<impl Future<Output = Result<Done<RoomOffset>, Failure>> + Send + use<>, Failure> {
    let words = words::of_person(app, caller.user, body, ttl_ms).await?;
    let request = RoomRequest::Publish {
        body: words.body,
        key: key.map(|key| MessageKey::of(room, caller.origin.by.principal.id(), key)),
        fingerprint: key.map(|_| words.fingerprint),
        lasts: ttl_ms.map(Duration::from_millis),
    };
    let command = RoomCommand { origin: caller.origin.clone(), kind: None, request };
    let handed = app.chat.hand(room, command).await?;
    Ok(async move {
        let effect = handed.outcome().await?;
        Ok(Done { body: RoomOffset { room, offset: effect.offset }, pending: false, replayed: effect.replayed })
    })
}

/// Has one's own message say something else.
///
/// # Errors
/// There is no such message, or a rule is broken.
pub async fn edit(
    app: &App,
    caller: &Caller,
    room: RoomId,
    of: u64,
    request: &MessageRequest,
) -> Result<Done<RoomOffset>, Failure> {
    let words = words::of_person(app, caller.user, &request.body, None).await?;
    submit(app, caller, room, RoomRequest::Edit { of, body: words.body }).await
}

/// Takes a message back.
///
/// # Errors
/// There is no such message, or a rule is broken.
pub async fn delete(app: &App, caller: &Caller, room: RoomId, of: u64) -> Result<Done<RoomOffset>, Failure> {
    submit(app, caller, room, RoomRequest::Delete { of }).await
}

/// The room that a path names.
///
/// # Errors
/// [`Code::NotFound`]
pub fn room_of(text: &str) -> Result<RoomId, Failure> {
    text.parse().map_err(|_| Failure::of(Code::NotFound))
}
