//! A lane: one followed stream on one connection, its place and its window.
//!
//! It is *live* and takes the next offset as it is published; or *behind*, while a task reads the stream for it and
//! what is published meanwhile is buffered; or *paused*, because its window is full: then it reads on when there is
//! room. Lanes of one connection wait for nothing of each other but the bytes of the outbox.
//!
//! No lock and no socket: the outbox calls it under its own lock.

use std::collections::VecDeque;

use bytes::Bytes;
use domain::delivery::{Class, Millis, Policy, Redriven, Window};

use super::queue::{Pushed, Queue};

/// The most messages that are buffered for a lane that is behind. What overflows is read from the stream instead.
const BUFFERED_MAX: usize = 64;

/// A paused lane reads on when this part of its window is free: a task for each single acknowledgement would cost more
/// than the messages.
const RESUME_SHARE: u32 = 4;

/// One followed stream on one connection.
#[derive(Debug)]
pub(crate) struct Lane {
    class: Class,
    mode: Mode,
    /// The next offset that it is to hear.
    next: u64,
    /// What was sent and is not acknowledged.
    pub(crate) window: Window,
    /// What was given up and is offered again.
    pub(crate) redriven: Redriven,
    /// The first offset that was let go and not said yet; the last is the one before `next`.
    shed: Option<u64>,
    /// It was said that something waits here.
    is_waiting: bool,
}

#[derive(Debug)]
enum Mode {
    Live,
    Behind { buffer: VecDeque<(u64, Bytes)> },
    Paused,
}

/// When something is pushed, and by which rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// How the class is delivered.
    pub(crate) policy: &'a Policy,
    /// Now.
    pub(crate) now: Millis,
    /// A random number.
    pub(crate) jitter: u32,
}

/// What became of a message that is offered to a live lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is in the outbox.
    Sent,
    /// It was let go under pressure.
    Shed,
    /// It is buffered, was heard before, or will be read when there is room.
    Later,
    /// It cannot be taken now: the lane has fallen behind, and must be brought up.
    Behind,
}

/// What became of a message that was read for a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is in the outbox, or was before.
    Taken,
    /// The window is full: the lane is paused, and reading ends.
    Paused,
}

/// Whether a lane that has heard all there was to read is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spliced {
    /// It is live, or paused: reading ends.
    Done,
    /// Something is missing that is durable by now: read again.
    ReadOn,
}

impl Lane {
    /// A lane that is to hear all after `after`, and is behind until it is brought up.
    pub(crate) const fn new(class: Class, after: u64) -> Self {
        let mode = Mode::Behind { buffer: VecDeque::new() };
        Self {
            class,
            mode,
            next: after.saturating_add(1),
            window: Window::new(class, after),
            redriven: Redriven::NONE,
            shed: None,
            is_waiting: false,
        }
    }

    /// Starts at another offset. Only before anything was heard.
    pub(crate) fn start_after(&mut self, after: u64) {
        self.next = after.saturating_add(1);
        self.window = Window::new(self.class, after);
    }

