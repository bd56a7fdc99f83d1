//! One follower of one stream: a lane in a connection's outbox, and the way to it.
//!
//! A follower hears every offset from its start on, in order and without a hole that is not said. What it hears, and
//! what of that is unacknowledged, stands in its [`Lane`]; reading for one that is behind is in [`super::reading`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use domain::delivery::{Ack, Acked, Class, Nacked, Policy, Progress, Swept, Verdict};
use domain::ids::{DeviceId, UserId};
use protocol::frame::server::Gap;
use protocol::frame::{GapReason, ServerFrame};

use crate::outbox::lane::{At, Heard, Lane, Offered, Spliced};
use crate::outbox::{CloseCode, Outbox, Queue, Slot, frame};
use crate::streams::pace::Pace;
use crate::streams::topic::Topic;

/// Who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// The person.
    pub user: UserId,
    /// Their device, if it said its name.
    pub device: Option<DeviceId>,
}

/// One follower of one stream.
pub struct Follow {
    topic: Arc<Topic>,
    follower: Follower,
    outbox: Arc<Outbox>,
    slot: Slot,
    cancelled: AtomicBool,
    /// Dead letters may tell of messages of the stream.
    dead: AtomicBool,
}

impl Follow {
    /// A follower that is to hear all after `after`, and is behind. Nothing if the connection follows too much.
    pub(super) fn new(topic: Arc<Topic>, follower: Follower, outbox: Arc<Outbox>, after: u64) -> Option<Arc<Self>> {
        let slot = outbox.open(Lane::new(topic.class, after))?;
        let (cancelled, dead) = (AtomicBool::new(false), AtomicBool::new(false));
        Some(Arc::new(Self { topic, follower, outbox, slot, cancelled, dead }))
    }

    /// What it follows.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// How the stream is delivered.
    pub fn class(&self) -> Class {
        self.topic.class
    }

    /// Who follows.
    pub const fn follower(&self) -> Follower {
        self.follower
    }

    /// Starts at another offset. Only before [`super::Streams::begin`].
    pub fn start_after(&self, after: u64) {
        self.lane(|lane, _| lane.start_after(after));
    }

    /// The last offset that was heard, or said to be missing.
    pub fn heard(&self) -> u64 {
        self.lane(|lane, _| lane.heard()).unwrap_or(0)
    }

    /// The place of the device, as far as this connection knows.
    pub fn cursor(&self) -> Option<u64> {
        self.lane(|lane, _| lane.window.cursor())
    }

    /// Messages that are not acknowledged.
    pub fn waiting(&self) -> u32 {
        self.lane(|lane, _| lane.window.waiting()).unwrap_or(0)
    }

    /// Dead letters tell of messages of the stream: acknowledgements are to be reported.
    pub(super) fn mark_dead(&self) {
        self.dead.store(true, Ordering::Release);
    }

    /// Whether acknowledgements are to be reported to the dead letters.
    pub(super) fn has_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Offers a message that was given up as attempt `attempt`. `true` if it is to be sent now; one that is on its way
    /// is hurried instead, and one that is yet to come comes.
    pub(super) fn offer_again(&self, offset: u64, attempt: u32, pace: &Pace, policy: &Policy) -> bool {
        let (now, jitter) = (pace.now(), pace.jitter());
        let offered = self.lane(|lane, _| {
            let is_to_come = offset > lane.heard();
            !is_to_come && !lane.window.hurry(offset, now) && lane.redriven.offer(offset, attempt, policy, now, jitter)
        });
        offered.unwrap_or(false)
    }

