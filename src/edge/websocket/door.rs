//! The seam between connections and what handles their messages.

use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use actors::outbox::{CloseCode, Outbox};
use bytes::Bytes;

/// Decides who comes in. One a node.
pub trait Door: Send + Sync + 'static {
    /// What handles an admitted connection's messages.
    type Session: Session;

    /// A guest sent its first message. Answers its session, or why there is none.
    ///
    /// Neither reading nor writing goes on until this answers, so what is pushed to the outbox meanwhile waits there
    /// and counts. It is never dropped half-way, and therefore must have a deadline of its own.
    fn hello(&self, hello: Hello) -> impl Future<Output = Result<Self::Session, Refusal>> + Send;
}

/// Handles the messages of one connection.
pub trait Session: Send + Sync + 'static {
    /// A complete text message, in the order they came. It must not block: it runs inside the read.
    fn message(&self, text: &str) -> Flow;

    /// The connection is over: called exactly once, whatever ended it. Nothing of what is pushed later is written.
    fn gone(&self);
}

/// Whether to read on.
pub enum Flow {
    /// Read on.
    Continue,
    /// Read on when this is ready: the session has as much in flight as it may. Writing goes on meanwhile; the
    /// client is held back by TCP. It is dropped when the connection ends first.
    Pause(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Read nothing more: the session has ended its outbox. If it has not, the connection closes with 1000 behind
    /// what is queued.
    Stop,
}

/// A guest's first message.
pub struct Hello {
    /// Its text. Whether it is a `hello` at all is for the door to say.
    pub text: String,
    /// Where the session pushes what the client is to hear, and by which it ends the connection.
    pub outbox: Arc<Outbox>,
    /// Whose connection it is.
    pub client: Client,
}

/// What is known of a client before it says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address, as far as trusted proxies tell.
    pub address: IpAddr,
    /// Its `User-Agent`, cut to 256 bytes.
    pub user_agent: Option<Box<str>>,
    /// Its `traceparent` (W3C), unparsed.
    pub trace_parent: Option<Box<str>>,
}

/// Why a guest is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the close frame.
    pub code: CloseCode,
    /// Its reason, at most 123 bytes.
    pub reason: Cow<'static, str>,
    /// A frame that is written before it.
    pub notice: Option<Bytes>,
}

impl Refusal {
    /// A refusal without a notice.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), notice: None }
    }
}