    /// The last offset that was heard, or said to be missing.
    pub(crate) const fn heard(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Offers a message as it is published. `gap` makes the frame that says which offsets will not come.
    pub(crate) fn offer(
        &mut self,
        offset: u64,
        message: &Bytes,
        at: At<'_>,
        queue: &mut Queue,
        gap: impl FnOnce(u64, u64) -> Bytes,
    ) -> Offered {
        match &mut self.mode {
            Mode::Live if offset == self.next => {
                if self.window.room(at.policy) == 0 {
                    self.leave_live(Mode::Paused);
                    return Offered::Later;
                }
                if !self.fits(message, at.policy, queue) {
                    return self.press(offset);
                }
                if let Some(from) = self.shed.take() {
                    queue.push(gap(from, offset.saturating_sub(1)));
                }
                self.send(offset, message.clone(), at, queue);
                Offered::Sent
            }
            Mode::Live if offset > self.next => {
                self.leave_live(Mode::Behind { buffer: VecDeque::from([(offset, message.clone())]) });
                Offered::Behind
            }
            Mode::Behind { buffer } if offset >= self.next => {
                if buffer.len() >= BUFFERED_MAX {
                    buffer.clear();
                }
                buffer.push_back((offset, message.clone()));
                Offered::Later
            }
            Mode::Live | Mode::Behind { .. } | Mode::Paused => Offered::Later,
        }
    }

    /// Whether the outbox has room for the class. One that sheds goes on only when half of its room is free, so that
    /// one gap is said and not a hundred.
    fn fits(&self, message: &Bytes, policy: &Policy, queue: &Queue) -> bool {
        let bytes_max = if self.shed.is_some() { policy.outbox_bytes_max / 2 } else { policy.outbox_bytes_max };
        queue.fits(message, bytes_max)
    }

    /// The outbox has no room for the next message.
    fn press(&mut self, offset: u64) -> Offered {
        if self.class.is_tracked() {
            self.mode = Mode::Behind { buffer: VecDeque::new() };
            return Offered::Behind;
        }
        self.shed.get_or_insert(offset);
        self.next = offset.saturating_add(1);
        Offered::Shed
    }

    /// Goes on in another mode. What was let go and is not said yet is read instead.
    fn leave_live(&mut self, mode: Mode) {
        self.mode = mode;
        self.next = self.shed.take().unwrap_or(self.next);
    }

    fn send(&mut self, offset: u64, message: Bytes, at: At<'_>, queue: &mut Queue) -> Pushed {
        self.next = offset.saturating_add(1);
        self.window.sent(offset, at.policy, at.now, at.jitter);
        // Under the outbox's lock, so that the order of offsets is the order on the wire.
        queue.push(message)
    }

    /// A message that was read for the lane.
    pub(crate) fn hear(&mut self, offset: u64, message: Bytes, at: At<'_>, queue: &mut Queue) -> Heard {
        if offset != self.next {
            return Heard::Taken;
        }
        if self.window.room(at.policy) == 0 {
            self.mode = Mode::Paused;
            return Heard::Paused;
        }
        self.send(offset, message, at, queue);
        Heard::Taken
    }

    /// Goes on after an offset, because a gap up to it is said.
    pub(crate) fn skip_to(&mut self, to: u64, gap: Bytes, queue: &mut Queue) {
        if to >= self.next {
            self.next = to.saturating_add(1);
            queue.push(gap);
        }
    }

    /// All there was to read is heard: takes up what was buffered, if it follows without a hole.
    pub(crate) fn splice(&mut self, at: At<'_>, queue: &mut Queue) -> Spliced {
        let Mode::Behind { buffer } = &mut self.mode else { return Spliced::Done };
        let mut buffer = std::mem::take(buffer);
        while let Some((offset, message)) = buffer.pop_front() {
            if offset < self.next {
                continue;
            }
            if offset > self.next {
                // What is missing is durable by now, because it was before this one.
                return Spliced::ReadOn;
            }
            if self.hear(offset, message, at, queue) == Heard::Paused {
                return Spliced::Done;
            }
        }
        self.mode = Mode::Live;
        Spliced::Done
    }

    /// A live lane is behind from now on. `false` if it was not live.
    pub(crate) fn fall_behind(&mut self) -> bool {
        let was_live = matches!(self.mode, Mode::Live);
        if was_live {
            self.leave_live(Mode::Behind { buffer: VecDeque::new() });
        }
        was_live
    }

    /// A paused lane with room is behind from now on, and must be brought up. `false` if it was not paused.
    pub(crate) fn resume(&mut self, policy: &Policy) -> bool {
        let enough = (policy.window / RESUME_SHARE).max(1);
        let resumes = matches!(self.mode, Mode::Paused) && self.window.room(policy) >= enough;
        if resumes {
            self.mode = Mode::Behind { buffer: VecDeque::new() };
        }
        resumes
    }

    /// Says what was let go, if nothing came since and there is room to say it.
    pub(crate) fn say_shed(&mut self, policy: &Policy, queue: &mut Queue, gap: impl FnOnce(u64, u64) -> Bytes) {
        let bytes_max = usize::try_from(policy.outbox_bytes_max / 2).unwrap_or(usize::MAX);
        if queue.bytes() > bytes_max {
            return;
        }
        if let Some(from) = self.shed.take() {
            queue.push(gap(from, self.heard()));
        }
    }

    /// Whether nothing of it can be due. A paused lane is to be resumed: its window may become empty by what nobody
    /// acknowledges, when messages are passed as dead.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_paused = matches!(self.mode, Mode::Paused);
        !is_paused && self.window.is_empty() && self.redriven.is_empty() && self.shed.is_none()
    }

    /// Whether something waits that may become due, and that was not said yet. It is said once, until
    /// [`Self::still_waits`] denies it.
    pub(crate) fn begins_to_wait(&mut self) -> bool {
        let begins = !self.is_waiting && !self.is_at_rest();
        self.is_waiting |= begins;
        begins
    }

    /// Whether something waits that may become due.
    pub(crate) fn still_waits(&mut self) -> bool {
        self.is_waiting = !self.is_at_rest();
        self.is_waiting
    }
}
