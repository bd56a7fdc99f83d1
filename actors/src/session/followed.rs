//! What a session follows, shared with the edge: an acknowledgement needs no mail.
//!
//! Acknowledgements are most of what a listening client sends, and all they change is a window under the outbox's
//! lock. The edge takes them here while nothing else of the connection is in flight and the session is to be looked at
//! soon anyway; else they take their turn in the session's mail. Durable places are the session's alone: it writes the
//! first at once, and what comes after that when it is looked at.

use std::sync::Arc;

use domain::delivery;
use parking_lot::Mutex;
use protocol::frame::StreamName;
use protocol::frame::client::Ack;

use crate::streams::Streams;
use crate::streams::follow::Follow;

/// The streams of one session. Its bound is the outbox's: [`crate::outbox::LANES_MAX`].
#[derive(Default)]
pub struct Followed(Mutex<Vec<Arc<Follow>>>);

impl Followed {
    pub(super) fn add(&self, follow: &Arc<Follow>) {
        self.0.lock().push(Arc::clone(follow));
    }

    pub(super) fn remove(&self, follow: &Arc<Follow>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, follow));
    }

    /// Takes a client's acknowledgement. One of a stream that is not followed changes nothing.
    pub fn ack(&self, streams: &Arc<Streams>, ack: &Ack) {
        if let Some(follow) = self.of(&ack.stream) {
            streams.ack(&follow, delivery::Ack { upto: ack.upto, also: &ack.also, stage: ack.stage });
        }
    }

    fn of(&self, stream: &StreamName) -> Option<Arc<Follow>> {
        self.0.lock().iter().find(|follow| follow.topic().name == *stream).cloned()
    }
}
