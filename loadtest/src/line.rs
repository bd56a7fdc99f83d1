//! A WebSocket connection that costs next to nothing: what a worker holds thousands of.
//!
//! All connections of a thread read into one buffer and keep only what is incomplete; what comes is
//! handed on where it lies, not copied. [`crate::socket`] is the convenient one, over an independent
//! implementation; this one is for when the tool must not be slower than the server.

mod frame;
mod glance;
mod handshake;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use self::frame::{Opcode, Parsed};
pub(crate) use self::glance::{Glance, number_after};
pub(crate) use self::handshake::{Way, open};

/// What a thread reads at once.
const SCRATCH_BYTES: usize = 64 << 10;
/// The largest frame: the server's own bound on a message is 64 KiB, and arrays of them are batches.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// The most that waits to be written: a server that does not read this is not answering.
const UNSENT_BYTES_MAX: usize = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// An open connection.
pub(crate) struct Line {
    stream: RefCell<TcpStream>,
    /// The start of a frame whose end has not come.
    unread: RefCell<Vec<u8>>,
    unsent: RefCell<Vec<u8>>,
    mask: Cell<u32>,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came<'a> {
    /// A text: one frame of the protocol, or an array of them.
    Text(&'a str),
    /// A ping; its answer is on the way already.
    Ping,
}

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    /// The server closed, with a code if it gave one.
    #[error("closed with {0}")]
    Closed(u16),
    /// The connection broke.
    #[error("broken: {0}")]
    Broken(String),
    /// What came was no WebSocket as it must be.
    #[error("not of the protocol: {0}")]
    Foreign(&'static str),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.kind().to_string())
    }
}

impl Line {
    /// A connection after its handshake; `unread` is what came behind the answer.
    fn of(stream: TcpStream, unread: Vec<u8>, mask: u32) -> Self {
        Self {
            stream: RefCell::new(stream),
            unread: RefCell::new(unread),
            unsent: RefCell::default(),
            mask: Cell::new(mask | 1),
        }
    }

    /// Sends a text. What the socket does not take now goes with the next [`Self::receive`].
    pub(crate) fn send(&self, text: &str) -> Result<(), Ended> {
        self.write(Opcode::Text, text.as_bytes())
    }

    /// Says goodbye; what the server makes of it does not matter any more.
    pub(crate) fn close(&self) {
        _ = self.write(Opcode::Close, &1000_u16.to_be_bytes());
    }

    fn write(&self, opcode: Opcode, payload: &[u8]) -> Result<(), Ended> {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.len() + payload.len() > UNSENT_BYTES_MAX {
            return Err(Ended::Foreign("the server does not read"));
        }
        // Masks protect proxies from clients that others control; a xorshift is enough here.
        let mut mask = self.mask.get();
        mask ^= mask << 13;
        mask ^= mask >> 17;
        mask ^= mask << 5;
        self.mask.set(mask);
        frame::write(&mut unsent, opcode, payload, mask.to_be_bytes());
        Ok(flush(&self.stream.borrow(), &mut unsent)?)
    }

    /// Waits for at least one frame and hands on all that came. Answers pings by itself.
    ///
    /// Cancel-safe: what is incomplete waits in the connection.
    pub(crate) async fn receive(&self, mut each: impl FnMut(Came<'_>)) -> Result<(), Ended> {
        poll_fn(|cx| self.poll_receive(cx, &mut each)).await
    }

    fn poll_receive(&self, cx: &mut Context<'_>, each: &mut impl FnMut(Came<'_>)) -> Poll<Result<(), Ended>> {
        self.poll_flush(cx)?;
        SCRATCH.with_borrow_mut(|scratch| {
            let mut unread = self.unread.borrow_mut();
            loop {
                let kept = unread.len();
                if scratch.len() < kept + SCRATCH_BYTES {
                    scratch.resize(kept + SCRATCH_BYTES, 0);
                }
                let Some(room) = scratch.get_mut(kept..) else { return Poll::Ready(Err(Ended::Foreign("no room"))) };
                let mut buffer = ReadBuf::new(room);
                match Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut buffer) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Ready(Ok(())) => {}
                }
                let came = buffer.filled().len();
                if came == 0 {
                    return Poll::Ready(Err(Ended::Broken("end of stream".to_owned())));
                }
                let (start, _) = scratch.split_at_mut(kept);
                start.copy_from_slice(&unread);
                let whole = scratch.get(..kept + came).unwrap_or_default();
                let taken = self.take(whole, each)?;
                let rest = whole.get(taken..).unwrap_or_default();
                unread.clear();
                if rest.is_empty() {
                    // An idle connection holds no memory.
                    unread.shrink_to(0);
                } else {
                    unread.extend_from_slice(rest);
                }
                if taken > 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// Takes every whole frame; answers how many bytes they were.
    fn take(&self, bytes: &[u8], each: &mut impl FnMut(Came<'_>)) -> Result<usize, Ended> {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let (opcode, payload, length) = match frame::parse(rest, FRAME_BYTES_MAX) {
                Parsed::Frame { opcode, payload, length } => (opcode, payload, length),
                Parsed::Incomplete => return Ok(taken),
                Parsed::Foreign(why) => return Err(Ended::Foreign(why)),
            };
            taken += length;
            match opcode {
                Opcode::Text => {
                    let text = std::str::from_utf8(payload).map_err(|_| Ended::Foreign("text that is no UTF-8"))?;
                    each(Came::Text(text));
                }
                Opcode::Ping => {
                    self.write(Opcode::Pong, payload)?;
                    each(Came::Ping);
                }
                Opcode::Pong => {}
                Opcode::Close => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Err(Ended::Closed(code));
                }
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            let stream = self.stream.borrow();
            match stream.poll_write_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            flush(&stream, &mut unsent)?;
        }
        Ok(())
    }
}

/// Writes what the socket takes now.
fn flush(stream: &TcpStream, unsent: &mut Vec<u8>) -> io::Result<()> {
    match stream.try_write(unsent) {
        Ok(written) => {
            unsent.drain(..written);
            if unsent.is_empty() {
                unsent.shrink_to(0);
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
