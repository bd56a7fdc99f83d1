//! The queue of one connection: frames, their bytes, and how it ends. No lock and no waker: those are the outbox's.

use std::collections::VecDeque;

use bytes::Bytes;

use super::CloseCode;
use super::frame::{self, BATCH_BYTES_MAX, BATCH_FRAMES_MAX};

/// What control frames may use beyond the bound: some thirty pongs of full length. A client that sends pings and
/// reads nothing gets no further than this.
const CONTROL_RESERVE_BYTES: usize = 4 << 10;

/// What a queued frame costs beside its bytes: its handle. Without it, a flood of tiny frames would hold twenty
/// times the memory the bound names.
const FRAME_OVERHEAD_BYTES: usize = size_of::<Bytes>();

/// What became of a frame that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is queued.
    Queued,
    /// It did not fit: the queue is dropped and the connection ends with 4408.
    Overflowed,
    /// The end was decided before.
    Closed,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The code of the close frame.
    pub code: CloseCode,
    /// Whether it was the queue that overflowed.
    pub overflowed: bool,
}

/// What there is for the writer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Batch(VecDeque<Bytes>),
    Nothing,
    Ended,
}

/// Frames that wait to be written.
#[derive(Debug)]
pub(crate) struct Queue {
    frames: VecDeque<Bytes>,
    /// Cost of `frames`.
    queued_bytes: usize,
    /// Cost of the batch the writer has in hand.
    taken_bytes: usize,
    bytes_max: u32,
    end: Option<End>,
}

impl Queue {
    pub(super) fn new(bytes_max: u32) -> Self {
        Self { frames: VecDeque::new(), queued_bytes: 0, taken_bytes: 0, bytes_max, end: None }
    }

    /// Queues a frame, or ends the connection.
    pub(crate) fn push(&mut self, frame: Bytes) -> Pushed {
        self.push_within(frame, 0)
    }

    pub(super) fn push_control(&mut self, frame: Bytes) -> Pushed {
        self.push_within(frame, CONTROL_RESERVE_BYTES)
    }

    /// Drops what is queued; the close frame is all that is left to write.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) {
        match self.end {
            None => {
                self.end = Some(End { code, overflowed: false });
                self.replace_by(frame::close(code, reason));
            }
            // What `finish` left to be flushed goes; its close frame, the last, stays.
            Some(_) => {
                if let Some(last) = self.frames.pop_back() {
                    self.replace_by(last);
                }
            }
        }
    }

    /// Puts the close frame behind what is queued.
    pub(super) fn finish(&mut self, code: CloseCode, reason: &str) {
        if self.end.is_none() {
            self.end = Some(End { code, overflowed: false });
            self.append(frame::close(code, reason));
        }
    }

    /// The next batch. The one before is written.
    pub(super) fn take(&mut self) -> Taken {
        self.taken_bytes = 0;
        if self.frames.is_empty() {
            return if self.end.is_some() { Taken::Ended } else { Taken::Nothing };
        }
        let mut batch_bytes = 0;
        let mut count = 0;
        for frame in self.frames.iter().take(BATCH_FRAMES_MAX) {
            if batch_bytes >= BATCH_BYTES_MAX {
                break;
            }
            batch_bytes += cost(frame);
            count += 1;
        }
        // All of it: the queue gives its memory away and holds none while idle.
        let batch = if count == self.frames.len() {
            std::mem::take(&mut self.frames)
        } else {
            self.frames.drain(..count).collect()
        };
        self.queued_bytes -= batch_bytes;
        self.taken_bytes = batch_bytes;
        Taken::Batch(batch)
    }

    /// Has `write` take the frame, if there is one only and no end; what it answers is left.
    pub(super) fn write_only(&mut self, write: impl FnOnce(Bytes) -> Option<Bytes>) {
        if self.frames.len() != 1 || self.end.is_some() {
            return;
        }
        let Some(frame) = std::mem::take(&mut self.frames).pop_front() else { return };
        self.queued_bytes = 0;
        if let Some(left) = write(frame) {
            self.append(left);
        }
    }

    /// Whether nothing is queued and no end is decided.
    pub(super) fn is_at_rest(&self) -> bool {
        self.frames.is_empty() && self.end.is_none()
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Bytes that are queued or being written.
    pub(crate) fn bytes(&self) -> usize {
        self.queued_bytes + self.taken_bytes
    }

    /// How many frames wait.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether a frame can be queued without there being more than `bytes_max`.
    pub(crate) fn fits(&self, frame: &Bytes, bytes_max: u32) -> bool {
        let bytes_max = usize::try_from(bytes_max.min(self.bytes_max)).unwrap_or(usize::MAX);
        self.bytes().saturating_add(cost(frame)) <= bytes_max
    }

    fn push_within(&mut self, frame: Bytes, reserve: usize) -> Pushed {
        if self.end.is_some() {
            return Pushed::Closed;
        }
        let bytes_max = usize::try_from(self.bytes_max).unwrap_or(usize::MAX).saturating_add(reserve);
        if self.bytes().saturating_add(cost(&frame)) > bytes_max {
            self.close(CloseCode::TooSlow, "the client reads too slowly");
            self.end = Some(End { code: CloseCode::TooSlow, overflowed: true });
            return Pushed::Overflowed;
        }
        self.append(frame);
        Pushed::Queued
    }

    fn replace_by(&mut self, last: Bytes) {
        self.frames = VecDeque::new();
        self.queued_bytes = 0;
        self.append(last);
    }

    fn append(&mut self, frame: Bytes) {
        self.queued_bytes += cost(&frame);
        self.frames.push_back(frame);
    }
}

