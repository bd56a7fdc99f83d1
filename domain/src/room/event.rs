//! What happened in a room: what its journal holds and what is delivered.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};
use crate::ledger::{Fingerprint, Meta};
use crate::room::key::MessageKey;
use crate::room::kind::{Access, RoomClass, RoomKind};
use crate::sealed::Sealed;
use crate::time::Timestamp;

/// One event of one room: one offset of its stream, one message to those who follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEvent {
    /// The room.
    pub room: RoomId,
    /// Dense from 1 in the room.
    pub offset: u64,
    /// How many messages were published in the room up to and with this event: what unread counts are
    /// made of.
    pub messages: u64,
    /// When, in the course of what, and by whom.
    pub meta: Meta,
    /// What.
    pub change: RoomChange,
}

impl RoomEvent {
    /// How many messages were published before this event.
    pub fn messages_before(&self) -> u64 {
        self.messages.saturating_sub(u64::from(self.change.is_message()))
    }

    /// Whether it is a message whose time is over at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        matches!(&self.change, RoomChange::Published { expires_at: Some(at), .. } if *at <= now)
    }
}

/// Why somebody is in a room no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaveCause {
    /// They went.
    Left,
    /// They were put out, or their invitation was taken back.
    Kicked,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomChange {
    /// It began. A group's maker is its first moderator; a direct room has both its members.
    Opened {
        /// What it is.
        kind: RoomKind,
        /// How its messages are delivered.
        class: RoomClass,
        /// Who may join it, if it is a group.
        access: Access,
        /// What it is called, sealed.
        name: Option<Sealed>,
    },
    /// It is called something else.
    Renamed {
        /// What, sealed.
        name: Sealed,
    },
    /// Somebody may join.
    Invited {
        /// Who.
        user: UserId,
    },
    /// Somebody is a member.
    Joined {
        /// Who.
        user: UserId,
    },
    /// Somebody is a member no more.
    Left {
        /// Who.
        user: UserId,
        /// Why.
        cause: LeaveCause,
        /// Who is a moderator from now on, because no other is left.
        heir: Option<UserId>,
    },
    /// Somebody is a moderator, or no more.
    RankChanged {
        /// Who.
        user: UserId,
        /// Whether they moderate.
        moderates: bool,
    },
    /// Somebody may not write for a while.
    Muted {
        /// Who.
        user: UserId,
        /// Until when.
        until: Timestamp,
    },
    /// Somebody may write again.
    Unmuted {
        /// Who.
        user: UserId,
    },
    /// It is over: it can be read and not written.
    Closed,
    /// A message.
    Published {
        /// What it says, sealed.
        body: Sealed,
        /// Of the request, if it had an idempotency key.
        key: Option<MessageKey>,
        /// Of what it says, if it had one.
        fingerprint: Option<Fingerprint>,
        /// When it is of no interest any more.
        expires_at: Option<Timestamp>,
    },
    /// A message says something else from now on.
    Edited {
        /// The message's offset.
        of: u64,
        /// What, sealed.
        body: Sealed,
    },
    /// A message is shown no more.
    Deleted {
        /// The message's offset.
        of: u64,
    },
    /// One of two people wants to hear no more of the other.
    Blocked {
        /// Who wants that.
        by: UserId,
    },
    /// And does again.
    Unblocked {
        /// Who does.
        by: UserId,
    },
}

impl RoomChange {
    /// Whether it is a message.
    pub const fn is_message(&self) -> bool {
        matches!(self, Self::Published { .. })
    }

    /// Whether it leaves what the room is as it was: it is about what was said.
    pub const fn is_talk(&self) -> bool {
        matches!(self, Self::Published { .. } | Self::Edited { .. } | Self::Deleted { .. })
    }
}
