//! Why a room refuses a command.

/// The rule that a command broke. Nothing happened, and an idempotency key is as good as before.
///
/// Listed in the order in which [`decide`](crate::room::decide()) looks: of several rules broken, the
/// first is named. A table in the tests pins the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum RoomRefused {
    /// The key was used for another message.
    #[error("the idempotency key was used for another message")]
    KeyReused,
    /// There is no such room.
    #[error("there is no such room")]
    NotFound,
    /// Rooms of this kind know no such command, or the id is another kind's.
    #[error("the room is of another kind")]
    WrongKind,
    /// The room is over.
    #[error("the room is closed")]
    Closed,
    /// The caller is not in the room.
    #[error("the caller is not a member of the room")]
    NotAMember,
    /// The group lets in only whom its moderators invited.
    #[error("the caller is not invited")]
    NotInvited,
    /// It is for moderators, for the message's author, or for the server.
    #[error("it is not the caller's to do")]
    NotAllowed,
    /// The caller may not write for a while.
    #[error("the caller is muted")]
    Muted,
    /// The other of two people wants to hear no more of the caller.
    #[error("the caller is blocked")]
    Blocked,
    /// Whom it is about is not in the room.
    #[error("the person is not a member of the room")]
    TargetNotAMember,
    /// One does not invite, mute or put out oneself.
    #[error("it cannot be done to oneself")]
    TargetIsSelf,
    /// The room has as many members as it may.
    #[error("the room is full")]
    Full,
    /// There is no such message, or its time is over.
    #[error("there is no such message")]
    MessageNotFound,
    /// The message was deleted.
    #[error("the message is deleted")]
    MessageDeleted,
    /// A name is empty or too long.
    #[error("the name is out of range")]
    NameOutOfRange,
    /// What a message says is empty or too long.
    #[error("the body is out of range")]
    BodyOutOfRange,
    /// A message or a mute lasts too short or too long.
    #[error("the duration is out of range")]
    DurationOutOfRange,
}
