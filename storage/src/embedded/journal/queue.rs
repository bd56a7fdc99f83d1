//! What waits for the writer: appends and openings, in order.

use std::mem;
use std::time::Duration;

use domain::ids::ShardId;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::journal::{Append, Generation, Hash, Opened, Record};

/// Something the writer is asked to do.
pub(super) enum Request {
    Append { generation: Generation, record: Record, hash: Hash, reply: oneshot::Sender<Append> },
    Open { shard: ShardId, reply: oneshot::Sender<Opened> },
}

/// What [`Queue::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Requests,
    /// Nothing came in time.
    Nothing,
    /// Nothing is queued and nothing will be.
    Closed,
}

#[derive(Default)]
struct Inner {
    requests: Vec<Request>,
    is_waited_for: bool,
    closed: bool,
}

/// The writer's queue. Its length is bounded by who pushes: see `Shared::permits`.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
}

impl Queue {
    /// Queues a request; drops it, which its reply shows, if the queue is closed.
    pub(super) fn push(&self, request: Request) {
        let mut inner = self.inner.lock();
        if inner.closed {
            return;
        }
        inner.requests.push(request);
        let wake = mem::take(&mut inner.is_waited_for);
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Takes all that is queued into `requests`, which is empty. Waits for some, at most `patience`.
    pub(super) fn take(&self, requests: &mut Vec<Request>, patience: Option<Duration>) -> Taken {
        let mut inner = self.inner.lock();
        while inner.requests.is_empty() {
            if inner.closed {
                return Taken::Closed;
            }
            inner.is_waited_for = true;
            match patience {
                None => self.filled.wait(&mut inner),
                Some(patience) => {
                    if self.filled.wait_for(&mut inner, patience).timed_out() && inner.requests.is_empty() {
                        inner.is_waited_for = false;
                        return if inner.closed { Taken::Closed } else { Taken::Nothing };
                    }
                }
            }
        }
        inner.is_waited_for = false;
        mem::swap(&mut inner.requests, requests);
        Taken::Requests
    }

    /// Takes no more; what is queued is still done.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_all();
    }
}
