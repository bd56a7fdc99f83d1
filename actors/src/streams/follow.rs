//! One follower of one stream: a lane in a connection's outbox, and the way to it.
//!
//! A follower hears every offset from its start on, in order and without a hole that is not said. What it hears, and
//! what of that is unacknowledged, stands in its [`Lane`]; reading for one that is behind is in [`super::reading`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use domain::delivery::{Ack, Acked, Class, Nacked, Policy, Progress, Seen, Swept, Verdict};
use domain::ids::{DeviceId, UserId};
use protocol::code::Code;
use protocol::frame::server::{ErrorFrame, Gap};
use protocol::frame::{GapReason, ServerFrame};

use crate::deadlines::owed::Step;
use crate::outbox::lane::{At, Heard, Lane, Offered, Spliced};
use crate::outbox::{CloseCode, Outbox, Queue, Slot, frame};
use crate::streams::LivePlace;
use crate::streams::pace::Pace;
use crate::streams::topic::Topic;
use crate::streams::waiting::Waiting;

/// Who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// The person.
    pub user: UserId,
    /// Their device, if it said its name.
    pub device: Option<DeviceId>,
}

/// What became of messages that were offered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pushes {
    /// So many are in the outbox.
    pub(super) sent: u64,
    /// So many were let go under pressure.
    pub(super) shed: u64,
    /// The follower has fallen behind, and must be brought up.
    pub(super) behind: bool,
}

/// One follower of one stream.
pub struct Follow {
    topic: Arc<Topic>,
    follower: Follower,
    outbox: Arc<Outbox>,
    slot: Slot,
    /// The offset after which it began to hear.
    start: AtomicU64,
    cancelled: AtomicBool,
    /// Dead letters may tell of messages of the stream.
    dead: AtomicBool,
    /// Where it is put when something waits in its lane.
    waiting: Arc<Waiting>,
}

impl Follow {
    /// A follower that is to hear all after `after`, and is behind. Nothing if the connection follows too much.
    pub(super) fn new(
        topic: Arc<Topic>,
        follower: Follower,
        outbox: Arc<Outbox>,
        after: u64,
        waiting: Arc<Waiting>,
    ) -> Option<Arc<Self>> {
        let slot = outbox.open(Lane::new(topic.class, after))?;
        let (start, cancelled, dead) = (AtomicU64::new(after), AtomicBool::new(false), AtomicBool::new(false));
        Some(Arc::new(Self { topic, follower, outbox, slot, start, cancelled, dead, waiting }))
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
    pub fn start_after(self: &Arc<Self>, after: u64) {
        self.start.store(after, Ordering::Release);
        self.lane(|lane, _| lane.start_after(after));
    }

    /// The last offset that was heard, or said to be missing.
    pub fn heard(self: &Arc<Self>) -> u64 {
        self.lane(|lane, _| lane.heard()).unwrap_or(0)
    }

    /// The place of the device, as far as this connection knows.
    pub fn cursor(self: &Arc<Self>) -> Option<u64> {
        self.lane(|lane, _| lane.window.cursor())
    }

    /// How far it is, by its own acknowledgements: where it began says nothing of what was applied.
    pub(super) fn place(self: &Arc<Self>) -> Option<LivePlace> {
        let (cursor, also) = self.lane(|lane, _| (lane.window.cursor(), lane.window.applied_beyond()))?;
        let upto = if cursor > self.start.load(Ordering::Acquire) { cursor } else { 0 };
        Some(LivePlace { device: self.follower.device, upto, also })
    }

    /// Where a message stands that was sent and is not done with.
    pub(super) fn seen(self: &Arc<Self>, offset: u64) -> Option<Seen> {
        self.lane(|lane, _| lane.redriven.seen(offset).or_else(|| lane.window.seen(offset))).flatten()
    }

    /// What its steps are of.
    pub(super) fn step(&self) -> Step {
        Step { user: self.follower.user, device: self.follower.device, stream: self.topic.stream }
    }

    /// Messages that are not acknowledged.
    pub fn waiting(self: &Arc<Self>) -> u32 {
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

    /// Offers a message that was given up as attempt `attempt`. Answers which attempt is to be sent now; one that is on
    /// its way is hurried instead, one that is yet to come comes, and one that is offered already is sent again only
    /// `anew`.
    pub(super) fn offer_again(
        self: &Arc<Self>,
        offset: u64,
        attempt: u32,
        anew: bool,
        pace: &Pace,
        policy: &Policy,
    ) -> Option<u32> {
        let (now, jitter) = (pace.now(), pace.jitter());
        let offered = self.lane(|lane, _| {
            if offset > lane.heard() || lane.window.hurry(offset, now) {
                return None;
            }
            lane.redriven.offer(offset, attempt, anew, policy, now, jitter)
        });
        offered.flatten()
    }

    /// Hears nothing more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.outbox.shut(self.slot);
    }

    /// Tells the client that it may not hear the stream any more.
    pub(super) fn say_put_out(self: &Arc<Self>) {
        let stream = Some(self.topic.name.clone());
        let error = ServerFrame::Error(ErrorFrame { stream, ..ErrorFrame::of(Code::NotAMember) });
        self.lane(|_, queue| queue.push(frame::text(&error.encode())));
    }

    /// Whether it hears nothing more, though its connection may go on.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || self.outbox.is_closed()
    }