/// What a frame counts for.
fn cost(frame: &Bytes) -> usize {
    frame.len() + FRAME_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that counts for exactly `bytes`.
    fn counting(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes - FRAME_OVERHEAD_BYTES])
    }

    fn batch(queue: &mut Queue) -> VecDeque<Bytes> {
        match queue.take() {
            Taken::Batch(batch) => batch,
            other => panic!("a batch is due, not {other:?}"),
        }
    }

    #[test]
    fn the_bound_is_exact_and_counts_what_is_being_written() {
        let mut queue = Queue::new(1_000);
        assert_eq!(queue.push(counting(600)), Pushed::Queued);
        assert_eq!(batch(&mut queue).len(), 1);
        assert_eq!(queue.bytes(), 600);
        assert_eq!(queue.push(counting(400)), Pushed::Queued);
        assert_eq!(queue.bytes(), 1_000);
        // The writer comes back: the first 600 are written, the 400 are in its hand.
        assert_eq!(batch(&mut queue).len(), 1);
        assert_eq!(queue.push(counting(600)), Pushed::Queued);
        assert_eq!(queue.push(counting(33)), Pushed::Overflowed);
    }

    #[test]
    fn an_overflow_drops_the_queue_and_leaves_4408() {
        let mut queue = Queue::new(100);
        assert_eq!(queue.push(counting(100)), Pushed::Queued);
        assert_eq!(queue.push(counting(40)), Pushed::Overflowed);
        assert_eq!(queue.push(counting(40)), Pushed::Closed);
        assert_eq!(queue.end(), Some(End { code: CloseCode::TooSlow, overflowed: true }));
        assert_eq!(batch(&mut queue), [frame::close(CloseCode::TooSlow, "the client reads too slowly")]);
        assert_eq!(queue.take(), Taken::Ended);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn control_frames_have_a_reserve_and_that_too_ends() {
        let mut queue = Queue::new(100);
        assert_eq!(queue.push(counting(100)), Pushed::Queued);
        let mut pongs = 0;
        while queue.push_control(frame::pong(&[7; 125])) == Pushed::Queued {
            pongs += 1;
        }
        assert_eq!(pongs, CONTROL_RESERVE_BYTES / (127 + FRAME_OVERHEAD_BYTES));
        assert_eq!(queue.end().map(|end| end.overflowed), Some(true));
    }

    #[test]
    fn batches_are_bounded_by_frames_and_by_bytes() {
        let mut queue = Queue::new(u32::MAX);
        for _ in 0..BATCH_FRAMES_MAX + 5 {
            assert_eq!(queue.push(counting(40)), Pushed::Queued);
        }
        assert_eq!(batch(&mut queue).len(), BATCH_FRAMES_MAX);
        assert_eq!(batch(&mut queue).len(), 5);
        for _ in 0..4 {
            assert_eq!(queue.push(counting(BATCH_BYTES_MAX / 2)), Pushed::Queued);
        }
        assert_eq!(batch(&mut queue).len(), 2);
        assert_eq!(batch(&mut queue).len(), 2);
        assert_eq!(queue.take(), Taken::Nothing);
        // One frame may be longer than a batch: it goes alone.
        assert_eq!(queue.push(counting(BATCH_BYTES_MAX * 2)), Pushed::Queued);
        assert_eq!(queue.push(counting(40)), Pushed::Queued);
        assert_eq!(batch(&mut queue).len(), 1);
    }

    #[test]
    fn an_idle_queue_holds_no_memory() {
        let mut queue = Queue::new(u32::MAX);
        assert_eq!(queue.push(counting(40)), Pushed::Queued);
        drop(batch(&mut queue));
        assert_eq!(queue.take(), Taken::Nothing);
        assert_eq!(queue.frames.capacity(), 0);
    }

    #[test]
    fn finish_flushes_close_does_not_and_the_first_decides() {
        let mut queue = Queue::new(1_000);
        assert_eq!(queue.push(frame::text("reply")), Pushed::Queued);
        queue.finish(CloseCode::Drain, "");
        queue.finish(CloseCode::Bye, "");
        assert_eq!(batch(&mut queue), [frame::text("reply"), frame::close(CloseCode::Drain, "")]);
        queue.close(CloseCode::Bye, "");
        assert_eq!(queue.take(), Taken::Ended);

        let mut queue = Queue::new(1_000);
        assert_eq!(queue.push(frame::text("reply")), Pushed::Queued);
        queue.finish(CloseCode::Drain, "");
        queue.close(CloseCode::SessionFailed, "");
        assert_eq!(queue.end().map(|end| end.code), Some(CloseCode::Drain));
        assert_eq!(batch(&mut queue), [frame::close(CloseCode::Drain, "")]);
        assert_eq!(queue.take(), Taken::Ended);
    }
}
