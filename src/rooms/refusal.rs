//! What rooms answer, as the stable codes of the protocol.

use actors::rooms::call::RoomCallError;
use domain::room::RoomRefused;
use protocol::code::Code;
use protocol::problem::FieldCode;

use crate::failure::Failure;

impl From<RoomRefused> for Failure {
    fn from(refused: RoomRefused) -> Self {
        match refused {
            RoomRefused::KeyReused => Code::IdempotencyKeyReused.into(),
            RoomRefused::NotFound | RoomRefused::MessageNotFound => Code::NotFound.into(),
            RoomRefused::WrongKind => Code::RoomKind.into(),
            RoomRefused::Closed => Code::RoomClosed.into(),
            RoomRefused::NotAMember => Code::NotAMember.into(),
            RoomRefused::NotInvited => Self::of(Code::NotAMember).saying("You are not invited to this room."),
            RoomRefused::NotAllowed => Code::Forbidden.into(),
            RoomRefused::Muted => Code::Muted.into(),
            RoomRefused::Blocked => Code::Blocked.into(),
            RoomRefused::TargetNotAMember => Self::field("user", FieldCode::Malformed, "is not in the room"),
            RoomRefused::TargetIsSelf => Self::field("user", FieldCode::Conflicting, "is yourself"),
            RoomRefused::Full => Code::RoomFull.into(),
            RoomRefused::MessageDeleted => Code::MessageDeleted.into(),
            RoomRefused::NameOutOfRange => Self::field("name", FieldCode::TooLong, "has 1 to 64 characters"),
            RoomRefused::BodyOutOfRange => Self::field("body", FieldCode::TooLong, "has at most 16 KiB of text"),
            RoomRefused::DurationOutOfRange => {
                Self::field("ttlMs", FieldCode::TooLarge, "must be between 1 second and 90 days")
            }
        }
    }
}

impl From<RoomCallError> for Failure {
    fn from(error: RoomCallError) -> Self {
        match error {
            RoomCallError::Refused(refused) => refused.into(),
            RoomCallError::Busy { retry_after } => Self::of(Code::Busy).retry_after(retry_after),
            RoomCallError::Unavailable => Code::RoomUnavailable.into(),
            RoomCallError::ReadOnly => Code::ReadOnly.into(),
            RoomCallError::Unknown => Code::OutcomeUnknown.into(),
        }
    }
}
