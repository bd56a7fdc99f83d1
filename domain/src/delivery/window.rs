//! The window of one stream on one connection: what was sent and is not acknowledged.
//!
//! Streams whose messages are tracked keep one entry a message ([`tracked`]), the others two numbers ([`counted`]).
//! Acknowledgements name offsets; those of messages that were never sent here settle nothing.

mod counted;
mod tracked;

use super::{Cause, Class, Millis, Policy, Stage};
use counted::Counted;
use tracked::Tracked;

/// What a client acknowledges.
#[derive(Clone, Copy, Debug)]
pub struct Ack<'a> {
    /// All up to and with this offset.
    pub upto: u64,
    /// And these beyond it.
    pub also: &'a [u64],
    /// How far the client is with them.
    pub stage: Stage,
}

/// A message that an acknowledgement brought further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Which.
    pub offset: u64,
    /// How far it is now.
    pub stage: Stage,
    /// How often it was sent.
    pub attempts: u32,
    /// Milliseconds since it was first sent.
    pub took_ms: u64,
    /// When it had arrived, if that was said before it was applied.
    pub received_at: Option<Millis>,
}

/// Where a message stands on one connection, for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was first sent here.
    pub sent_at: Millis,
    /// How often it was sent.
    pub attempts: u32,
    /// When it had arrived, if that was said and it is not applied.
    pub received_at: Option<Millis>,
    /// Whether it is applied, while one before it is not.
    pub applied: bool,
}

/// What an acknowledgement changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The place of the device before and after, if it moved.
    pub cursor: Option<(u64, u64)>,
    /// Messages that are not waited for any more.
    pub freed: u32,
}

/// What became of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nacked {
    /// Nothing of that offset is on its way.
    Unknown,
    /// It is sent again later.
    Later,
    /// It is dead for this device; sent this often.
    Dead {
        /// How often.
        attempts: u32,
    },
}

/// What is due for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again.
    Resend {
        /// Which.
        offset: u64,
        /// Which attempt it is.
        attempt: u32,
    },
    /// Write it down as dead for this device, then call [`Window::pass`].
    Dead {
        /// Which.
        offset: u64,
        /// How often it was sent.
        attempts: u32,
        /// Why.
        cause: Cause,
    },
}

/// What a sweep found of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing.
    Alive,
    /// Nothing at all was acknowledged through all attempts: close it. Nothing is dead, no place moves.
    Silent,
}

/// The window.
#[derive(Debug)]
pub struct Window(Kind);

#[derive(Debug)]
enum Kind {
    Tracked(Tracked),
    Counted(Counted),
}

impl Window {
    /// An empty window of a stream that is followed after `after`.
    pub const fn new(class: Class, after: u64) -> Self {
        Self(if class.is_tracked() { Kind::Tracked(Tracked::new(after)) } else { Kind::Counted(Counted::new(after)) })
    }

    /// How many more messages may be sent now.
    pub fn room(&self, policy: &Policy) -> u32 {
        match &self.0 {
            Kind::Tracked(window) => window.room(policy),
            Kind::Counted(window) => window.room(policy),
        }
    }

    /// Notes that a message is sent for the first time on this connection. `offset` is above all before it.
    pub fn sent(&mut self, offset: u64, policy: &Policy, now: Millis, jitter: u32) {
        match &mut self.0 {
            Kind::Tracked(window) => window.sent(offset, policy, now, jitter),
            Kind::Counted(window) => window.sent(offset, now),
        }
    }

    /// Takes an acknowledgement, and tells `on` of each message that is further now.
    pub fn ack(&mut self, ack: Ack<'_>, now: Millis, on: impl FnMut(Acked)) -> Progress {
        match &mut self.0 {
            Kind::Tracked(window) => window.ack(ack, now, on),
            Kind::Counted(window) => window.ack(ack.upto, now),
        }
    }

    /// Takes a refusal: send it again in `after_ms` (the policy's back-off if that is absent), or never.
    pub fn nack(
        &mut self,
        offset: u64,
        after_ms: Option<u64>,
        terminal: bool,
        policy: &Policy,
        now: Millis,
        jitter: u32,
    ) -> Nacked {
        match &mut self.0 {
            Kind::Tracked(window) => window.nack(offset, after_ms, terminal, policy, now, jitter),
            Kind::Counted(_) => Nacked::Unknown,
        }
    }

    /// Looks what is due, and tells `on`. A message that is told as due counts as sent again.
    pub fn sweep(
        &mut self,
        policy: &Policy,
        now: Millis,
        jitter: impl FnMut() -> u32,
        on: impl FnMut(Verdict),
    ) -> Swept {
        match &mut self.0 {
            Kind::Tracked(window) => window.sweep(policy, now, jitter, on),
            Kind::Counted(window) => window.sweep(policy, now),
        }
    }

    /// The dead message is written down: the place of the device passes it. Answers the place before and after, if it
    /// moved.
    pub fn pass(&mut self, offset: u64) -> Option<(u64, u64)> {
        match &mut self.0 {
            Kind::Tracked(window) => window.pass(offset),
            Kind::Counted(_) => None,
        }
    }

    /// Whether that attempt of the message is still waited for.
    pub fn is_waiting(&self, offset: u64, attempt: u32) -> bool {
        match &self.0 {
            Kind::Tracked(window) => window.is_waiting(offset, attempt),
            Kind::Counted(_) => false,
        }
    }

    /// Makes a message that is waited for due at once, with all its tries before it. `false` if none is.
    pub fn hurry(&mut self, offset: u64, now: Millis) -> bool {
        match &mut self.0 {
            Kind::Tracked(window) => window.hurry(offset, now),
            Kind::Counted(_) => false,
        }
    }

    /// Where a message stands that was sent here and is not done with.
    pub fn seen(&self, offset: u64) -> Option<Seen> {
        match &self.0 {
            Kind::Tracked(window) => window.seen(offset),
            Kind::Counted(_) => None,
        }
    }

    /// What is applied beyond the place, ascending.
    pub fn applied_beyond(&self) -> Vec<u64> {
        match &self.0 {
            Kind::Tracked(window) => window.applied_beyond(),
            Kind::Counted(_) => Vec::new(),
        }
    }

    /// The place of the device: all up to here was applied, or passed as dead.
    pub const fn cursor(&self) -> u64 {
        match &self.0 {
            Kind::Tracked(window) => window.cursor(),
            Kind::Counted(window) => window.cursor(),
        }
    }

    /// Whether nothing is waited for or kept.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Kind::Tracked(window) => window.is_empty(),
            Kind::Counted(window) => window.waiting() == 0,
        }
    }

    /// Messages that are waited for.
    pub const fn waiting(&self) -> u32 {
        match &self.0 {
            Kind::Tracked(window) => window.waiting(),
            Kind::Counted(window) => window.waiting(),
        }
    }
}