    /// Hears nothing more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.outbox.shut(self.slot);
    }

    pub(super) fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) || self.outbox.is_closed()
    }

    /// Bytes that wait in the connection's outbox.
    pub(super) fn outbox_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Ends the connection.
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        self.outbox.close(code, reason);
    }

    fn lane<T>(&self, change: impl FnOnce(&mut Lane, &mut Queue) -> T) -> Option<T> {
        self.outbox.lane(self.slot, change)
    }

    /// The frame that says which offsets will not come.
    pub(super) fn gap(&self, from: u64, to: u64, reason: GapReason) -> Bytes {
        frame::text(&ServerFrame::Gap(Gap { stream: self.topic.name.clone(), from, to, reason }).encode())
    }

    /// Offers a message as it is published.
    pub(super) fn push(&self, offset: u64, message: &Bytes, at: At<'_>) -> Offered {
        let gap = |from, to| self.gap(from, to, GapReason::Shed);
        self.lane(|lane, queue| lane.offer(offset, message, at, queue, gap)).unwrap_or(Offered::Later)
    }

    /// Offers a frame that is no message: nothing is lost with it.
    pub(super) fn signal(&self, frame: &Bytes, policy: &Policy) {
        self.lane(|_, queue| {
            if queue.fits(frame, policy.outbox_bytes_max / 2) {
                queue.push(frame.clone());
            }
        });
    }

    /// A live follower is behind from now on. `false` if it was already.
    pub(super) fn fall_behind(&self) -> bool {
        self.lane(|lane, _| lane.fall_behind()).unwrap_or(false)
    }

    /// A message that was read for it.
    pub(super) fn hear(&self, offset: u64, message: Bytes, at: At<'_>) -> Heard {
        self.lane(|lane, queue| lane.hear(offset, message, at, queue)).unwrap_or(Heard::Paused)
    }

    /// What the stream has is heard: goes live, unless something is missing.
    pub(super) fn splice(&self, at: At<'_>) -> Spliced {
        self.lane(|lane, queue| lane.splice(at, queue)).unwrap_or(Spliced::Done)
    }

    /// How many more messages it may hear now.
    pub(super) fn room(&self, policy: &Policy) -> u32 {
        self.lane(|lane, _| lane.window.room(policy)).unwrap_or(0)
    }

    /// Says that offsets up to `to` will not come, and goes on after them.
    pub(super) fn skip_to(&self, from: u64, to: u64, reason: GapReason) {
        let gap = self.gap(from, to, reason);
        self.lane(|lane, queue| lane.skip_to(to, gap, queue));
    }

    /// Takes an acknowledgement, and tells `on` of each message that is further. Answers what changed, and whether the
    /// follower is to be brought up because there is room again.
    pub(super) fn ack(
        &self,
        ack: Ack<'_>,
        pace: &Pace,
        policy: &Policy,
        mut on: impl FnMut(Acked),
    ) -> (Progress, bool) {
        let now = pace.now();
        let acked = self.lane(|lane, _| {
            let progress = lane.window.ack(ack, now, &mut on);
            if !lane.redriven.is_empty() {
                lane.redriven.ack(ack, now, &mut on);
            }
            (progress, lane.resume(policy))
        });
        acked.unwrap_or_default()
    }

    /// Takes a refusal. Answers as [`Self::ack`] does.
    pub(super) fn nack(
        &self,
        offset: u64,
        after_ms: Option<u64>,
        terminal: bool,
        pace: &Pace,
        policy: &Policy,
    ) -> (Nacked, bool) {
        let (now, jitter) = (pace.now(), pace.jitter());
        let nacked = self.lane(|lane, _| {
            let nacked = match lane.window.nack(offset, after_ms, terminal, policy, now, jitter) {
                Nacked::Unknown => lane.redriven.nack(offset, after_ms, terminal, policy, now, jitter),
                known => known,
            };
            (nacked, lane.resume(policy))
        });
        nacked.unwrap_or((Nacked::Unknown, false))
    }

    /// The dead message is written down: the device's place passes it. Answers whether the follower is to be brought
    /// up.
    pub fn pass(&self, offset: u64) {
        self.lane(|lane, _| lane.window.pass(offset));
    }

    /// Looks what is due. Answers whether the follower is to be brought up because there is room again.
    pub(super) fn sweep(&self, pace: &Pace, policy: &Policy, mut on: impl FnMut(Verdict)) -> (Swept, bool) {
        let swept = self.lane(|lane, queue| {
            if lane.is_at_rest() {
                return (Swept::Alive, lane.resume(policy));
            }
            lane.say_shed(policy, queue, |from, to| self.gap(from, to, GapReason::Shed));
            let now = pace.now();
            let swept = lane.window.sweep(policy, now, || pace.jitter(), &mut on);
            if !lane.redriven.is_empty() {
                lane.redriven.sweep(policy, now, || pace.jitter(), &mut on);
            }
            (swept, lane.resume(policy))
        });
        swept.unwrap_or((Swept::Alive, false))
    }

    /// Sends a message again, if that attempt of it is still waited for.
    pub(super) fn resend(&self, offset: u64, attempt: u32, message: Bytes) -> bool {
        let sent = self.lane(|lane, queue| {
            let waits = lane.window.is_waiting(offset, attempt) || lane.redriven.is_waiting(offset, attempt);
            if waits {
                queue.push(message);
            }
            waits
        });
        sent.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
