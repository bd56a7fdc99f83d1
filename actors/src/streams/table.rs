//! Followers by stream, in stripes with a lock each: shards ask it for every durable event.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::ids::AccountId;
use parking_lot::Mutex;

use crate::streams::follow::Follow;

/// How many stripes: enough that the shards of a few cores rarely meet.
const STRIPES: usize = 64;

/// Who follows which stream.
pub(super) struct Table {
    stripes: Vec<Mutex<HashMap<AccountId, Vec<Arc<Follow>>>>>,
    follows: AtomicUsize,
}

impl Default for Table {
    fn default() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect(), follows: AtomicUsize::new(0) }
    }
}

impl Table {
    fn stripe(&self, account: AccountId) -> &Mutex<HashMap<AccountId, Vec<Arc<Follow>>>> {
        // An account's id is a hash: its last byte is as good as any.
        &self.stripes[usize::from(account.0.as_bytes()[15]) % STRIPES]
    }

    pub(super) fn insert(&self, follow: &Arc<Follow>) {
        self.stripe(follow.account()).lock().entry(follow.account()).or_default().push(Arc::clone(follow));
        self.follows.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn remove(&self, follow: &Arc<Follow>) {
        let mut stripe = self.stripe(follow.account()).lock();
        let Some(follows) = stripe.get_mut(&follow.account()) else { return };
        let before = follows.len();
        follows.retain(|other| !Arc::ptr_eq(other, follow));
        self.follows.fetch_sub(before - follows.len(), Ordering::AcqRel);
        if follows.is_empty() {
            stripe.remove(&follow.account());
        }
    }

    /// Whether anybody follows the stream.
    pub(super) fn has(&self, account: AccountId) -> bool {
        self.stripe(account).lock().contains_key(&account)
    }

    /// Who follows the stream.
    pub(super) fn of(&self, account: AccountId) -> Vec<Arc<Follow>> {
        self.stripe(account).lock().get(&account).cloned().unwrap_or_default()
    }

    /// Who follows any.
    pub(super) fn all(&self) -> Vec<Arc<Follow>> {
        self.stripes.iter().flat_map(|stripe| stripe.lock().values().flatten().cloned().collect::<Vec<_>>()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.follows.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
