//! What was done in rooms, what was seen of it on the way, and what stands in them at the end.

/// What a message in a room says, or a change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The message that is changed; nothing of a message itself.
    pub(crate) of: Option<u64>,
    /// Who says it, as far as the frame tells.
    pub(crate) by: Option<usize>,
    /// What it reads like.
    pub(crate) shows: Shows,
}

/// What a message of a room reads like at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Words of this run.
    Words {
        /// The message's tag.
        tag: String,
        /// Which version: 0 as it was said, then as it was edited.
        version: u32,
    },
    /// It was deleted.
    Deleted,
    /// Words that nobody of this run said.
    Strange,
}

/// A room as it is at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomSeen {
    /// Who is in it from beginning to end.
    pub(crate) members: Vec<usize>,
    /// The offset up to which nothing is kept.
    pub(crate) floor: u64,
    /// The offset of the last event.
    pub(crate) head: u64,
    /// The events, oldest first.
    pub(crate) events: Vec<RoomEventSeen>,
}

/// One event of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomEventSeen {
    /// Its number.
    pub(crate) offset: u64,
    /// What it is.
    pub(crate) what: What,
    /// Who did it.
    pub(crate) by: Option<usize>,
    /// What a message, or a change of one, reads like now.
    pub(crate) shows: Option<Shows>,
}

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Something was said.
    Message,
    /// This message says something else.
    Edited(u64),
    /// This message was deleted.
    Deleted(u64),
    /// Somebody came or went, or the room began.
    Other,
}

/// Something that was done in a room.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    /// Who.
    pub(crate) person: usize,
    /// Where.
    pub(crate) room: usize,
    /// What.
    pub(crate) act: Act,
    /// The message's tag: unique, and the key under which it is said.
    pub(crate) tag: String,
    /// When it was first sent.
    pub(crate) started: u64,
    /// When its outcome was known.
    pub(crate) ended: u64,
    /// The connection on which it was first said, and its turn there, if it was answered there.
    pub(crate) line: Option<(u64, u64)>,
    /// What is known of it.
    pub(crate) outcome: Talked,
}

/// What somebody does in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Says something.
    Publish,
    /// Says something else under a key that was used.
    Misuse,
    /// Has a message read otherwise.
    Edit {
        /// Which.
        of: u64,
        /// How.
        version: u32,
    },
    /// Takes a message back.
    Delete {
        /// Which.
        of: u64,
    },
}

/// What is known of something that was done in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Talked {
    /// It happened: the offset of every answer.
    Done(Vec<u64>),
    /// It did not, for this reason.
    Refused(String),
    /// Nothing could be learned.
    Unknown,
}

/// What somebody saw of a message that they had changed themselves.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Where.
    pub(crate) room: usize,
    /// Which message.
    pub(crate) of: u64,
    /// What was known to be done to it before looking.
    pub(crate) known: Act,
    /// What it read like; nothing if it was not there.
    pub(crate) shows: Option<Shows>,
}

/// Somebody came to a room, listened, and left it or was put out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visit {
    /// Which room.
    pub(crate) room: usize,
    /// The offset of the event that says that they came.
    pub(crate) came: u64,
    /// The offset of the event that says that they went.
    pub(crate) went: u64,
    /// The offsets that they heard.
    pub(crate) heard: Vec<u64>,
    /// What they tried when they were not let in, and whether it was refused.
    pub(crate) tried: Vec<(&'static str, bool)>,
}
