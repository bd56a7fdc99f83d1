//! One follower of one stream: hears every offset from its start on, in order, once a connection.
//!
//! It is either *live*, and takes the next offset as it is published, or *behind*: then a task reads
//! the ledger for it while what is published meanwhile is buffered, and splices the two. A live one that
//! is offered a later offset than the next falls behind by itself; there is no way past a hole.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::ids::{AccountId, UserId};
use parking_lot::Mutex;

use crate::ledger::Ledger;
use crate::outbox::{self, Outbox};
use crate::streams::Streams;

/// The most messages that are buffered for a follower that is behind. What overflows is read from the
/// ledger instead.
const BUFFERED_MAX: usize = 64;

/// Events read at a time for a follower that is behind.
const PAGE: usize = 64;

/// Bytes in the outbox above which a follower that is behind is not given more: it would be closed as
/// too slow for what it could not know of.
const OUTBOX_BYTES: usize = 64 << 10;

/// How often a follower that is behind looks whether its outbox has drained.
const OUTBOX_WAIT: Duration = Duration::from_millis(5);

/// How long to wait when the ledger cannot be read.
const RETRY: Duration = Duration::from_millis(500);

/// A follower's place.
#[derive(Debug)]
struct Place {
    /// The next offset it is to hear.
    next: u64,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Live,
    Behind {
        /// What was published meanwhile.
        buffer: VecDeque<(u64, Bytes)>,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It was heard, buffered, or heard before.
    Taken,
    /// It came too early: the follower has fallen behind, and must be brought up.
    Behind,
}

/// One follower of one stream.
#[derive(Debug)]
pub struct Follow {
    account: AccountId,
    owner: UserId,
    outbox: Arc<Outbox>,
    place: Mutex<Place>,
    cancelled: AtomicBool,
}

impl Follow {
    /// A follower that is to hear all after offset `after`.
    pub fn after(account: AccountId, owner: UserId, outbox: Arc<Outbox>, after: u64) -> Arc<Self> {
        let place = Place { next: after.saturating_add(1), mode: Mode::Behind { buffer: VecDeque::new() } };
        Arc::new(Self { account, owner, outbox, place: Mutex::new(place), cancelled: AtomicBool::new(false) })
    }

    /// The stream's account.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Whose account it is.
    pub(super) const fn owner(&self) -> UserId {
        self.owner
    }

    /// Starts at another offset. Only before [`Streams::bring_up`].
    pub fn start_after(&self, after: u64) {
        self.place.lock().next = after.saturating_add(1);
    }

    /// The last offset that was put into the outbox.
    pub fn heard(&self) -> u64 {
        self.place.lock().next.saturating_sub(1)
    }

    /// Hears nothing more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) || self.outbox.is_closed()
    }

    /// A live follower is behind from now on. `false` if it was already.
    pub(super) fn fall_behind(&self) -> bool {
        let mut place = self.place.lock();
        let was_live = matches!(place.mode, Mode::Live);
        if was_live {
            place.mode = Mode::Behind { buffer: VecDeque::new() };
        }
        was_live
    }

    /// Offers a message as it is published.
    pub(super) fn push(&self, offset: u64, message: &Bytes) -> Pushed {
        if self.is_over() {
            return Pushed::Taken;
        }
        let mut place = self.place.lock();
        let next = place.next;
        match &mut place.mode {
            Mode::Live if offset == next => {
                place.next += 1;
                // Pushed under the lock, so that the order of offsets is the order in the outbox.
                self.outbox.push(message.clone());
                Pushed::Taken
            }
            Mode::Live if offset > next => {
                place.mode = Mode::Behind { buffer: VecDeque::from([(offset, message.clone())]) };
                Pushed::Behind
            }
            Mode::Behind { buffer } if offset >= next => {
                if buffer.len() >= BUFFERED_MAX {
                    buffer.clear();
                }
                buffer.push_back((offset, message.clone()));
                Pushed::Taken
            }
            Mode::Live | Mode::Behind { .. } => Pushed::Taken,
        }
    }

