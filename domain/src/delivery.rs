//! Delivery: when a message is sent again, when it is dead, and how far a device is.
//!
//! Owns the rules of one stream on one connection: [`Window`] holds what was sent and is not acknowledged,
//! [`Redriven`] what is offered again after it was given up, [`Policy`] the numbers of a class; and of one stream and
//! all devices of a person: [`person`]. No clock and no socket: time and randomness are arguments, what is to be done
//! is an answer.

mod in_flight;
pub mod person;
mod policy;
mod redriven;
mod window;

use serde::{Deserialize, Serialize};

pub use in_flight::Cause;
pub use policy::{NACK_AFTER_MAX_MS, Policy, PolicyError, WINDOW_MAX};
pub use redriven::{REDRIVEN_MAX, Redriven};
pub use window::{Ack, Acked, Nacked, Progress, Seen, Swept, Verdict, Window};

/// What kind of stream it is; decides windows, retries and deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// One's own money.
    Money,
    /// One's own notices.
    Notice,
    /// Rooms.
    Chat,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Money, Self::Notice, Self::Chat];

    /// The class as it stands on the wire and in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Notice => "notice",
            Self::Chat => "chat",
        }
    }

    /// The class of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// The number of the class in stored records. Never changes its meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::Money => 1,
            Self::Notice => 2,
            Self::Chat => 3,
        }
    }

    /// The class with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }

    /// Whether each message is acknowledged, sent again and given up by itself. Where not, a client says how far it
    /// is, and what it cannot keep up with is let go with a said gap.
    pub const fn is_tracked(self) -> bool {
        match self {
            Self::Money | Self::Notice => true,
            Self::Chat => false,
        }
    }
}

/// How far a client is with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It arrived: do not send it again on this connection.
    Received,
    /// It is taken in: do not send it again to this device.
    #[default]
    Applied,
}

/// Milliseconds on a clock of this process that only goes forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// This time and `ms` more.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// How long after `earlier` this is; 0 if it is not.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for class in Class::ALL {
            assert_eq!(Class::of(class.as_str()), Some(class));
            assert_eq!(Class::from_number(class.number()), Some(class));
        }
        assert_eq!((Class::of("mail"), Class::from_number(0)), (None, None));
    }
}