    /// Bytes that wait in the connection's outbox.
    pub(super) fn outbox_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Ends the connection.
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        self.outbox.close(code, reason);
    }

    fn lane<T>(self: &Arc<Self>, change: impl FnOnce(&mut Lane, &mut Queue) -> T) -> Option<T> {
        self.change(false, change)
    }

    /// Changes the lane, and has the sweeper look at the follower from now on if something waits there.
    fn change<T>(self: &Arc<Self>, at_once: bool, change: impl FnOnce(&mut Lane, &mut Queue) -> T) -> Option<T> {
        let change = |lane: &mut Lane, queue: &mut Queue| (change(lane, queue), lane.begins_to_wait());
        let changed =
            if at_once { self.outbox.lane_at_once(self.slot, change) } else { self.outbox.lane(self.slot, change) };
        let (answer, begins_to_wait) = changed?;
        if begins_to_wait {
            self.waiting.add(self);
        }
        Some(answer)
    }

    /// Whether something still waits in the lane. If not, it is said anew when something does.
    pub(super) fn still_waits(&self) -> bool {
        self.outbox.lane(self.slot, |lane, _| lane.still_waits()).unwrap_or(false)
    }

    /// The frame that says which offsets will not come.
    pub(super) fn gap(&self, from: u64, to: u64, reason: GapReason) -> Bytes {
        frame::text(&ServerFrame::Gap(Gap { stream: self.topic.name.clone(), from, to, reason }).encode())
    }

    /// Offers messages as they are published, in order.
    pub(super) fn push(self: &Arc<Self>, run: &[(u64, Bytes)], at: At<'_>, at_once: bool) -> Pushes {
        let gap = |from, to| self.gap(from, to, GapReason::Shed);
        let offer = |lane: &mut Lane, queue: &mut Queue| {
            let mut pushes = Pushes::default();
            for (offset, message) in run {
                match lane.offer(*offset, message, at, queue, gap) {
                    Offered::Sent => pushes.sent += 1,
                    Offered::Shed => pushes.shed += 1,
                    Offered::Later => {}
                    Offered::Behind => pushes.behind = true,
                }
            }
            pushes
        };
        self.change(at_once, offer).unwrap_or_default()
    }

    /// Offers a frame that is no message: nothing is lost with it.
    pub(super) fn signal(self: &Arc<Self>, frame: &Bytes, policy: &Policy) {
        self.lane(|_, queue| {
            if queue.fits(frame, policy.outbox_bytes_max / 2) {
                queue.push(frame.clone());
            }
        });
    }

    /// A live follower is behind from now on. `false` if it was already.
    pub(super) fn fall_behind(self: &Arc<Self>) -> bool {
        self.lane(|lane, _| lane.fall_behind()).unwrap_or(false)
    }

    /// A message that was read for it.
    pub(super) fn hear(self: &Arc<Self>, offset: u64, message: Bytes, at: At<'_>) -> Heard {
        self.lane(|lane, queue| lane.hear(offset, message, at, queue)).unwrap_or(Heard::Paused)
    }

    /// What the stream has is heard: goes live, unless something is missing.
    pub(super) fn splice(self: &Arc<Self>, at: At<'_>) -> Spliced {
        self.lane(|lane, queue| lane.splice(at, queue)).unwrap_or(Spliced::Done)
    }

    /// How many more messages it may hear now.
    pub(super) fn room(self: &Arc<Self>, policy: &Policy) -> u32 {
        self.lane(|lane, _| lane.window.room(policy)).unwrap_or(0)
    }

    /// Says that offsets up to `to` will not come, and goes on after them.
    pub(super) fn skip_to(self: &Arc<Self>, from: u64, to: u64, reason: GapReason) {
        let gap = self.gap(from, to, reason);
        self.lane(|lane, queue| lane.skip_to(to, gap, queue));
    }

    /// Takes an acknowledgement, and tells `on` of each message that is further. Answers what changed, and whether the
    /// follower is to be brought up because there is room again.
    pub(super) fn ack(
        self: &Arc<Self>,
        ack: Ack<'_>,
        pace: &Pace,
        policy: &Policy,
        mut on: impl FnMut(Acked),
    ) -> (Progress, bool) {
        let now = pace.now();
        let has_dead = self.has_dead();
        let acked = self.lane(|lane, _| {
            let progress = lane.window.ack(ack, now, |acked| {
                if has_dead && acked.attempts > 1 {
                    lane.redriven.note(acked.offset, acked.attempts);
                }
                on(acked);
            });
            if !lane.redriven.is_empty() {
                lane.redriven.ack(ack, now, &mut on);
            }
            (progress, lane.resume(policy))
        });
        let (progress, resumes) = acked.unwrap_or_default();
        if progress.cursor.is_some() && self.follower.device.is_some() {
            self.outbox.look_soon();
        }
        (progress, resumes)
    }

    /// Takes a refusal. Answers as [`Self::ack`] does.
    pub(super) fn nack(
        self: &Arc<Self>,
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
            if let Nacked::Dead { attempts } = nacked {
                lane.redriven.note(offset, attempts);
            }
            (nacked, lane.resume(policy))
        });
        nacked.unwrap_or((Nacked::Unknown, false))
    }

    /// The dead message is written down: the device's place passes it. Answers whether the follower is to be brought
    /// up.
    pub fn pass(self: &Arc<Self>, offset: u64) {
        self.lane(|lane, _| lane.window.pass(offset));
        self.outbox.look_soon();
    }

    /// Looks what is due. Answers whether the follower is to be brought up because there is room again.
    pub(super) fn sweep(self: &Arc<Self>, pace: &Pace, policy: &Policy, mut on: impl FnMut(Verdict)) -> (Swept, bool) {
        let swept = self.lane(|lane, queue| {
            if lane.is_at_rest() {
                return (Swept::Alive, false);
            }
            lane.say_shed(policy, queue, |from, to| self.gap(from, to, GapReason::Shed));
            let now = pace.now();
            let swept = lane.window.sweep(
                policy,
                now,
                || pace.jitter(),
                |verdict| {
                    if let Verdict::Dead { offset, attempts, .. } = verdict {
                        lane.redriven.note(offset, attempts);
                    }
                    on(verdict);
                },
            );
            if !lane.redriven.is_empty() {
                lane.redriven.sweep(policy, now, || pace.jitter(), &mut on);
            }
            (swept, lane.resume(policy))
        });
        swept.unwrap_or((Swept::Alive, false))
    }

    /// Sends a message again, if that attempt of it is still waited for.
    pub(super) fn resend(self: &Arc<Self>, offset: u64, attempt: u32, message: Bytes) -> bool {
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
