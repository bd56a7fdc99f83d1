//! The outbox: what one connection still has to write, and the only thing its writers and its reader share.
//!
//! Streams, rooms and the session push frames that were encoded once for all their receivers; the edge's connection
//! drains them in batches. Nobody waits: a push takes one lock, never blocks and allocates nothing while the queue
//! is empty of frames, so that an idle connection costs only this struct.
//!
//! The bound is in bytes and includes the batch in the writer's hand. A client that reads too slowly overflows it and
//! is closed with 4408: it resumes from its cursor, and the node's memory stays bounded whatever the client does.
//!
//! Everything a delivery decides stands under the one lock of [`Inner`]: beside the queue stand the [`lane`]s, one a
//! followed stream, with its place and its window of unacknowledged messages, because "is there room", "queue it" and
//! "it is now unacknowledged" are one step.

mod close;
pub mod frame;
pub(crate) mod lane;
mod queue;
mod wire;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use domain::time::Timestamp;
use parking_lot::Mutex;

pub use close::CloseCode;
use lane::Lane;
pub(crate) use queue::Queue;
use queue::Taken;
pub use queue::{End, Pushed};
pub use wire::Wire;

/// The outbound side of one connection.
///
/// Many push, one takes: [`Outbox::take`] must be called by one task only.
pub struct Outbox {
    inner: Mutex<Inner>,
    seen: AtomicU32,
    /// When the session is to be looked at, in microseconds of the wall clock.
    look_at: AtomicU64,
}

/// What the lock guards.
struct Inner {
    queue: Queue,
    /// The writer, when it waits for frames.
    writer: Option<Waker>,
    /// Where frames are written while the writer waits.
    wire: Option<Arc<dyn Wire>>,
    /// One a followed stream. A handful, found by looking at each.
    lanes: Vec<(Slot, Box<Lane>)>,
    /// How many were ever opened.
    opened: u32,
}

/// The most lanes of one connection.
pub const LANES_MAX: usize = 128;

