//! A window that counts: for streams whose clients say only how far they are.

use super::{Progress, Swept};
use crate::delivery::{Millis, Policy};

/// How far a client is, and how many messages it has not said anything of.
#[derive(Debug)]
pub(super) struct Counted {
    cursor: u64,
    sent: u64,
    waiting: u32,
    /// Since when something is waited for.
    since: Millis,
}

impl Counted {
    pub(super) const fn new(after: u64) -> Self {
        Self { cursor: after, sent: after, waiting: 0, since: Millis(0) }
    }

    pub(super) const fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) const fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(super) const fn room(&self, policy: &Policy) -> u32 {
        policy.window.saturating_sub(self.waiting)
    }

    pub(super) fn sent(&mut self, offset: u64, now: Millis) {
        if self.waiting == 0 {
            self.since = now;
        }
        self.sent = self.sent.max(offset);
        self.waiting = self.waiting.saturating_add(1);
    }

    pub(super) fn ack(&mut self, upto: u64, now: Millis) -> Progress {
        let upto = upto.min(self.sent);
        if upto <= self.cursor {
            return Progress::default();
        }
        let before = std::mem::replace(&mut self.cursor, upto);
        self.since = now;
        // Offsets that were let go lie between: no more are waited for than either says.
        let beyond = u32::try_from(self.sent.saturating_sub(upto)).unwrap_or(u32::MAX);
        let left = self.waiting.min(beyond);
        let freed = self.waiting.saturating_sub(left);
        self.waiting = left;
        Progress { cursor: Some((before, upto)), freed }
    }

    pub(super) fn sweep(&self, policy: &Policy, now: Millis) -> Swept {
        let silent = self.waiting > 0 && now.since(self.since) >= policy.patience_ms();
        if silent { Swept::Silent } else { Swept::Alive }
    }
}
