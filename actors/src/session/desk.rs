//! What a session needs of the node's edge: what tokens grant, and the commands that HTTP has as well.

use async_trait::async_trait;
use domain::ids::{AccountId, DeviceId, LoginId, SessionId, UserId};
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use protocol::code::Code;
use protocol::frame::client::{Call, Publish, Signal};
use protocol::frame::server::ErrorFrame;
use protocol::json::Json;

/// What a token grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// To whom.
    pub user: UserId,
    /// Their account.
    pub account: AccountId,
    /// The login that the token is of.
    pub login: Option<LoginId>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Calling {
    /// What the session's token grants.
    pub rights: Rights,
    /// The connection.
    pub session: SessionId,
    /// The device, if it said its name.
    pub device: Option<DeviceId>,
}

/// What sessions need of the node's edge: tokens, and the commands that HTTP has as well.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// What a token grants now.
    async fn rights(&self, token: &str) -> Result<Rights, Code>;

    /// Does what is called for, and answers as HTTP would.
    async fn call(&self, calling: Calling, call: Call) -> Result<Json, Box<ErrorFrame>>;

    /// Hands a message to its room, and answers with what its outcome is waited for by: messages that are handed one
    /// after another stand in the room in that order.
    async fn publish(&self, calling: Calling, publish: Publish) -> Answering;

    /// Lets a signal out to who follows the room, if the caller may write there.
    async fn signal(&self, calling: Calling, signal: Signal) -> Result<(), Code>;
}

/// An answer that is waited for.
pub type Answering = BoxFuture<'static, Result<Json, Box<ErrorFrame>>>;
