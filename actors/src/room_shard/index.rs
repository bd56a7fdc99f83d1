//! The idempotency keys of messages that were decided and are not in the views yet.
//!
//! What is read from views is joined with it. It has everything queued and everything in the tail;
//! leaving one of the two out lets a key publish twice.

use std::collections::HashMap;

use domain::room::{MessageKey, Past, RoomChange, RoomEvent};

/// Messages by their keys. A key's hash is of one room, so the room is not part of it here.
#[derive(Default)]
pub(crate) struct Index(HashMap<MessageKey, Past>);

impl Index {
    /// Takes in an event as it is queued.
    pub(crate) fn add(&mut self, event: &RoomEvent) {
        if let Some((key, past)) = keyed(event) {
            self.0.insert(key, past);
        }
    }

    /// Lets an event go as views have it.
    pub(crate) fn remove(&mut self, event: &RoomEvent) {
        if let Some((key, past)) = keyed(event)
            && self.0.get(&key).is_some_and(|known| known.offset == past.offset)
        {
            self.0.remove(&key);
        }
    }

    /// What a key did.
    pub(crate) fn past(&self, key: MessageKey) -> Option<Past> {
        self.0.get(&key).copied()
    }
}

/// The key of a message, and what it did.
pub(crate) fn keyed(event: &RoomEvent) -> Option<(MessageKey, Past)> {
    match &event.change {
        RoomChange::Published { key: Some(key), fingerprint, .. } => {
            Some((*key, Past { offset: event.offset, fingerprint: *fingerprint }))
        }
        _ => None,
    }
}
