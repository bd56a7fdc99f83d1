//! The life of one WebSocket connection, in one task.
//!
//! A guest has a deadline for its first message and costs a few kilobytes; then the door decides; then a reader and a
//! writer run side by side until one ends. The writer is never dropped between two bytes of a frame while the
//! connection can still be saved; whatever ends the connection, its session hears of it once.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use actors::outbox::{CloseCode, Outbox, Wire, frame};
use bytes::Bytes;
use metrics::{Gauge, counter};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use super::door::{Client, Door, Flow, Hello, Session};
use super::outgoing::{Outgoing, Waiting};
use super::reader::{Message, ReadError, Reader};
use super::writer::write_outbox;
use super::{WebSocketConfig, WebSockets};
use crate::edge::metrics::{CLOSES, FrameMeters, OUTBOX_OVERFLOWS};

/// How a side of the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The client is gone; nothing can be written.
    Gone,
    /// The outbox has ended; its close frame is to be written, or is.
    Closed,
}

/// Runs a connection to its end. `leftover` is what HTTP had read of it beyond the handshake.
pub(super) async fn run<D: Door>(edge: &WebSockets<D>, stream: TcpStream, leftover: Bytes, client: Box<Client>) {
    let _counted = Counted::new(&edge.meters.websockets);
    let (mut incoming, outgoing) = stream.into_split();
    let outgoing = Outgoing::new(outgoing, Arc::clone(&edge.meters));
    let outbox = Arc::new(Outbox::new(edge.config.outbox_bytes_max));
    let attached = Attached::new(&outbox, &outgoing);
    let mut reader = Reader::new(edge.config.message_bytes_max, leftover);
    let ended = {
        let _enrolled = edge.heartbeats.enrol(&outbox);
        // Enrolled after everybody was told: nobody else will tell this one.
        if edge.stop.is_cancelled() {
            outbox.finish(CloseCode::Drain, "the node is stopping");
        }
        converse(edge, &outbox, &mut incoming, &outgoing, &mut reader, client).await
    };
    drop(attached);
    if let Some(end) = outbox.end() {
        counter!(CLOSES, "code" => end.code.name()).increment(1);
        if end.overflowed {
            counter!(OUTBOX_OVERFLOWS).increment(1);
        }
    }
    if ended == Ended::Closed {
        // Who does not leave in time is left.
        timeout(millis(edge.config.close_timeout_ms), part(&mut incoming, &outgoing)).await.ok();
    }
}

async fn converse<D: Door>(
    edge: &WebSockets<D>,
    outbox: &Arc<Outbox>,
    incoming: &mut OwnedReadHalf,
    outgoing: &Outgoing,
    reader: &mut Reader,
    client: Box<Client>,
) -> Ended {
    let mut outgoing = Waiting(outgoing);
    let mut reading = Reading { reader, socket: incoming, outbox, edge };
    let mut writing = pin!(write_outbox(&mut outgoing, outbox, millis(edge.config.write_timeout_ms), &edge.meters));

    // What happens once is boxed: a task keeps the size of its largest state for as long as it lives, and thousands
    // wait in the last one. The writer comes first wherever both are polled: `Reading::room` relies on it.
    let first = tokio::select! {
        biased;
        written = &mut writing => return ended(&written),
        first = Box::pin(reading.first_message(&edge.config)) => first,
    };
    let read = match first {
        Err(ended) => ended,
        Ok(_) if edge.stop.is_cancelled() => {
            outbox.close(CloseCode::Drain, "the node is stopping");
            Ended::Closed
        }
        Ok(text) => match Box::pin(edge.door.hello(Hello { text, outbox: outbox.clone(), client: *client })).await {
            Ok(session) => {
                let session = Told(session);
                tokio::select! {
                    biased;
                    written = &mut writing => return ended(&written),
                    read = reading.messages(&session.0) => read,
                }
            }
            Err(refusal) => {
                if let Some(notice) = refusal.notice {
                    outbox.push(notice);
                    outbox.finish(refusal.code, &refusal.reason);
                } else {
                    outbox.close(refusal.code, &refusal.reason);
                }
                Ended::Closed
            }
        },
    };
    match read {
        Ended::Gone => Ended::Gone,
        Ended::Closed => ended(&writing.await),
    }
}

/// The writer ends well only behind a close frame.
fn ended(written: &std::io::Result<()>) -> Ended {
    if written.is_ok() { Ended::Closed } else { Ended::Gone }
}

/// The reading half.
struct Reading<'a, R, D> {
    reader: &'a mut Reader,
    socket: &'a mut R,
    outbox: &'a Outbox,
    edge: &'a WebSockets<D>,
}

