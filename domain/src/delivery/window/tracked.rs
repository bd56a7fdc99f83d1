//! A window with one entry a message that is not done with, in order of offsets.
//!
//! Entries are kept from sending until everything before them is applied or passed, at most [`KEPT_WINDOWS`] windows of
//! them: a client that receives on and on and applies nothing is waited for. An empty window holds no memory.

use std::collections::VecDeque;

use super::{Ack, Acked, Nacked, Progress, Seen, Swept, Verdict};
use crate::delivery::in_flight::{InFlight, State};
use crate::delivery::{Cause, Millis, NACK_AFTER_MAX_MS, Policy, Stage};

/// How many windows of messages may be received and not applied.
const KEPT_WINDOWS: u32 = 4;

/// Messages on their way.
#[derive(Debug)]
pub(super) struct Tracked {
    messages: VecDeque<InFlight>,
    cursor: u64,
    sent: u64,
    /// How many of `messages` are waited for.
    waiting: u32,
    /// The highest offset that was acknowledged.
    acked_max: u64,
    /// When something was last acknowledged or refused for the first time.
    heard_at: Option<Millis>,
}

impl Tracked {
    pub(super) const fn new(after: u64) -> Self {
        Self { messages: VecDeque::new(), cursor: after, sent: after, waiting: 0, acked_max: after, heard_at: None }
    }

