//! What a server sends.

use domain::ids::{SessionId, TransferId, UserId};
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::event::{Class, EventName};
use crate::frame::stream::StreamName;
use crate::http::presence::PresentUser;
use crate::http::user::Party;
use crate::json::Json;
use crate::problem::FieldError;
use crate::value::Time;

/// One object that a server sends. Read with [`decode_server`](super::decode_server()).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ServerFrame {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// The answer to a subscription.
    Subscribed(Subscribed),
    /// One event of a stream.
    Message(Message),
    /// Events that will not come.
    Gap(Gap),
    /// The answer to a request.
    Reply(Reply),
    /// The refusal of a request.
    Error(ErrorFrame),
    /// The answer to `ping`.
    Pong(Pong),
    /// Reconnect elsewhere.
    Drain(Drain),
    /// The token ends soon.
    Expiring(Expiring),
    /// Somebody in a room signals.
    Signal(SignalFrame),
    /// Others are in a room now.
    Presence(PresenceFrame),
}

impl ServerFrame {
    /// Writes the frame.
    ///
    /// Every part of a frame can be written as JSON, so this does not fail; should it ever, the
    /// client is told that its session failed instead of being sent half a frame.
    pub fn encode(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|_| format!(r#"{{"type":"error","code":"{0}","message":"{0}"}}"#, Code::Internal))
    }
}

/// `welcome`: the session is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// This connection.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How often the server asks whether the client is there.
    pub heartbeat_ms: u64,
    /// How many messages of a stream may be unacknowledged.
    pub window: u32,
    /// The server knew a place for at least one of the subscriptions.
    pub resumed: bool,
}

/// `subscribed`: what follows begins after `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    /// Of the `subscribe`; absent for a subscription of `hello`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    /// Which stream.
    pub stream: StreamName,
    /// The life of the store's streams.
    pub epoch: Box<str>,
    /// The stream's newest offset.
    pub head: u64,
    /// What follows begins after this offset.
    pub from: u64,
}

/// `message`: one event of a stream. Servers write it with [`MessageText`](super::MessageText).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Of which stream.
    pub stream: StreamName,
    /// The life of the store's streams.
    pub epoch: Box<str>,
    /// Its number in the stream.
    pub offset: u64,
    /// The same at every delivery.
    pub id: Box<str>,
    /// What happened.
    pub event: EventName,
    /// What kind of stream it is.
    pub class: Class,
    /// Which try it is; absent at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Until when it should be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The event; see [`crate::event`].
    pub data: Json,
}

/// Why offsets will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The client is ahead of the stream.
    Ahead,
    /// The client's place is of another life of the store.
    Epoch,
    /// The client is further behind than is replayed: page by HTTP.
    Behind,
    /// They were let go under pressure.
    Shed,
    /// They are past their retention.
    Expired,
}

/// `gap`: these offsets will not come; read the state anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Of which stream.
    pub stream: StreamName,
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// Why.
    pub reason: GapReason,
}

/// `reply`: the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Of the request.
    pub id: Box<str>,
    /// The body of the HTTP answer; `null` where there is none.
    pub result: Json,
}

/// `error`: the refusal of a request, or of a subscription of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorFrame {
    /// Of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    /// Which subscription of `hello` was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// The stable code.
    pub code: Code,
    /// For a person to read.
    pub message: Box<str>,
    /// When to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What is wrong with which field of `params`; absent if it is not about fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The transfer whose outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_id: Option<TransferId>,
}

impl ErrorFrame {
    /// The refusal of nothing in particular, with the code's own words.
    pub fn of(code: Code) -> Self {
        Self {
            id: None,
            stream: None,
            code,
            message: code.message().into(),
            retry_after_ms: None,
            errors: Vec::new(),
            transfer_id: None,
        }
    }
}

/// `pong`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// Of the `ping`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
}

/// `drain`: reconnect elsewhere, at a random time in the spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Not before.
    pub after_ms: u64,
    /// Over how long.
    pub spread_ms: u64,
}

/// `expiring`: send `auth`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiring {
    /// How long the token is still good.
    pub in_ms: u64,
}

/// `signal`: somebody in a room signals. Comes once, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalFrame {
    /// The room's stream.
    pub stream: StreamName,
    /// Who.
    pub from: Party,
    /// What kind of signal, in the clients' words.
    pub kind: Box<str>,
    /// What they say with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}

/// `presence`: others are in a room now. Comes once, or not at all; `online` tells whether one was missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceFrame {
    /// The room's stream.
    pub stream: StreamName,
    /// How many people follow the room now.
    pub online: u64,
    /// Who is there who was not; nobody is named in a room that is too large.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<PresentUser>,
    /// Who is not there who was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave: Vec<PresentUser>,
}