impl<R: AsyncRead + Unpin, D: Door> Reading<'_, R, D> {
    /// Waits for the guest's first message.
    async fn first_message(&mut self, config: &WebSocketConfig) -> Result<String, Ended> {
        let first = async {
            let mut first = None;
            while first.is_none() {
                self.pump(|text| {
                    first = Some(text.to_owned());
                    ControlFlow::Break(())
                })
                .await?;
            }
            first.ok_or(Ended::Gone)
        };
        if let Ok(first) = timeout(millis(config.hello_timeout_ms), first).await {
            return first;
        }
        self.outbox.close(CloseCode::TooSlow, "no hello in time");
        Err(Ended::Closed)
    }

    /// Hands messages to the session until the connection ends.
    async fn messages(&mut self, session: &impl Session) -> Ended {
        loop {
            let mut pause = None;
            let mut stopped = false;
            let pumped = self.pump(|text| match session.message(text) {
                Flow::Continue => ControlFlow::Continue(()),
                Flow::Pause(until) => {
                    pause = Some(until);
                    ControlFlow::Break(())
                }
                Flow::Stop => {
                    stopped = true;
                    ControlFlow::Break(())
                }
            });
            if let Err(ended) = pumped.await {
                return ended;
            }
            if stopped {
                self.outbox.finish(CloseCode::Bye, "");
                return Ended::Closed;
            }
            if let Some(until) = pause {
                until.await;
                // It was the node that did not listen.
                self.outbox.mark_seen(self.edge.heartbeats.now());
            }
        }
    }

    /// Waits while the outbox is half full: a client that asks faster than it reads the answers is held back by TCP,
    /// and only what others push can overflow it.
    ///
    /// No waker is kept. Only the writer makes room; it runs in this task and is polled before the reader, so that
    /// every poll sees the room there is.
    async fn room(&self) {
        poll_fn(|_| if has_room(self.outbox, &self.edge.config) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Reads once. Text goes to `on_text`; the rest is answered here.
    async fn pump(&mut self, mut on_text: impl FnMut(&str) -> ControlFlow<()>) -> Result<(), Ended> {
        let (outbox, meters, config) = (self.outbox, &self.edge.meters, &self.edge.config);
        let read_on = || if has_room(outbox, config) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        self.room().await;
        let mut ended = None;
        let pumped = self.reader.pump(self.socket, |message| match message {
            Message::Text(text) => {
                count_bytes(meters, text.len());
                on_text(text)?;
                read_on()
            }
            Message::Ping(payload) => {
                outbox.push_control(frame::pong(payload));
                read_on()
            }
            Message::Pong(_) => ControlFlow::Continue(()),
            Message::Binary(_) => {
                outbox.close(CloseCode::Unsupported, "binary messages are not spoken here");
                ended = Some(Ended::Closed);
                ControlFlow::Break(())
            }
            Message::Close(_) => {
                outbox.close(CloseCode::Bye, "");
                ended = Some(Ended::Closed);
                ControlFlow::Break(())
            }
        });
        match pumped.await {
            Ok(messages) => {
                meters.frames_in.increment(messages.into());
                outbox.mark_seen(self.edge.heartbeats.now());
                ended.map_or(Ok(()), Err)
            }
            Err(ReadError::Violation(violation)) => {
                outbox.close(violation.close_code(), violation.reason());
                Err(Ended::Closed)
            }
            Err(ReadError::EndOfStream | ReadError::Socket(_)) => Err(ended.unwrap_or(Ended::Gone)),
        }
    }
}

fn has_room(outbox: &Outbox, config: &WebSocketConfig) -> bool {
    let enough = usize::try_from(config.outbox_bytes_max / 2).unwrap_or(usize::MAX);
    outbox.bytes() <= enough || outbox.is_closed()
}

fn count_bytes(meters: &FrameMeters, bytes: usize) {
    meters.bytes_in.increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// Says good-bye on the TCP level: no more from us, and waits for the client to leave. Closing a socket that holds
/// unread bytes would reset the connection, and the client might never see the close frame.
async fn part(incoming: &mut OwnedReadHalf, outgoing: &Outgoing) -> std::io::Result<()> {
    outgoing.shut_down()?;
    poll_fn(|context| {
        let mut sink = [0; 1_024];
        loop {
            let mut buffer = ReadBuf::new(&mut sink);
            ready!(Pin::new(&mut *incoming).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

fn millis(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

/// A session that hears of its end however this task ends, a panic included.
struct Told<S: Session>(S);

impl<S: Session> Drop for Told<S> {
    fn drop(&mut self) {
        self.0.gone();
    }
}

/// An outbox that may write to the socket itself, for as long as this is held.
struct Attached<'a>(&'a Outbox);

impl<'a> Attached<'a> {
    fn new(outbox: &'a Outbox, outgoing: &Arc<Outgoing>) -> Self {
        outbox.attach(Arc::clone(outgoing) as Arc<dyn Wire>);
        Self(outbox)
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// Counts one connection for as long as it is held.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
