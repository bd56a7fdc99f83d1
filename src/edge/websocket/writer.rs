//! The writing half of a connection: from the outbox to the socket, a batch a system call.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actors::outbox::Outbox;
use actors::outbox::frame::BATCH_FRAMES_MAX;
use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::edge::metrics::FrameMeters;

/// Batches after which the connection's reader gets a turn, and other tasks: a client that reads as fast as it is
/// written to would else not be heard while there is something to write.
const BATCHES_A_TURN: u32 = 16;

/// Writes what is pushed until the outbox has ended and its close frame is written.
///
/// Not cancel safe: dropped half-way, a frame may be cut.
///
/// # Errors
/// The socket failed, or a batch took longer than `write_timeout` after a write blocked.
pub(super) async fn write_outbox<W>(
    socket: &mut W,
    outbox: &Outbox,
    write_timeout: Duration,
    meters: &FrameMeters,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut batches = 0_u32;
    while let Some(batch) = outbox.take().await {
        let frames = batch.len();
        let bytes: usize = batch.iter().map(Bytes::len).sum();
        write_within(socket, batch, write_timeout).await?;
        meters.frames_out.increment(u64::try_from(frames).unwrap_or(u64::MAX));
        meters.bytes_out.increment(u64::try_from(bytes).unwrap_or(u64::MAX));
        batches = batches.wrapping_add(1);
        if batches.is_multiple_of(BATCHES_A_TURN) {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Writes a batch. A timer is made only when the socket takes no more, and on the heap, so that the many connections
/// whose writes never block neither register nor hold one.
async fn write_within<W>(socket: &mut W, mut batch: VecDeque<Bytes>, write_timeout: Duration) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut written = pin!(poll_fn(|context| poll_write_all(context, socket, &mut batch)));
    let first = poll_fn(|context| Poll::Ready(written.as_mut().poll(context))).await;
    if let Poll::Ready(result) = first {
        return result;
    }
    tokio::select! {
        biased;
        result = written => result,
        () = Box::pin(tokio::time::sleep(write_timeout)) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn poll_write_all<W>(context: &mut Context<'_>, socket: &mut W, batch: &mut VecDeque<Bytes>) -> Poll<io::Result<()>>
where
    W: AsyncWrite + Unpin,
{
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); BATCH_FRAMES_MAX];
        let count = batch.len().min(BATCH_FRAMES_MAX);
        for (slice, frame) in slices.iter_mut().zip(&*batch) {
            *slice = IoSlice::new(frame);
        }
        let written = ready!(Pin::new(&mut *socket).poll_write_vectored(context, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        advance(batch, written);
    }
    Poll::Ready(Ok(()))
}

/// Takes the first `written` bytes off the batch.
fn advance(batch: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(frame) = batch.front_mut() {
        if written < frame.len() {
            frame.advance(written);
            return;
        }
        written -= frame.len();
        batch.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use actors::outbox::{CloseCode, frame};
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn everything_arrives_in_order_through_a_narrow_pipe() {
        let outbox = Outbox::new(u32::MAX);
        let mut expected = Vec::new();
        for number in 0..500 {
            let frame = frame::text(&"x".repeat(number % 200));
            expected.extend_from_slice(&frame);
            outbox.push(frame);
        }
        outbox.finish(CloseCode::Bye, "done");
        expected.extend_from_slice(&frame::close(CloseCode::Bye, "done"));
        // Seven bytes at a time: every frame is cut somewhere.
        let (mut near, mut far) = tokio::io::duplex(7);
        let meters = FrameMeters::new();
        let (written, read) = tokio::join!(
            async {
                let result = write_outbox(&mut near, &outbox, Duration::from_mins(1), &meters).await;
                drop(near);
                result
            },
            async {
                let mut bytes = Vec::new();
                far.read_to_end(&mut bytes).await.map(|_| bytes)
            }
        );
        written.unwrap();
        assert_eq!(read.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_is_given_up() {
        let outbox = Outbox::new(u32::MAX);
        outbox.push(frame::text("more than the pipe holds"));
        let (mut near, _far) = tokio::io::duplex(4);
        let result = write_outbox(&mut near, &outbox, Duration::from_millis(20), &FrameMeters::new()).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
