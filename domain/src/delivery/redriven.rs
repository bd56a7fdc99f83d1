//! Messages that were given up and are offered again: the same offset, counted attempts.
//!
//! The device's place is beyond them, so an acknowledgement of everything up to somewhere says nothing of them. Only
//! one that names such an offset does.

use super::in_flight::{InFlight, State};
use super::window::{Ack, Acked, Nacked, Verdict};
use super::{Cause, Millis, NACK_AFTER_MAX_MS, Policy, Stage};

/// The most messages that are offered again at a time on one stream of one connection.
pub const REDRIVEN_MAX: usize = 64;

/// What is offered again on one stream of one connection.
#[derive(Debug, Default)]
pub struct Redriven {
    messages: Vec<InFlight>,
}

impl Redriven {
    /// Nothing.
    pub const NONE: Self = Self { messages: Vec::new() };

    /// Offers a message as attempt `attempt`. `false` if there is no room; one that is offered already has all its
    /// tries before it again.
    pub fn offer(&mut self, offset: u64, attempt: u32, policy: &Policy, now: Millis, jitter: u32) -> bool {
        let attempts = u16::try_from(attempt).unwrap_or(u16::MAX);
        let offered = InFlight::sent(offset, attempts, policy, now, jitter);
        if let Some(message) = self.messages.iter_mut().find(|message| message.offset == offset) {
            *message = offered;
            return true;
        }
        if self.messages.len() >= REDRIVEN_MAX {
            return false;
        }
        self.messages.push(offered);
        true
    }

    /// Takes an acknowledgement: of `upto` itself and of what is in `also`.
    pub fn ack(&mut self, ack: Ack<'_>, now: Millis, mut on: impl FnMut(Acked)) {
        let named = |offset| offset == ack.upto || ack.also.contains(&offset);
        self.messages.retain_mut(|message| {
            let is_news = named(message.offset) && (message.state != State::Received || ack.stage == Stage::Applied);
            if is_news {
                let took_ms = now.since(message.sent_at);
                message.state = State::Received;
                on(Acked { offset: message.offset, stage: ack.stage, attempts: message.attempts.into(), took_ms });
            }
            !(is_news && ack.stage == Stage::Applied)
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
        self.messages.retain_mut(|message| {
            if message.state != State::Waiting || message.due > now {
                return true;
            }
            let offset = message.offset;
            if message.is_exhausted(policy) {
                on(Verdict::Dead { offset, attempts: message.attempts.into(), cause: Cause::Unacknowledged });
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
