//! Saying something in a room.
//!
//! The body is any JSON value and is kept as the text that was sent, sealed under the writer's data key.

use std::future::Future;
use std::time::Duration;

use domain::ids::RoomId;
use domain::ledger::Fingerprint;
use domain::room::{MessageKey, RoomCommand, RoomRequest};
use protocol::code::Code;
use protocol::frame::BODY_BYTES_MAX;
use protocol::frame::client::Published;
use protocol::json::Json;
use protocol::problem::FieldCode;
use storage::sealing::Purpose;

use crate::app::App;
use crate::failure::Failure;
use crate::wallet::Caller;

/// What is to be said.
#[derive(Clone, Copy, Debug)]
pub struct Saying<'a> {
    /// Where.
    pub room: RoomId,
    /// What.
    pub body: &'a Json,
    /// So that it is said once.
    pub key: Option<&'a str>,
    /// For how long it is of interest, in milliseconds.
    pub ttl_ms: Option<u64>,
}

/// Hands a message of a person to its room: messages that are handed one after another stand there in that order.
/// What it answers is waited for apart.
///
/// # Errors
/// Nothing was said.
pub async fn publish(
    app: &App,
    caller: &Caller,
    saying: Saying<'_>,
) -> Result<impl Future<Output = Result<Published, Failure>> + Send + use<>, Failure> {
    let Saying { room, body, key, ttl_ms } = saying;
    if body.get().len() > BODY_BYTES_MAX {
        return Err(Failure::field("body", FieldCode::TooLong, "must be 1 byte to 16 KiB"));
    }
    let erased = || Failure::of(Code::TokenInvalid);
    let sealed = app.sealer.seal(caller.user, Purpose::Message, body.get()).await?.ok_or_else(erased)?;
    let fingerprint = match key {
        Some(_) => {
            let canonical = format!("{room}\n{}\n{}", ttl_ms.unwrap_or(0), body.get());
            let print = app.sealer.fingerprint(caller.user, canonical.as_bytes()).await?.ok_or_else(erased)?;
            Some(Fingerprint(print))
        }
        None => None,
    };
    let request = RoomRequest::Publish {
        body: sealed,
        key: key.map(|key| MessageKey::of(room, caller.user.0, key)),
        fingerprint,
        lasts: ttl_ms.map(Duration::from_millis),
    };
    let command = RoomCommand { origin: caller.origin.clone(), kind: None, request };
    let handed = app.chat.hand(room, command).await?;
    Ok(async move {
        let effect = handed.outcome().await?;
        Ok(Published { offset: effect.offset, replayed: effect.replayed })
    })
}
