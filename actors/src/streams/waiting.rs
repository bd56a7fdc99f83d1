//! Followers in whose lanes something waits: unacknowledged messages, a gap that is not said, or room to read on.
//!
//! The sweeper looks at these and at nobody else: thousands of followers who have acknowledged all are the rule, and
//! looking at each of them twice a second was a third of what an idle session costs. A follower comes here when its
//! lane begins to wait, and goes when the sweeper has found nothing there; the lane's own word on which it is
//! ([`crate::outbox::lane::Lane::begins_to_wait`]) changes under the lock of the outbox, so that it is here once, and
//! whenever something waits.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::streams::follow::Follow;

/// How many stripes: who adds one waits for no more than a small part of the others to be looked through.
const STRIPES: usize = 64;

/// The followers.
pub(crate) struct Waiting {
    stripes: Vec<Mutex<Vec<Arc<Follow>>>>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect() }
    }
}

impl Waiting {
    /// Something waits in the follower's lane.
    pub(super) fn add(&self, follow: &Arc<Follow>) {
        // By its user: a room's many followers shall not meet in one stripe. The last byte of an id is random.
        let stripe = usize::from(follow.follower().user.0.as_bytes()[15]) % STRIPES;
        self.stripes[stripe].lock().push(Arc::clone(follow));
    }

    /// All of them, a stripe at a time.
    pub(super) fn stripes(&self) -> impl Iterator<Item = Vec<Arc<Follow>>> + '_ {
        self.stripes.iter().map(|stripe| stripe.lock().clone())
    }

    /// Lets those go in whose lanes nothing waits any more.
    pub(super) fn release(&self) {
        for stripe in &self.stripes {
            let follows = &mut *stripe.lock();
            follows.retain(|follow| follow.still_waits());
            // Many may have waited at once, a single time.
            if follows.len() * 4 < follows.capacity() {
                follows.shrink_to(follows.len() * 2);
            }
        }
    }
}
