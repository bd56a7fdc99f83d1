//! Dead letters: what failed for good, and all that is needed to try again.

use std::fmt;
use std::str::FromStr;

use domain::delivery::Class;
use domain::ids::{DeviceId, TransferId, UserId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest text in a dead letter, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;

/// A dead letter. UUIDv7, so ids sort as the letters were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub Uuid);

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeadLetterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// Why something failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A transfer could be given neither to its payee nor back: its money is in suspense.
    Suspense,
    /// An account failed three times in a row and takes no commands.
    Quarantined,
    /// A command could not be served for good.
    Unserved,
    /// A device refused a message for good.
    Refused,
    /// A device left one message unacknowledged through all attempts, and acknowledged later ones.
    Unacknowledged,
    /// None of a person's devices applied a message by its deadline, or every one gave it up.
    Deadline,
    /// Nobody else could be told of messages that a person did not take.
    Escalation,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Suspense,
        Self::Quarantined,
        Self::Unserved,
        Self::Refused,
        Self::Unacknowledged,
        Self::Deadline,
        Self::Escalation,
    ];

    /// The reason's name in answers and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspense => "suspense",
            Self::Quarantined => "quarantined",
            Self::Unserved => "unserved",
            Self::Refused => "refused",
            Self::Unacknowledged => "unacknowledged",
            Self::Deadline => "deadline",
            Self::Escalation => "escalation",
        }
    }

    /// The number of the reason in stored records. Never changes its meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::Suspense => 1,
            Self::Quarantined => 2,
            Self::Unserved => 3,
            Self::Refused => 4,
            Self::Unacknowledged => 5,
            Self::Deadline => 6,
            Self::Escalation => 7,
        }
    }

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.number() == number)
    }
}

/// What failed for good. It says where the message is, never what a person wrote in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// Why.
    pub reason: Reason,
    /// How the stream is delivered, if a delivery failed.
    pub class: Option<Class>,
    /// The stream or account it is about.
    pub stream: Option<Uuid>,
    /// Whom it was for.
    pub user: Option<UserId>,
    /// Which device of theirs.
    pub device: Option<DeviceId>,
    /// The first and last offset in the stream; the same for one message.
    pub offsets: Option<(u64, u64)>,
    /// The transfer.
    pub transfer: Option<TransferId>,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last try met; a code or an error of ours, at most [`TEXT_BYTES_MAX`] bytes.
    pub last_error: String,
    /// What else an operator needs to know; ids and numbers, at most [`TEXT_BYTES_MAX`] bytes.
    pub detail: String,
    /// When it failed first.
    pub first_at: Timestamp,
    /// When it failed last.
    pub last_at: Timestamp,
    /// It is to be offered again when one of the person's devices comes back.
    pub redrive: bool,
    /// When it was resolved; nothing while it is open.
    pub resolved_at: Option<Timestamp>,
}

impl DeadLetter {
    /// Whether nothing was done about it yet.
    pub const fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// Whether it is about the message at `offset` of a stream.
    pub fn covers(&self, offset: u64) -> bool {
        self.offsets.is_some_and(|(first, last)| (first..=last).contains(&offset))
    }
}

/// Which dead letters to list. All that is said must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Those with this reason only.
    pub reason: Option<Reason>,
    /// Those of deliveries of this class only.
    pub class: Option<Class>,
    /// Those for this person only.
    pub user: Option<UserId>,
    /// Those that are open only.
    pub open: bool,
}

impl DeadLetterFilter {
    /// Whether a letter is one of these.
    pub fn passes(&self, letter: &DeadLetter) -> bool {
        self.reason.is_none_or(|reason| letter.reason == reason)
            && self.class.is_none_or(|class| letter.class == Some(class))
            && self.user.is_none_or(|user| letter.user == Some(user))
            && !(self.open && letter.resolved_at.is_some())
    }
}

/// Some dead letters, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where to go on: those before this one. Nothing at the end. A page may be short, or empty, and not the last.
    pub next: Option<DeadLetterId>,
}
