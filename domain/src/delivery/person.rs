//! Whether a person has a message: on any of their devices, not yet, or not any more.
//!
//! A message is dead for a person when none of their devices applied it by its deadline, or when every device of
//! theirs gave it up. A device's place that passed a message because it was given up there is no sign that it was
//! applied. Facts and times are arguments; what is to be done is an answer.

use crate::time::Timestamp;

/// How far one device is with the messages of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePlace {
    /// All up to here was applied, but for what was given up.
    pub upto: u64,
    /// Applied beyond that, ascending.
    pub also: Vec<u64>,
    /// Given up for the device: the first and last offset of each run, in any order.
    pub dead: Vec<(u64, u64)>,
    /// Whether the device is one that messages are owed to. A connection that did not say its name may apply a message
    /// for its person, and is owed none.
    pub counts: bool,
}

impl DevicePlace {
    /// Whether the device gave the message up.
    pub fn gave_up(&self, offset: u64) -> bool {
        self.dead.iter().any(|(first, last)| (*first..=*last).contains(&offset))
    }

    /// Whether the device applied the message.
    pub fn has_applied(&self, offset: u64) -> bool {
        self.also.binary_search(&offset).is_ok() || (offset <= self.upto && !self.gave_up(offset))
    }

    /// The end of the run of messages from `offset` on that the device applied, if it applied that one: a lower bound
    /// that is good enough to walk by.
    fn applied_through(&self, offset: u64) -> Option<u64> {
        if !self.has_applied(offset) {
            return None;
        }
        if offset > self.upto || self.gave_up(offset) {
            return Some(offset);
        }
        let next_dead = self.dead.iter().map(|(first, _)| *first).filter(|first| *first > offset).min();
        Some(next_dead.map_or(self.upto, |dead| dead.saturating_sub(1).min(self.upto)))
    }
}

/// The first message from `from` on that no device applied.
pub fn first_unapplied(places: &[DevicePlace], from: u64) -> u64 {
    let mut next = from;
    // Each round passes a run; runs are as many as given-up ranges and single offsets.
    while let Some(through) = places.iter().filter_map(|place| place.applied_through(next)).max() {
        let Some(beyond) = through.checked_add(1) else { return u64::MAX };
        next = beyond;
    }
    next
}

/// Whether every device that messages are owed to gave the message up. Not where there is none.
fn is_dead_everywhere(places: &[DevicePlace], offset: u64) -> bool {
    let mut owed = places.iter().filter(|place| place.counts).peekable();
    owed.peek().is_some() && owed.all(|place| place.gave_up(offset))
}

/// What a look at a person's messages came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Messages that are found dead now, ascending.
    pub dead: Vec<u64>,
    /// All up to here is applied or dead.
    pub through: u64,
    /// When the first that is neither will be dead.
    pub due: Option<Timestamp>,
}

impl Judged {
    /// The first and last message that is dead now.
    pub fn dead_range(&self) -> Option<(u64, u64)> {
        self.dead.first().copied().zip(self.dead.last().copied())
    }
}

/// Looks at messages of a stream: their offsets, ascending, and when each was made. All up to `through` is done with, and
/// so are those in `found`, which were dead before one that is younger in line. A deadline is a time of the message and
/// `deadline_ms`; at that very millisecond it has passed.
pub fn judge(
    places: &[DevicePlace],
    messages: &[(u64, Timestamp)],
    through: u64,
    found: &[u64],
    deadline_ms: u64,
    now: Timestamp,
) -> Judged {
    let mut judged = Judged { through, ..Judged::default() };
    let late = |at: Timestamp| at.millis().saturating_add(deadline_ms) <= now.millis();
    for (offset, at) in messages.iter().filter(|(offset, _)| *offset > through) {
        let is_next = judged.due.is_none();
        let is_done = found.contains(offset) || places.iter().any(|place| place.has_applied(*offset));
        // What comes after one that may still be applied is younger, but may have been given up everywhere.
        let dies = !is_done && ((is_next && late(*at)) || is_dead_everywhere(places, *offset));
        if dies {
            judged.dead.push(*offset);
        }
        if is_next && (is_done || dies) {
            judged.through = *offset;
        } else if is_next {
            judged.due = Some(deadline(*at, deadline_ms));
        }
    }
    judged
}

/// When a message that was made at `at` is dead if nobody applied it.
pub fn deadline(at: Timestamp, deadline_ms: u64) -> Timestamp {
    Timestamp(at.0.saturating_add(deadline_ms.saturating_mul(1_000)))
}
