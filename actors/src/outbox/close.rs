//! Why a connection ends, as the client hears it.

/// The close codes of `docs/protocol.md`, and those RFC 6455 prescribes for a client that breaks its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// Good-bye, usually the answer to the client's own.
    Bye = 1000,
    /// The node drains: reconnect.
    Drain = 1001,
    /// The client broke the framing rules of RFC 6455.
    ProtocolError = 1002,
    /// A kind of message that is not spoken here: binary.
    Unsupported = 1003,
    /// A text message that is not UTF-8.
    InvalidText = 1007,
    /// Against the protocol or a policy: do not retry as before.
    Policy = 1008,
    /// A message above the bound.
    TooLarge = 1009,
    /// This session failed: reconnect and resume.
    SessionFailed = 1012,
    /// The node cannot serve this now.
    TryAgainLater = 1013,
    /// The token is missing, bad or has ended: sign in again.
    SignInAgain = 4401,
    /// The session was ended by the user or an administrator.
    Ended = 4403,
    /// Too slow or silent: reconnect and resume.
    TooSlow = 4408,
    /// Too many sessions of this user: the oldest is closed.
    TooManySessions = 4409,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::Bye,
        Self::Drain,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidText,
        Self::Policy,
        Self::TooLarge,
        Self::SessionFailed,
        Self::TryAgainLater,
        Self::SignInAgain,
        Self::Ended,
        Self::TooSlow,
        Self::TooManySessions,
    ];

    /// The number that goes over the wire.
    #[expect(clippy::as_conversions, reason = "the discriminant of a `repr(u16)` enum")]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// A short stable name, for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Drain => "drain",
            Self::ProtocolError => "protocol_error",
            Self::Unsupported => "unsupported",
            Self::InvalidText => "invalid_text",
            Self::Policy => "policy",
            Self::TooLarge => "too_large",
            Self::SessionFailed => "session_failed",
            Self::TryAgainLater => "try_again_later",
            Self::SignInAgain => "sign_in_again",
            Self::Ended => "ended",
            Self::TooSlow => "too_slow",
            Self::TooManySessions => "too_many_sessions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(code.number()), Some(code));
        }
        assert_eq!(CloseCode::from_number(1006), None);
    }
}
