//! What devices heard and said of the streams that they follow, and what was given up for them.

use protocol::event::EventName;
use protocol::frame::{GapReason, Stage};
use uuid::Uuid;

use super::rooms::Said;

/// Something that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stream {
    /// This person's money.
    Account(usize),
    /// This person's notices.
    User(usize),
    /// This room.
    Room(usize),
}

impl Stream {
    /// Whether each message is acknowledged, sent again and given up by itself.
    pub(crate) const fn is_tracked(self) -> bool {
        matches!(self, Self::Account(_) | Self::User(_))
    }
}

/// A device that follows one stream over many connections.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Whose.
    pub(crate) person: usize,
    /// Its name.
    pub(crate) name: String,
    /// Its number among all devices: what it refuses, it refuses under [`refusal`] of it.
    pub(crate) number: usize,
    /// What it follows.
    pub(crate) stream: Stream,
    /// Its connections, in order.
    pub(crate) connections: Vec<Connection>,
    /// Whether it was still there at the end and so must have heard everything.
    pub(crate) finished: bool,
}

/// The code under which a device refuses messages.
pub(crate) fn refusal(device: usize) -> String {
    format!("refused_by_{device}")
}

/// The device whose refusal this is.
pub(crate) fn refused_by(code: &str) -> Option<usize> {
    code.strip_prefix("refused_by_")?.parse().ok()
}

/// One connection of a device, as far as one stream goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// The offset that it asked to go on after; without one the server was to remember.
    pub(crate) after: Option<u64>,
    /// How many of the newest events it asked for.
    pub(crate) last: Option<u32>,
    /// What `subscribed` said of where it begins.
    pub(crate) from: u64,
    /// What `subscribed` said of the stream's length.
    pub(crate) head: u64,
    /// What came and what was said, in order.
    pub(crate) steps: Vec<Step>,
    /// It left all unanswered for longer than any server's patience, and was not closed.
    pub(crate) overstayed: bool,
}

/// Something that came on a stream, or was said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A message came.
    Message(MessageSeen),
    /// Offsets that will not come.
    Gap {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// Why.
        reason: GapReason,
    },
    /// The device acknowledged.
    Acked {
        /// All up to here.
        upto: u64,
        /// And these.
        also: Vec<u64>,
        /// How far it is with them.
        stage: Stage,
    },
    /// The device refused.
    Refused {
        /// Which.
        offset: u64,
    },
    /// The device asked for a sign of life.
    Asked(u64),
    /// The server had all that was said before this was asked.
    Answered(u64),
}

/// A message, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageSeen {
    /// Its number in the stream.
    pub(crate) offset: u64,
    /// Its id.
    pub(crate) id: Box<str>,
    /// What happened.
    pub(crate) event: EventName,
    /// Which try it is.
    pub(crate) attempt: u32,
    /// A digest of what of its data never changes.
    pub(crate) data: u64,
    /// For a new entry: the transfer, the amount and the balance after it.
    pub(crate) entry: Option<(Uuid, i64, i64)>,
    /// For a message of a room, or a change of one: what it says.
    pub(crate) said: Option<Said>,
}

/// A dead letter of one of these people.
#[derive(Clone, Debug)]
pub(crate) struct LetterSeen {
    /// Its id.
    pub(crate) id: String,
    /// In which stream.
    pub(crate) stream: Stream,
    /// For which of the server's devices; none if it is the person's.
    pub(crate) device: Option<String>,
    /// The first and last offset.
    pub(crate) offsets: (u64, u64),
    /// Why: `refused`, `unacknowledged`, or `deadline` if it is the person's.
    pub(crate) reason: String,
    /// What the last attempt met.
    pub(crate) last_error: String,
    /// Whether it was resolved.
    pub(crate) resolved: bool,
}

impl LetterSeen {
    /// Whether none of the person's devices applied what it tells of.
    pub(crate) fn is_of_person(&self) -> bool {
        self.reason == "deadline"
    }
}
