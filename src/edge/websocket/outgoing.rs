//! The writing half of a socket, which two may use: the connection's writer, and whoever pushes to an idle outbox.
//!
//! They never write at the same time: the outbox lets nobody write while its writer has frames in hand.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actors::outbox::Wire;
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::edge::metrics::FrameMeters;

/// The writing half of a connection's socket.
pub(super) struct Outgoing {
    half: OwnedWriteHalf,
    meters: Arc<FrameMeters>,
}

impl Outgoing {
    pub(super) fn new(half: OwnedWriteHalf, meters: Arc<FrameMeters>) -> Arc<Self> {
        Arc::new(Self { half, meters })
    }

    fn socket(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// Says that nothing more comes from us.
    pub(super) fn shut_down(&self) -> io::Result<()> {
        SockRef::from(self.socket()).shutdown(std::net::Shutdown::Write)
    }
}

impl Wire for Outgoing {
    fn write_now(&self, frame: &[u8]) -> io::Result<usize> {
        let written = self.half.try_write(frame)?;
        // A frame that is cut is counted when the writer has written the rest of it.
        if written == frame.len() {
            self.meters.frames_out.increment(1);
        }
        self.meters.bytes_out.increment(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }
}

/// The writer's use of it.
pub(super) struct Waiting<'a>(pub(super) &'a Outgoing);

impl Waiting<'_> {
    /// Writes when the socket is ready for it.
    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.socket().poll_write_ready(context))?;
            match write(self.0.socket()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Waiting<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(context, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shut_down())
    }
}
