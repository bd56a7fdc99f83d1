//! Why a WebSocket was closed, and what the client does next.

/// A close code of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// Bye.
    Bye = 1000,
    /// The node drains: reconnect.
    Drain = 1001,
    /// The client broke the protocol or a policy: do not retry as before.
    Policy = 1008,
    /// A message over the limit.
    TooLarge = 1009,
    /// This session failed: reconnect and resume.
    Failed = 1012,
    /// Try again later.
    TryLater = 1013,
    /// The token ended: sign in again.
    SignInAgain = 4401,
    /// The session was ended by its user or an administrator.
    Ended = 4403,
    /// Too slow, or silent: reconnect and resume.
    TooSlow = 4408,
    /// Too many sessions of this user; the oldest was closed.
    TooManySessions = 4409,
}

impl CloseCode {
    /// Every close code.
    pub const ALL: [Self; 10] = [
        Self::Bye,
        Self::Drain,
        Self::Policy,
        Self::TooLarge,
        Self::Failed,
        Self::TryLater,
        Self::SignInAgain,
        Self::Ended,
        Self::TooSlow,
        Self::TooManySessions,
    ];

    /// The number in the close frame.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The close code with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|close| close.code() == code)
    }

    /// The reason in the close frame: at most 123 bytes, as RFC 6455 section 5.5 allows.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Drain => "draining, reconnect",
            Self::Policy => "protocol or policy",
            Self::TooLarge => "too large",
            Self::Failed => "session failed, reconnect and resume",
            Self::TryLater => "try again later",
            Self::SignInAgain => "sign in again",
            Self::Ended => "session ended",
            Self::TooSlow => "too slow or silent, reconnect and resume",
            Self::TooManySessions => "too many sessions of this user",
        }
    }

    /// Whether a client should connect again by itself, with what it has.
    pub const fn may_reconnect(self) -> bool {
        matches!(self, Self::Drain | Self::Failed | Self::TryLater | Self::TooSlow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_reasons_fit() {
        for close in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(close.code()), Some(close));
            assert!(close.reason().len() <= 123);
        }
        assert_eq!(CloseCode::from_code(1006), None);
    }
}
