//! What a client sends.

pub use domain::delivery::Stage;
use domain::ids::RoomId;
use serde::{Deserialize, Serialize};

use crate::frame::stream::{Place, StreamName};
use crate::json::Json;

/// One object that a client sends. Read with [`decode`](super::decode()).
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ClientFrame {
    /// The first frame.
    Hello(Hello),
    /// A new token, before the old one ends.
    Auth(Auth),
    /// Follow a stream.
    Subscribe(Subscribe),
    /// Stop following it.
    Unsubscribe(Unsubscribe),
    /// These messages arrived.
    Ack(Ack),
    /// This one could not be taken.
    Nack(Nack),
    /// A command.
    Call(Call),
    /// Say something in a room.
    Publish(Publish),
    /// Tell those who are in a room now.
    Signal(Signal),
    /// Are you there?
    Ping(Ping),
}

/// `hello`: who and which device, and what to follow.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// An access token.
    pub token: Box<str>,
    /// A stable id that the client made; without it nothing is kept for the next connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Box<str>>,
    /// What to follow, answered in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<Subscription>,
}

/// A stream to follow, from a place or from what the server remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Which stream.
    pub stream: StreamName,
    /// What the client has; wins over what the server remembers of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Place>,
    /// How many of the stream's newest events to begin with, at most; `after` wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
}

/// `auth`: a new token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// An access token of the same person.
    pub token: Box<str>,
}

/// `subscribe`: follow a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribe {
    /// Comes back in the answer.
    pub id: Box<str>,
    /// Which stream.
    pub stream: StreamName,
    /// What the client has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Place>,
    /// How many of the stream's newest events to begin with, at most; `after` wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
}

/// `unsubscribe`: stop following a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsubscribe {
    /// Comes back in the answer.
    pub id: Box<str>,
    /// Which stream.
    pub stream: StreamName,
}

/// `ack`: messages up to an offset, and single ones beyond it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// Of which stream.
    pub stream: StreamName,
    /// All up to and with this offset.
    pub upto: u64,
    /// And these beyond it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<u64>,
    /// How far the client is with them.
    #[serde(default, skip_serializing_if = "is_applied")]
    pub stage: Stage,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_applied(stage: &Stage) -> bool {
    *stage == Stage::Applied
}

/// `nack`: send it again later, or never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nack {
    /// Of which stream.
    pub stream: StreamName,
    /// Which message.
    pub offset: u64,
    /// Why, in the client's words.
    pub code: Box<str>,
    /// How long to wait, in milliseconds; the class's back-off if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Never send it to this device again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminal: bool,
}

/// A command that can be called over a WebSocket; the HTTP route of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Method {
    /// `GET /account/balance`
    #[serde(rename = "account.balance")]
    Balance,
    /// `POST /account/deposit`
    #[serde(rename = "account.deposit")]
    Deposit,
    /// `POST /account/withdraw`
    #[serde(rename = "account.withdraw")]
    Withdraw,
    /// `POST /account/transfer`
    #[serde(rename = "account.transfer")]
    Transfer,
    /// `GET /account/transactions`
    #[serde(rename = "account.transactions")]
    Transactions,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 5] = [Self::Balance, Self::Deposit, Self::Withdraw, Self::Transfer, Self::Transactions];

    /// The name as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "account.balance",
            Self::Deposit => "account.deposit",
            Self::Withdraw => "account.withdraw",
            Self::Transfer => "account.transfer",
            Self::Transactions => "account.transactions",
        }
    }

    /// The method of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether it moves money, so that an idempotency key matters.
    pub const fn moves_money(self) -> bool {
        matches!(self, Self::Deposit | Self::Withdraw | Self::Transfer)
    }
}

/// `call`: a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Comes back in the answer.
    pub id: Box<str>,
    /// Which command.
    pub method: Method,
    /// The body, or the query as an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Json>,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
    /// The trace that the call belongs to (W3C), as the header of an HTTP request. One that is not sound is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Box<str>>,
}

/// `publish`: say something in a room, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// Comes back in the answer.
    pub id: Box<str>,
    /// Which room.
    pub room: RoomId,
    /// So that it is said once, however often it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
    /// What: any JSON value.
    pub body: Json,
    /// For how long it is of interest, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// What a `publish` is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The message's offset in the room.
    pub offset: u64,
    /// It was said before, under the same key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// `signal`: something of the moment, such as typing. Neither kept nor sent again, and not answered unless refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Which room.
    pub room: RoomId,
    /// What kind of signal, in the clients' words.
    pub kind: Box<str>,
    /// What they say with it: any JSON value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}

/// `ping`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Comes back in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
}
