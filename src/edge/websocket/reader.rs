//! The lean incremental reader of RFC 6455 frames, server side.
//!
//! A connection that says nothing holds nothing: bytes are read into a buffer each thread has once, frames that are
//! complete are handled there and then, and only the bytes of an incomplete frame or message are kept. What a client
//! can make the reader keep is bounded by the size of one message and one read.
//!
//! All state lives in [`Reader`], none in a future, so every future here may be dropped and asked again. It was
//! written because the frame reader of the handshake's crate bounds no fragmented message, checks neither masking nor
//! the order of fragments, and must not be dropped half-way.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actors::outbox::CloseCode;
use bytes::Bytes;
use fastwebsockets::OpCode;
use tokio::io::{AsyncRead, ReadBuf};

use super::frame_header::{FrameHeader, HeaderError};

/// What one thread reads into at once. Larger reads did not raise the measured throughput.
const SCRATCH_BYTES: usize = 32 << 10;

/// Fragments of one message. Empty fragments cost no memory but processor time without end.
const FRAGMENTS_MAX: u32 = 1_024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// A complete message or control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message, all its fragments together.
    Text(&'a str),
    /// A binary message, all its fragments together.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The client's good-bye and its code, if it gave one. Nothing follows.
    Close(Option<u16>),
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client closed its side without a close frame.
    #[error("the client went away")]
    EndOfStream,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The client broke a rule; what the close frame is to say.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// A rule a client broke. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Violation {
    /// The header of a frame is against RFC 6455.
    Header(HeaderError),
    /// A continuation without a beginning.
    LoneContinuation,
    /// A new message inside a fragmented one.
    InterruptedMessage,
    /// A message above the bound.
    MessageTooLarge,
    /// A message of too many fragments.
    TooManyFragments,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// A close frame of one byte, or with a code nobody may send.
    InvalidClose,
}

impl Violation {
    /// The code of the close frame that answers it.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Header(HeaderError::TooLarge) | Self::MessageTooLarge | Self::TooManyFragments => CloseCode::TooLarge,
            Self::InvalidUtf8 => CloseCode::InvalidText,
            Self::Header(_) | Self::LoneContinuation | Self::InterruptedMessage | Self::InvalidClose => {
                CloseCode::ProtocolError
            }
        }
    }

    /// What the close frame says.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Header(error) => error.reason(),
            Self::LoneContinuation => "a continuation frame without a beginning",
            Self::InterruptedMessage => "a new message inside a fragmented one",
            Self::MessageTooLarge => "the message is too large",
            Self::TooManyFragments => "the message has too many fragments",
            Self::InvalidUtf8 => "the text is not UTF-8",
            Self::InvalidClose => "the close frame is malformed",
        }
    }
}

/// The reading half of a connection, without its socket.
#[derive(Debug)]
pub struct Reader {
    message_bytes_max: u32,
    /// Bytes that are read and not handled: an incomplete frame, or what came after a caller's `Break`.
    pending: Vec<u8>,
    /// Whether `pending` may hold a complete frame, so that it is looked at before the socket is.
    resumed: bool,
    /// The unmasked fragments of the message that is under way.
    fragments: Vec<u8>,
    /// The kind of that message.
    fragmented: Option<Kind>,
    fragment_count: u32,
    closed: bool,
}

/// The two kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

impl Reader {
    /// A reader of messages of at most `message_bytes_max` bytes that begins with `leftover`: what the client sent
    /// behind its handshake and the HTTP server had read already.
    pub fn new(message_bytes_max: u32, leftover: Bytes) -> Self {
        Self {
            message_bytes_max,
            resumed: !leftover.is_empty(),
            // The HTTP server's buffer in most cases, and not copied then; not kept for the life of the connection
            // where it holds nothing, because a vector takes all of its 8 KiB over even so.
            pending: if leftover.is_empty() { Vec::new() } else { leftover.into() },
            fragments: Vec::new(),
            fragmented: None,
            fragment_count: 0,
            closed: false,
        }
    }