    /// Reads the ledger until nothing is left that was not heard, then goes live.
    pub(super) async fn bring_up(self: Arc<Self>, streams: &Streams, ledger: &Ledger) {
        while !self.is_over() {
            if self.outbox.bytes() > OUTBOX_BYTES {
                tokio::time::sleep(OUTBOX_WAIT).await;
                continue;
            }
            let heard = self.heard();
            let events = match ledger.events_after(self.account, heard, PAGE).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::warn!(%error, account = %self.account, "a follower cannot be brought up");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            if events.is_empty() {
                if self.go_live() {
                    return;
                }
                // A store that answers at once gives no other task a turn.
                tokio::task::yield_now().await;
                continue;
            }
            if events.first().is_some_and(|first| first.offset != heard + 1) {
                // Views and journal disagree. Nothing may be skipped in silence, so nothing more is said.
                tracing::error!(account = %self.account, after = heard, "a stream has a hole");
                self.outbox.close(outbox::CloseCode::SessionFailed, "the stream cannot be read");
                return;
            }
            for event in events {
                match streams.encode(self.owner, &event).await {
                    Ok(message) => self.hear(event.offset, &message),
                    Err(error) => {
                        tracing::warn!(%error, account = %self.account, "an event cannot be encoded");
                        tokio::time::sleep(RETRY).await;
                        break;
                    }
                }
            }
        }
    }

    /// A message from the ledger.
    fn hear(&self, offset: u64, message: &Bytes) {
        let mut place = self.place.lock();
        if offset == place.next && !self.is_over() {
            place.next += 1;
            self.outbox.push(message.clone());
        }
    }

    /// Takes up what was buffered, if it follows without a hole.
    fn go_live(&self) -> bool {
        let mut place = self.place.lock();
        let Place { next, mode } = &mut *place;
        let Mode::Behind { buffer } = mode else { return true };
        while let Some((offset, message)) = buffer.pop_front() {
            if offset < *next {
                continue;
            }
            if offset > *next {
                // What is missing is durable by now, because it was before this one: read again.
                buffer.clear();
                return false;
            }
            *next += 1;
            if self.outbox.push(message) != outbox::Pushed::Queued {
                return true;
            }
        }
        *mode = Mode::Live;
        true
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::outbox::frame;

    fn follow(after: u64) -> Arc<Follow> {
        let outbox = Arc::new(Outbox::new(1 << 20));
        Follow::after(AccountId(Uuid::from_u128(1)), UserId(Uuid::from_u128(1)), outbox, after)
    }

    fn message(offset: u64) -> Bytes {
        frame::text(&offset.to_string())
    }

    async fn heard(follow: &Follow) -> Vec<Bytes> {
        follow.outbox.finish(outbox::CloseCode::Bye, "");
        let mut all: Vec<Bytes> = Vec::new();
        while let Some(batch) = follow.outbox.take().await {
            all.extend(batch);
        }
        all.pop();
        all
    }

    #[tokio::test]
    async fn what_is_published_while_behind_is_spliced_without_repeats() {
        let follow = follow(2);
        assert_eq!(follow.push(4, &message(4)), Pushed::Taken);
        assert_eq!(follow.push(5, &message(5)), Pushed::Taken);
        follow.hear(3, &message(3));
        follow.hear(4, &message(4));
        assert!(follow.go_live());
        assert_eq!(follow.push(5, &message(5)), Pushed::Taken, "a repeat");
        assert_eq!(follow.push(6, &message(6)), Pushed::Taken);
        assert_eq!(heard(&follow).await, [3, 4, 5, 6].map(message));
    }

    #[tokio::test]
    async fn a_hole_is_never_passed() {
        let follow = follow(0);
        assert!(follow.go_live());
        assert_eq!(follow.push(1, &message(1)), Pushed::Taken);
        assert_eq!(follow.push(3, &message(3)), Pushed::Behind);
        assert_eq!(follow.push(4, &message(4)), Pushed::Taken, "it is being brought up");
        assert!(!follow.go_live(), "2 is missing");
        follow.hear(2, &message(2));
        follow.hear(3, &message(3));
        follow.hear(4, &message(4));
        assert!(follow.go_live());
        assert_eq!(heard(&follow).await, [1, 2, 3, 4].map(message));
    }

    #[test]
    fn the_buffer_is_bounded() {
        let follow = follow(0);
        for offset in 2..10_000 {
            follow.push(offset, &message(offset));
        }
        let place = follow.place.lock();
        let Mode::Behind { buffer } = &place.mode else { panic!("it was never brought up") };
        assert!(buffer.len() <= BUFFERED_MAX);
    }
}
