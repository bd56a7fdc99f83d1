//! What can be asked of a room, and what it must know beyond its state to decide.

use std::time::Duration;

use crate::ids::UserId;
use crate::ledger::{Fingerprint, Origin, Principal};
use crate::room::key::MessageKey;
use crate::room::kind::{Access, RoomClass, RoomKind};
use crate::sealed::Sealed;
use crate::time::Timestamp;

/// What sealing adds to a text: 12 bytes of nonce, 16 of tag.
const SEAL_BYTES: usize = 28;

/// The longest body, sealed: 16 KiB of text.
pub const BODY_BYTES_MAX: usize = (16 << 10) + SEAL_BYTES;

/// The longest name, sealed: 256 bytes of text.
pub const NAME_BYTES_MAX: usize = 256 + SEAL_BYTES;

/// The shortest text, sealed: one byte.
pub const TEXT_BYTES_MIN: usize = SEAL_BYTES + 1;

/// The shortest time that a message or a mute may last.
pub const LASTS_MIN: Duration = Duration::from_secs(1);

/// And the longest: 90 days. What lasts longer is for ever.
pub const LASTS_MAX: Duration = Duration::from_hours(90 * 24);

/// A command to one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomCommand {
    /// Where it comes from.
    pub origin: Origin,
    /// What the room is, where the caller knows it from what the id is derived of. A room that nobody
    /// has to make begins with its first command.
    pub kind: Option<RoomKind>,
    /// What is asked.
    pub request: RoomRequest,
}

/// What is asked of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomRequest {
    /// Make it: a group by a person, a broadcast by the server, a direct room by one of its two.
    Create {
        /// How its messages are delivered.
        class: RoomClass,
        /// Who may join.
        access: Access,
        /// What it is called.
        name: Option<Sealed>,
    },
    /// Call it something else.
    Rename {
        /// What.
        name: Sealed,
    },
    /// Let somebody join.
    Invite {
        /// Who.
        user: UserId,
    },
    /// Become a member.
    Join,
    /// Be a member no more.
    Leave,
    /// Put somebody out, or take their invitation back.
    Kick {
        /// Who.
        user: UserId,
    },
    /// Make somebody a moderator, or no more.
    SetModerator {
        /// Who.
        user: UserId,
        /// Whether they moderate.
        moderates: bool,
    },
    /// Have somebody not write for a while.
    Mute {
        /// Who.
        user: UserId,
        /// For how long, [`LASTS_MIN`] to [`LASTS_MAX`].
        lasts: Duration,
    },
    /// Let somebody write again.
    Unmute {
        /// Who.
        user: UserId,
    },
    /// End it.
    Close,
    /// Say something.
    Publish {
        /// What, sealed: [`TEXT_BYTES_MIN`] to [`BODY_BYTES_MAX`].
        body: Sealed,
        /// So that it is said once.
        key: Option<MessageKey>,
        /// Of what it says.
        fingerprint: Option<Fingerprint>,
        /// For how long it is of interest, [`LASTS_MIN`] to [`LASTS_MAX`].
        lasts: Option<Duration>,
    },
    /// Have a message say something else.
    Edit {
        /// The message's offset.
        of: u64,
        /// What.
        body: Sealed,
    },
    /// Show a message no more.
    Delete {
        /// The message's offset.
        of: u64,
    },
    /// Hear no more of the other of two people.
    Block,
    /// And hear of them again.
    Unblock,
}

impl RoomRequest {
    /// The key that the room must look up before it decides.
    pub const fn key(&self) -> Option<MessageKey> {
        match self {
            Self::Publish { key, .. } => *key,
            _ => None,
        }
    }

    /// The message that the room must look up before it decides.
    pub const fn original(&self) -> Option<u64> {
        match self {
            Self::Edit { of, .. } | Self::Delete { of } => Some(*of),
            _ => None,
        }
    }
}

/// What a decision must know beyond the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomFacts {
    /// What the key did before.
    pub past: Option<Past>,
    /// The message that is to be edited or deleted.
    pub original: Option<Original>,
}

/// What a key did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The message that it made.
    pub offset: u64,
    /// Of what it said.
    pub fingerprint: Option<Fingerprint>,
}

/// A message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original {
    /// Who said it.
    pub by: Principal,
    /// When it is of no interest any more.
    pub expires_at: Option<Timestamp>,
    /// Whether it was deleted.
    pub deleted: bool,
}
