//! Messages that were given up and are offered again: the same offset, counted attempts.
//!
//! The device's place is beyond them, so an acknowledgement of everything up to somewhere says nothing of them. Only
//! one that names such an offset does.

use std::collections::VecDeque;

use super::in_flight::{InFlight, State};
use super::window::{Ack, Acked, Nacked, Seen, Verdict};
use super::{Cause, Millis, NACK_AFTER_MAX_MS, Policy, Stage};

/// The most messages that are offered again at a time on one stream of one connection.
pub const REDRIVEN_MAX: usize = 64;

/// What is offered again on one stream of one connection.
#[derive(Debug, Default)]
pub struct Redriven {
    messages: Vec<InFlight>,
    /// The attempts of those that were done with last, at most [`REDRIVEN_MAX`]: one that is offered once more before
    /// its letter knows what became of it goes on counting from there.
    done: VecDeque<(u64, u16)>,
}

impl Redriven {
    /// Nothing.
    pub const NONE: Self = Self { messages: Vec::new(), done: VecDeque::new() };

    /// Offers a message as attempt `attempt`, and answers which attempt is to be sent now: none if there is no room. One
    /// that is offered already goes on as it is, unless it is asked for `anew`: then it is sent once more, as its next
    /// attempt, and has all its tries before it again.
    pub fn offer(
        &mut self,
        offset: u64,
        attempt: u32,
        anew: bool,
        policy: &Policy,
        now: Millis,
        jitter: u32,
    ) -> Option<u32> {
        if let Some(message) = self.messages.iter_mut().find(|message| message.offset == offset) {
            if !anew {
                return None;
            }
            message.state = State::Waiting;
            message.new_round(now);
            return Some(message.again(policy, now, jitter));
        }
        if self.messages.len() >= REDRIVEN_MAX {
            return None;
        }
        let before = self.done.iter().rev().find(|(done, _)| *done == offset).map_or(0, |(_, attempts)| *attempts);
        let attempts = u16::try_from(attempt).unwrap_or(u16::MAX).max(before.saturating_add(1));
        self.messages.push(InFlight::sent(offset, attempts, policy, now, jitter));
        Some(attempts.into())
    }

    /// Notes that a message was sent so often on this connection, and is done with.
    pub fn note(&mut self, offset: u64, attempts: u32) {
        remember(&mut self.done, offset, u16::try_from(attempts).unwrap_or(u16::MAX));
    }

    /// Takes an acknowledgement: of `upto` itself and of what is in `also`.
    pub fn ack(&mut self, ack: Ack<'_>, now: Millis, mut on: impl FnMut(Acked)) {
        let named = |offset| offset == ack.upto || ack.also.contains(&offset);
        let Self { messages, done } = self;
        messages.retain_mut(|message| {
            let is_news = named(message.offset) && (message.state != State::Received || ack.stage == Stage::Applied);
            if is_news {
                let (took_ms, received_at) = (now.since(message.sent_at), message.received_at());
                message.receive(now);
                let (offset, stage, attempts) = (message.offset, ack.stage, message.attempts.into());
                on(Acked { offset, stage, attempts, took_ms, received_at });
            }
            let is_done = is_news && ack.stage == Stage::Applied;
            if is_done {
                remember(done, message.offset, message.attempts);
            }
            !is_done
        });
        self.shrink();
    }

    /// Takes a refusal.
    pub fn nack(
        &mut self,
        offset: u64,
        after_ms: Option<u64>,
        terminal: bool,
        policy: &Policy,
        now: Millis,
        jitter: u32,
    ) -> Nacked {
        let Some(index) = self.messages.iter().position(|message| message.offset == offset) else {
            return Nacked::Unknown;
        };
        let Some(message) = self.messages.get_mut(index) else { return Nacked::Unknown };
        if terminal || message.is_exhausted(policy) {
            let attempts = message.attempts.into();
            remember(&mut self.done, message.offset, message.attempts);
            self.messages.swap_remove(index);
            self.shrink();
            return Nacked::Dead { attempts };
        }
        message.state = State::Waiting;
        let pause = after_ms.unwrap_or_else(|| policy.backoff(message.tries.into(), jitter));
        message.due = now.after(pause.min(NACK_AFTER_MAX_MS));
        Nacked::Later
    }

    /// Looks what is due. One that is given up is forgotten here: its dead letter is there already.
    pub fn sweep(
        &mut self,
        policy: &Policy,
        now: Millis,
        mut jitter: impl FnMut() -> u32,
        mut on: impl FnMut(Verdict),
    ) {
        let Self { messages, done } = self;
        messages.retain_mut(|message| {
            if message.state != State::Waiting || message.due > now {
                return true;
            }
            let offset = message.offset;
            if message.is_exhausted(policy) {
                on(Verdict::Dead { offset, attempts: message.attempts.into(), cause: Cause::Unacknowledged });
                remember(done, message.offset, message.attempts);
                return false;
            }
            on(Verdict::Resend { offset, attempt: message.again(policy, now, jitter()) });
            true
        });
        self.shrink();
    }

    /// Whether that attempt of the message is still waited for.
    pub fn is_waiting(&self, offset: u64, attempt: u32) -> bool {
        self.messages.iter().any(|message| {
            message.offset == offset && message.state == State::Waiting && u32::from(message.attempts) == attempt
        })
    }

    /// Where a message stands that is offered.
    pub fn seen(&self, offset: u64) -> Option<Seen> {
        self.messages.iter().find(|message| message.offset == offset).map(InFlight::seen)
    }

    /// Whether nothing is offered.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn shrink(&mut self) {
        if self.messages.is_empty() {
            self.messages = Vec::new();
        }
    }
}

/// Remembers how often a message was sent that is done with.
fn remember(done: &mut VecDeque<(u64, u16)>, offset: u64, attempts: u16) {
    if done.len() >= REDRIVEN_MAX {
        done.pop_front();
    }
    done.push_back((offset, attempts));
}