/// Which lane of an outbox. A number is never used twice: who still holds a lane that was shut reaches no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Outbox {
    /// An empty outbox that holds at most `bytes_max` bytes of frames, those being written included.
    pub fn new(bytes_max: u32) -> Self {
        let inner = Inner { queue: Queue::new(bytes_max), writer: None, wire: None, lanes: Vec::new(), opened: 0 };
        Self { inner: Mutex::new(inner), seen: AtomicU32::new(0), look_at: AtomicU64::new(u64::MAX) }
    }

    /// Lets frames be written at once while the writer waits, until [`Outbox::detach`].
    pub fn attach(&self, wire: Arc<dyn Wire>) {
        self.inner.lock().wire = Some(wire);
    }

    /// The connection ends: its socket is let go, whoever still holds the outbox.
    pub fn detach(&self) {
        self.inner.lock().wire = None;
    }

    /// Queues a frame of [`frame`]. A frame that does not fit closes the outbox with 4408.
    ///
    /// The answer may be ignored: whoever owns the connection hears of the end from [`Outbox::take`].
    pub fn push(&self, frame: Bytes) -> Pushed {
        self.change(false, |queue| queue.push(frame))
    }

    /// Queues a control frame, or writes it at once. It may use a small reserve beyond the bound: a ping must not be
    /// what closes a connection that is merely full.
    pub fn push_control(&self, frame: Bytes) -> Pushed {
        self.change(true, |queue| queue.push_control(frame))
    }

    /// Ends the connection now: what is queued is dropped, a close frame is the last thing written.
    ///
    /// The first call to [`Outbox::close`] or [`Outbox::finish`] decides the code, later ones change nothing; but a
    /// `close` after a `finish` still drops what was to be flushed.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.change(false, |queue| queue.close(code, reason));
    }

    /// Ends the connection in good order: what is queued is written first, then the close frame.
    pub fn finish(&self, code: CloseCode, reason: &str) {
        self.change(false, |queue| queue.finish(code, reason));
    }

    /// Waits for frames and hands over the next batch: at most [`frame::BATCH_FRAMES_MAX`] frames, and not much more
    /// than [`frame::BATCH_BYTES_MAX`] bytes. `None` when the last batch was the last there will be.
    ///
    /// Asking for a batch says that the one before is written: only then do its bytes stop counting.
    /// Cancel safe: a batch is never lost in a future that was dropped.
    pub async fn take(&self) -> Option<VecDeque<Bytes>> {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// The polling form of [`Outbox::take`].
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<VecDeque<Bytes>>> {
        let mut inner = self.inner.lock();
        match inner.queue.take() {
            Taken::Batch(batch) => Poll::Ready(Some(batch)),
            Taken::Ended => Poll::Ready(None),
            Taken::Nothing => {
                match &mut inner.writer {
                    Some(writer) => writer.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// How the connection ends, once that is decided.
    pub fn end(&self) -> Option<End> {
        self.inner.lock().queue.end()
    }

    /// Whether the end is decided: nothing more can be pushed.
    pub fn is_closed(&self) -> bool {
        self.end().is_some()
    }

    /// Bytes of frames that are queued or being written.
    pub fn bytes(&self) -> usize {
        self.inner.lock().queue.bytes()
    }

    /// Opens a lane. Nothing if there are [`LANES_MAX`].
    pub(crate) fn open(&self, lane: Lane) -> Option<Slot> {
        let mut inner = self.inner.lock();
        if inner.lanes.len() >= LANES_MAX {
            return None;
        }
        inner.opened = inner.opened.checked_add(1)?;
        let slot = Slot(inner.opened);
        inner.lanes.push((slot, Box::new(lane)));
        Some(slot)
    }

    /// Closes a lane: what it holds is forgotten, what it queued is still written.
    pub(crate) fn shut(&self, slot: Slot) {
        let mut inner = self.inner.lock();
        inner.lanes.retain(|(other, _)| *other != slot);
        inner.lanes.shrink_to_fit();
    }

    /// Changes a lane and the queue in one step. Nothing if the lane is closed or the end is decided.
    pub(crate) fn lane<T>(&self, slot: Slot, change: impl FnOnce(&mut Lane, &mut Queue) -> T) -> Option<T> {
        self.change_lane(slot, false, change)
    }

    /// As [`Outbox::lane`]; and a frame that is queued is written at once if the writer waits.
    pub(crate) fn lane_at_once<T>(&self, slot: Slot, change: impl FnOnce(&mut Lane, &mut Queue) -> T) -> Option<T> {
        self.change_lane(slot, true, change)
    }

    fn change_lane<T>(&self, slot: Slot, at_once: bool, change: impl FnOnce(&mut Lane, &mut Queue) -> T) -> Option<T> {
        let (answer, writer) = {
            let inner = &mut *self.inner.lock();
            if inner.queue.end().is_some() {
                return None;
            }
            let (_, lane) = inner.lanes.iter_mut().find(|(other, _)| *other == slot)?;
            let frames = inner.queue.len();
            let answer = change(lane, &mut inner.queue);
            // Most changes queue nothing: then the writer sleeps on.
            let writer = if inner.queue.len() == frames { None } else { inner.pushed(at_once) };
            (answer, writer)
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Some(answer)
    }

    /// Has the session looked at when the wall clock says `at`, if no earlier look is asked for.
    pub fn look_at(&self, at: Timestamp) {
        // Whoever asks has changed what is looked at under the lock before: the word alone orders nothing.
        self.look_at.fetch_min(at.0, Ordering::Relaxed);
    }

    /// Has the session looked at with the next tick.
    pub fn look_soon(&self) {
        self.look_at.store(0, Ordering::Relaxed);
    }

    /// Whether a look with the next tick is asked for.
    pub fn looks_soon(&self) -> bool {
        self.look_at.load(Ordering::Relaxed) == 0
    }

    /// Whether the session is to be looked at. Who asks looks: the word is taken back.
    pub fn take_look(&self, now: Timestamp) -> bool {
        let due = self.look_at.load(Ordering::Relaxed) <= now.0;
        if due {
            self.look_at.store(u64::MAX, Ordering::Relaxed);
        }
        due
    }

    /// Notes that the client was heard at `tick`, on whatever scale the heartbeats count.
    pub fn mark_seen(&self, tick: u32) {
        // A stamp orders nothing else: being one tick late costs nothing.
        self.seen.store(tick, Ordering::Relaxed);
    }

    /// The tick of the last [`Outbox::mark_seen`].
    pub fn last_seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Changes the queue under the lock and wakes the writer after it.
    fn change<T>(&self, at_once: bool, change: impl FnOnce(&mut Queue) -> T) -> T {
        let (answer, writer) = {
            let mut inner = self.inner.lock();
            let answer = change(&mut inner.queue);
            (answer, inner.pushed(at_once))
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        answer
    }
}

impl Inner {
    /// Something was pushed: the writer, if it is to be woken for it. It is not if the socket took all `at_once`.
    fn pushed(&mut self, at_once: bool) -> Option<Waker> {
        if at_once
            && self.writer.is_some()
            && let Some(wire) = &self.wire
        {
            self.queue.write_only(|frame| wire::write(&**wire, frame));
            if self.queue.is_at_rest() {
                return None;
            }
        }
        self.writer.take()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("bytes", &self.bytes()).field("end", &self.end()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_push_wakes_the_waiting_writer_once() {
        let outbox = Outbox::new(1 << 10);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        assert!(outbox.poll_take(&mut context).is_pending());
        assert_eq!(outbox.push(frame::text("a")), Pushed::Queued);
        assert_eq!(outbox.push(frame::text("b")), Pushed::Queued);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Some(batch)) = outbox.poll_take(&mut context) else { panic!("two frames are queued") };
        assert_eq!(batch, [frame::text("a"), frame::text("b")]);
    }

    #[test]
    fn the_end_wakes_the_writer_and_comes_last() {
        let outbox = Outbox::new(1 << 10);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        assert!(outbox.poll_take(&mut context).is_pending());
        outbox.close(CloseCode::Ended, "signed out elsewhere");
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Some(batch)) = outbox.poll_take(&mut context) else { panic!("a close frame is queued") };
        assert_eq!(batch, [frame::close(CloseCode::Ended, "signed out elsewhere")]);
        assert_eq!(outbox.poll_take(&mut context), Poll::Ready(None));
        assert_eq!(outbox.push(frame::text("late")), Pushed::Closed);
    }

    #[tokio::test]
    async fn frames_of_many_pushers_arrive_whole_and_each_pushers_in_order() {
        const PUSHERS: u8 = 4;
        const EACH: u32 = 2_000;
        let outbox = Arc::new(Outbox::new(u32::MAX));
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|pusher| {
                let outbox = outbox.clone();
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        assert_eq!(outbox.push(frame::text(&format!("{pusher}:{number}"))), Pushed::Queued);
                    }
                })
            })
            .collect();
        let mut next = [0_u32; PUSHERS as usize];
        let mut heard = 0;
        while heard < u32::from(PUSHERS) * EACH {
            for frame in outbox.take().await.unwrap() {
                let text = std::str::from_utf8(&frame[2..]).unwrap();
                let (pusher, number) = text.split_once(':').unwrap();
                let expected = &mut next[pusher.parse::<usize>().unwrap()];
                assert_eq!(number.parse::<u32>().unwrap(), *expected);
                *expected += 1;
                heard += 1;
            }
        }
        for pusher in pushers {
            pusher.join().unwrap();
        }
        outbox.finish(CloseCode::Bye, "");
        assert_eq!(outbox.take().await.unwrap().len(), 1);
        assert_eq!(outbox.take().await, None);
        assert_eq!(outbox.bytes(), 0);
    }

    /// A socket that takes so many bytes.
    struct Narrow(Mutex<(usize, Vec<u8>)>);

    impl Wire for Narrow {
        fn write_now(&self, frame: &[u8]) -> io::Result<usize> {
            let (room, written) = &mut *self.0.lock();
            let taken = frame.len().min(*room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *room -= taken;
            written.extend(&frame[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn a_frame_for_a_waiting_writer_is_written_at_once_and_what_is_left_is_its() {
        let ping = frame::ping();
        let outbox = Outbox::new(1 << 10);
        let wire = Arc::new(Narrow(Mutex::new((2 * ping.len() + 1, Vec::new()))));
        outbox.attach(Arc::clone(&wire) as Arc<dyn Wire>);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);

        // The writer does not wait yet: frames before this one may be in its hand.
        assert_eq!(outbox.push_control(ping.clone()), Pushed::Queued);
        assert!(wire.0.lock().1.is_empty());
        assert!(outbox.poll_take(&mut context).is_ready());

        assert!(outbox.poll_take(&mut context).is_pending());
        for _ in 0..2 {
            assert_eq!(outbox.push_control(ping.clone()), Pushed::Queued);
            assert_eq!((outbox.bytes(), wakes.0.load(Ordering::SeqCst)), (0, 0));
        }
        // One byte more is taken: the rest is the writer's, before what comes after.
        outbox.push_control(ping.clone());
        outbox.push_control(frame::ping());
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Some(batch)) = outbox.poll_take(&mut context) else { panic!("frames are queued") };
        assert_eq!(batch, [ping.slice(1..), ping.clone()]);
        assert_eq!(wire.0.lock().1, [&ping[..], &ping[..], &ping[..1]].concat());

        outbox.detach();
        assert_eq!(Arc::strong_count(&wire), 1, "the socket is let go");
    }

    #[test]
    fn a_look_is_asked_for_once_and_the_earliest_counts() {
        let outbox = Outbox::new(1 << 10);
        assert!(!outbox.take_look(Timestamp(5)));
        outbox.look_at(Timestamp(20));
        outbox.look_at(Timestamp(10));
        assert!(!outbox.take_look(Timestamp(9)));
        assert!(outbox.take_look(Timestamp(10)));
        assert!(!outbox.take_look(Timestamp(30)));
        outbox.look_soon();
        assert!(outbox.take_look(Timestamp(0)));
    }

    #[test]
    fn an_idle_outbox_is_small() {
        assert!(size_of::<Outbox>() <= 168, "{} bytes a connection", size_of::<Outbox>());
    }
}
