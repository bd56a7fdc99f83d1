//! Followers by stream, in stripes with a lock each: shards ask it for every durable event.
//!
//! The followers of one stream are one list behind an `Arc`: who publishes holds a snapshot and no lock, and a list is
//! copied only where somebody joins or leaves while it is published to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::streams::follow::Follow;

/// How many stripes: enough that the shards of a few cores rarely meet.
const STRIPES: usize = 64;

/// The followers of one stream at one moment.
pub(crate) type Follows = Arc<Vec<Arc<Follow>>>;

/// Who follows which stream.
pub(crate) struct Table {
    stripes: Vec<Mutex<HashMap<Uuid, Follows>>>,
    follows: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect(), follows: AtomicUsize::new(0) }
    }
}

impl Table {
    fn stripe(&self, stream: Uuid) -> &Mutex<HashMap<Uuid, Follows>> {
        // A stream's id is a hash or random: its last byte is as good as any.
        &self.stripes[usize::from(stream.as_bytes()[15]) % STRIPES]
    }

    pub(super) fn insert(&self, follow: &Arc<Follow>) {
        let stream = follow.topic().stream;
        let mut stripe = self.stripe(stream).lock();
        Arc::make_mut(stripe.entry(stream).or_default()).push(Arc::clone(follow));
        self.follows.fetch_add(1, Ordering::AcqRel);
    }

    /// Answers whether it was there.
    pub(super) fn remove(&self, follow: &Arc<Follow>) -> bool {
        let stream = follow.topic().stream;
        let mut stripe = self.stripe(stream).lock();
        let Some(follows) = stripe.get_mut(&stream) else { return false };
        let Some(index) = follows.iter().position(|other| Arc::ptr_eq(other, follow)) else { return false };
        Arc::make_mut(follows).swap_remove(index);
        self.follows.fetch_sub(1, Ordering::AcqRel);
        if follows.is_empty() {
            stripe.remove(&stream);
        }
        true
    }

    /// Whether anybody follows the stream.
    pub(super) fn has(&self, stream: Uuid) -> bool {
        self.stripe(stream).lock().contains_key(&stream)
    }

    /// Who follows the stream.
    pub(super) fn of(&self, stream: Uuid) -> Option<Follows> {
        self.stripe(stream).lock().get(&stream).cloned()
    }

    /// Who follows any, a stripe at a time.
    pub(super) fn stripes(&self) -> impl Iterator<Item = Vec<Follows>> + '_ {
        self.stripes.iter().map(|stripe| stripe.lock().values().cloned().collect())
    }

    pub(super) fn len(&self) -> usize {
        self.follows.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
