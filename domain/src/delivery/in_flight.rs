//! One message that was sent and is not done with: 32 bytes, because thousands of connections hold dozens of them.

use super::{Millis, Policy, Seen};

/// Why a message is given up for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client refused it: for good, or at every attempt.
    Refused,
    /// It alone was left unacknowledged through all attempts, while later ones were acknowledged.
    Unacknowledged,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Sent; nothing was heard of it.
    Waiting,
    /// Arrived.
    Received,
    /// Taken in, while one before it is not.
    Applied,
    /// Given up, and not yet written down as dead.
    Dying(Cause),
    /// Dead for this device, and written down; one before it is not done with.
    Passed,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) offset: u64,
    /// When it was sent first.
    pub(super) sent_at: Millis,
    /// When it is sent again or given up; when a dying one is reported again; when a received one had arrived.
    pub(super) due: Millis,
    /// When its present round of tries began, in milliseconds after `sent_at`.
    round_ms: u32,
    /// How often it was sent in all.
    pub(super) attempts: u16,
    /// How often in the present round.
    pub(super) tries: u8,
    pub(super) state: State,
}

impl InFlight {
    /// A message that is sent now, as attempt `attempts`, for the first time in its round.
    pub(super) fn sent(offset: u64, attempts: u16, policy: &Policy, now: Millis, jitter: u32) -> Self {
        let due = now.after(policy.due_in(1, jitter));
        Self { offset, sent_at: now, due, round_ms: 0, attempts, tries: 1, state: State::Waiting }
    }

    /// When the present round of tries began.
    pub(super) fn round_began(&self) -> Millis {
        self.sent_at.after(self.round_ms.into())
    }

    /// It has been sent as often as its round allows.
    pub(super) fn is_exhausted(&self, policy: &Policy) -> bool {
        u32::from(self.tries) >= policy.attempts()
    }

    /// It is sent once more; answers which attempt that is.
    pub(super) fn again(&mut self, policy: &Policy, now: Millis, jitter: u32) -> u32 {
        self.tries = self.tries.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
        self.due = now.after(policy.due_in(self.tries.into(), jitter));
        self.attempts.into()
    }

    /// It has arrived.
    pub(super) fn receive(&mut self, now: Millis) {
        self.state = State::Received;
        self.due = now;
    }

    /// When it had arrived, if that is all that is known of it.
    pub(super) fn received_at(&self) -> Option<Millis> {
        (self.state == State::Received).then_some(self.due)
    }

    /// Where it stands.
    pub(super) fn seen(&self) -> Seen {
        let (sent_at, attempts, received_at) = (self.sent_at, self.attempts.into(), self.received_at());
        Seen { sent_at, attempts, received_at, applied: self.state == State::Applied }
    }

    /// A new round of tries begins.
    pub(super) fn new_round(&mut self, now: Millis) {
        self.round_ms = u32::try_from(now.since(self.sent_at)).unwrap_or(u32::MAX);
        self.tries = 0;
    }

    /// It is given up. It is reported again if it is not written down within the time of an acknowledgement.
    pub(super) fn give_up(&mut self, cause: Cause, policy: &Policy, now: Millis) {
        self.state = State::Dying(cause);
        self.due = now.after(policy.ack_timeout_ms.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_flight_costs_32_bytes() {
        assert_eq!(size_of::<InFlight>(), 32);
    }
}