    pub(super) const fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) const fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn room(&self, policy: &Policy) -> u32 {
        let kept = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        let kept_max = policy.window.saturating_mul(KEPT_WINDOWS);
        policy.window.saturating_sub(self.waiting).min(kept_max.saturating_sub(kept))
    }

    pub(super) fn sent(&mut self, offset: u64, policy: &Policy, now: Millis, jitter: u32) {
        debug_assert!(offset > self.sent, "offsets go up");
        self.sent = self.sent.max(offset);
        self.waiting = self.waiting.saturating_add(1);
        self.messages.push_back(InFlight::sent(offset, 1, policy, now, jitter));
    }

    pub(super) fn ack(&mut self, ack: Ack<'_>, now: Millis, mut on: impl FnMut(Acked)) -> Progress {
        let upto = ack.upto.min(self.sent);
        let waiting = self.waiting;
        let cumulative = self.messages.partition_point(|message| message.offset <= upto);
        for index in 0..cumulative {
            self.settle(index, ack.stage, now, &mut on);
        }
        for offset in ack.also {
            if let Some(index) = self.find(*offset) {
                self.settle(index, ack.stage, now, &mut on);
            }
        }
        let before = self.cursor;
        self.advance();
        if ack.stage == Stage::Applied {
            // Offsets that were never sent here, because a gap was said, have no entry.
            self.cursor = self.cursor.max(upto);
        }
        let cursor = (self.cursor > before).then_some((before, self.cursor));
        Progress { cursor, freed: waiting.saturating_sub(self.waiting) }
    }

    fn settle(&mut self, index: usize, stage: Stage, now: Millis, on: &mut impl FnMut(Acked)) {
        let Some(message) = self.messages.get_mut(index) else { return };
        let news = match (message.state, stage) {
            (State::Waiting | State::Dying(_), _) | (State::Received | State::Passed, Stage::Applied) => true,
            (State::Received | State::Passed, Stage::Received) | (State::Applied, _) => false,
        };
        if !news {
            return;
        }
        if message.state == State::Waiting {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let received_at = message.received_at();
        match stage {
            Stage::Received => message.receive(now),
            Stage::Applied => message.state = State::Applied,
        }
        self.acked_max = self.acked_max.max(message.offset);
        self.heard_at = Some(now);
        let took_ms = now.since(message.sent_at);
        on(Acked { offset: message.offset, stage, attempts: message.attempts.into(), took_ms, received_at });
    }

    pub(super) fn nack(
        &mut self,
        offset: u64,
        after_ms: Option<u64>,
        terminal: bool,
        policy: &Policy,
        now: Millis,
        jitter: u32,
    ) -> Nacked {
        let Some(message) = self.find(offset).and_then(|index| self.messages.get_mut(index)) else {
            return Nacked::Unknown;
        };
        let waited = match message.state {
            State::Waiting => true,
            // It arrived, and could not be taken in after all.
            State::Received => false,
            State::Applied | State::Dying(_) | State::Passed => return Nacked::Unknown,
        };
        self.heard_at = Some(now);
        if terminal || message.is_exhausted(policy) {
            message.give_up(Cause::Refused, policy, now);
            self.waiting = self.waiting.saturating_sub(u32::from(waited));
            return Nacked::Dead { attempts: message.attempts.into() };
        }
        message.state = State::Waiting;
        let pause = after_ms.unwrap_or_else(|| policy.backoff(message.tries.into(), jitter));
        message.due = now.after(pause.min(NACK_AFTER_MAX_MS));
        self.waiting = self.waiting.saturating_add(u32::from(!waited));
        Nacked::Later
    }

    pub(super) fn sweep(
        &mut self,
        policy: &Policy,
        now: Millis,
        mut jitter: impl FnMut() -> u32,
        mut on: impl FnMut(Verdict),
    ) -> Swept {
        for message in self.messages.iter_mut().filter(|message| message.due <= now) {
            match message.state {
                State::Waiting if !message.is_exhausted(policy) => {
                    let attempt = message.again(policy, now, jitter());
                    on(Verdict::Resend { offset: message.offset, attempt });
                }
                State::Waiting if self.acked_max > message.offset => {
                    self.waiting = self.waiting.saturating_sub(1);
                    message.give_up(Cause::Unacknowledged, policy, now);
                    on(dead(message, Cause::Unacknowledged));
                }
                // Others are acknowledged, none of them later: the client is slow, and works in order.
                State::Waiting if self.heard_at.is_some_and(|heard| heard >= message.round_began()) => {
                    message.new_round(now);
                    let attempt = message.again(policy, now, jitter());
                    on(Verdict::Resend { offset: message.offset, attempt });
                }
                State::Waiting => return Swept::Silent,
                State::Dying(cause) => {
                    message.give_up(cause, policy, now);
                    on(dead(message, cause));
                }
                State::Received | State::Applied | State::Passed => {}
            }
        }
        Swept::Alive
    }

    pub(super) fn pass(&mut self, offset: u64) -> Option<(u64, u64)> {
        let message = self.find(offset).and_then(|index| self.messages.get_mut(index))?;
        if matches!(message.state, State::Dying(_)) {
            message.state = State::Passed;
        }
        let before = self.cursor;
        self.advance();
        (self.cursor > before).then_some((before, self.cursor))
    }

    pub(super) fn is_waiting(&self, offset: u64, attempt: u32) -> bool {
        let message = self.find(offset).and_then(|index| self.messages.get(index));
        message.is_some_and(|message| message.state == State::Waiting && u32::from(message.attempts) == attempt)
    }

    pub(super) fn hurry(&mut self, offset: u64, now: Millis) -> bool {
        let Some(message) = self.find(offset).and_then(|index| self.messages.get_mut(index)) else { return false };
        if message.state != State::Waiting {
            return false;
        }
        message.new_round(now);
        message.due = now;
        true
    }

    pub(super) fn seen(&self, offset: u64) -> Option<Seen> {
        let message = self.find(offset).and_then(|index| self.messages.get(index))?;
        (message.state != State::Passed).then(|| message.seen())
    }

    pub(super) fn applied_beyond(&self) -> Vec<u64> {
        let applied = self.messages.iter().filter(|message| message.state == State::Applied);
        applied.map(|message| message.offset).collect()
    }

    fn find(&self, offset: u64) -> Option<usize> {
        self.messages.binary_search_by_key(&offset, |message| message.offset).ok()
    }

    /// Moves the place over what is done with.
    fn advance(&mut self) {
        while let Some(message) = self.messages.front() {
            if !matches!(message.state, State::Applied | State::Passed) {
                return;
            }
            self.cursor = self.cursor.max(message.offset);
            self.messages.pop_front();
        }
        // Thousands of idle connections hold nothing.
        self.messages = VecDeque::new();
    }
}

fn dead(message: &InFlight, cause: Cause) -> Verdict {
    Verdict::Dead { offset: message.offset, attempts: message.attempts.into(), cause }
}