    /// Waits for bytes, reads once, and hands every complete message to `on`, until that breaks: then the rest waits
    /// for the next call. Answers the number of messages handed over, which may be 0.
    ///
    /// `on` runs inside the read and must neither block nor read from another connection.
    /// Cancel safe: nothing read is lost in a future that was dropped.
    ///
    /// # Errors
    /// The stream ended, failed or broke a rule. After an error or a close frame nothing more may be read.
    pub async fn pump<R>(
        &mut self,
        socket: &mut R,
        mut on: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<u32, ReadError>
    where
        R: AsyncRead + Unpin,
    {
        poll_fn(|context| self.poll_pump(context, socket, &mut on)).await
    }

    /// Handles bytes as [`Reader::pump`] handles those it reads; for callers without a socket.
    ///
    /// # Errors
    /// As [`Reader::pump`].
    pub fn feed(
        &mut self,
        bytes: &mut [u8],
        mut on: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<u32, Violation> {
        self.resumed = false;
        let mut handled = 0;
        if self.pending.is_empty() {
            let used = self.parse(bytes, &mut handled, &mut on)?;
            self.pending.extend_from_slice(&bytes[used..]);
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(bytes);
            let used = self.parse(&mut pending, &mut handled, &mut on)?;
            // All handled: the buffer is given back, so that an idle connection holds none.
            if used < pending.len() {
                pending.drain(..used);
                self.pending = pending;
            }
        }
        Ok(handled)
    }

    /// Bytes this reader keeps.
    pub fn held_bytes(&self) -> usize {
        self.pending.capacity() + self.fragments.capacity()
    }

    fn poll_pump<R>(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut R,
        on: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<u32, ReadError>>
    where
        R: AsyncRead + Unpin,
    {
        if self.closed {
            return Poll::Ready(Err(ReadError::EndOfStream));
        }
        if self.resumed {
            return Poll::Ready(Ok(self.feed(&mut [], on)?));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(socket).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled_mut();
            if bytes.is_empty() {
                return Poll::Ready(Err(ReadError::EndOfStream));
            }
            Poll::Ready(Ok(self.feed(bytes, on)?))
        })
    }

    /// Handles the complete frames at the start of `bytes`; answers how many bytes they were.
    fn parse(
        &mut self,
        bytes: &mut [u8],
        handled: &mut u32,
        on: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut at = 0;
        while !self.closed {
            let Some(header) = FrameHeader::read(&bytes[at..], self.message_bytes_max).map_err(Violation::Header)?
            else {
                break;
            };
            let start = at + header.length;
            let end = start + header.payload_length;
            let Some(payload) = bytes.get_mut(start..end) else { break };
            fastwebsockets::unmask(payload, header.mask);
            at = end;
            let mut flow = ControlFlow::Continue(());
            let counted = self.frame(&header, payload, |message| flow = on(message))?;
            *handled += u32::from(counted);
            if flow.is_break() {
                self.resumed = at < bytes.len();
                break;
            }
        }
        Ok(at)
    }

    /// Handles one unmasked frame; answers whether it completed something.
    fn frame(&mut self, header: &FrameHeader, payload: &[u8], on: impl FnOnce(Message<'_>)) -> Result<bool, Violation> {
        match header.opcode {
            OpCode::Ping => on(Message::Ping(payload)),
            OpCode::Pong => on(Message::Pong(payload)),
            OpCode::Close => {
                let code = close_code(payload)?;
                self.closed = true;
                on(Message::Close(code));
            }
            OpCode::Continuation => {
                let kind = self.fragmented.ok_or(Violation::LoneContinuation)?;
                self.append_fragment(payload)?;
                if !header.is_final {
                    return Ok(false);
                }
                self.fragmented = None;
                let message = std::mem::take(&mut self.fragments);
                deliver(kind, &message, on)?;
            }
            OpCode::Text | OpCode::Binary => {
                if self.fragmented.is_some() {
                    return Err(Violation::InterruptedMessage);
                }
                let kind = if header.opcode == OpCode::Text { Kind::Text } else { Kind::Binary };
                if !header.is_final {
                    self.fragmented = Some(kind);
                    self.fragment_count = 0;
                    self.append_fragment(payload)?;
                    return Ok(false);
                }
                deliver(kind, payload, on)?;
            }
        }
        Ok(true)
    }

    fn append_fragment(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let message_bytes_max = usize::try_from(self.message_bytes_max).unwrap_or(usize::MAX);
        if self.fragments.len() + payload.len() > message_bytes_max {
            return Err(Violation::MessageTooLarge);
        }
        self.fragment_count += 1;
        if self.fragment_count > FRAGMENTS_MAX {
            return Err(Violation::TooManyFragments);
        }
        self.fragments.extend_from_slice(payload);
        Ok(())
    }
}

fn deliver(kind: Kind, payload: &[u8], on: impl FnOnce(Message<'_>)) -> Result<(), Violation> {
    match kind {
        Kind::Text => on(Message::Text(std::str::from_utf8(payload).map_err(|_| Violation::InvalidUtf8)?)),
        Kind::Binary => on(Message::Binary(payload)),
    }
    Ok(())
}

/// The code of a close frame's payload (RFC 6455, 5.5.1 and 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::InvalidClose),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Violation::InvalidClose);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Violation::InvalidUtf8);
            }
            Ok(Some(code))
        }
    }
}

#[cfg(test)]
mod tests;
