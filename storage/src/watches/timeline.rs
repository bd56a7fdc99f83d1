//! What became of one message for one person, step by step.

use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::deliveries::Reason;

/// How far a message came on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The device, if it said its name.
    pub device: Option<DeviceId>,
    /// When it was first sent there.
    pub sent_at: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
    /// When it had arrived, if that was said.
    pub received_at: Option<Timestamp>,
    /// When it was applied.
    pub applied_at: Option<Timestamp>,
    /// When it was given up there, and the number of the [`Reason`].
    pub dead: Option<(Timestamp, u8)>,
}

impl Passage {
    /// Why it was given up, if it was.
    pub fn reason(&self) -> Option<Reason> {
        self.dead.and_then(|(_, number)| Reason::from_number(number))
    }

    /// Adds what another saw of the same message and device: the earliest of each step, the most attempts.
    fn add(&mut self, other: &Self) {
        let earliest = |one: Option<Timestamp>, other: Option<Timestamp>| [one, other].into_iter().flatten().min();
        self.sent_at = self.sent_at.min(other.sent_at);
        self.attempts = self.attempts.max(other.attempts);
        self.received_at = earliest(self.received_at, other.received_at);
        self.applied_at = earliest(self.applied_at, other.applied_at);
        self.dead = [self.dead, other.dead].into_iter().flatten().min();
    }
}

/// A step to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimelineStep {
    /// A device applied it, or gave it up.
    Passed(Passage),
    /// It is dead for the person.
    Dead(Timestamp),
    /// Somebody was told that it is.
    Escalated(Timestamp),
}

/// A step of one message, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineWrite {
    /// For whom.
    pub user: UserId,
    /// Of which stream.
    pub stream: Uuid,
    /// Which message.
    pub offset: u64,
    /// When the step is written down: rows are kept by it.
    pub at: Timestamp,
    /// The step.
    pub step: TimelineStep,
}

/// Some of what is known of a person's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelinePage {
    /// The steps, as they can be put into another store. Those of one message may be on several pages.
    pub steps: Vec<TimelineWrite>,
    /// Where to go on. Nothing at the end. A page may be empty, and not the last.
    pub next: Option<TimelineMark>,
}

/// Where a page of timelines ended, in the order of the store that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineMark {
    /// The day since 1970.
    pub day: u64,
    /// The stream.
    pub stream: Uuid,
    /// The message, or the block of messages.
    pub number: u64,
}

/// What became of one message for one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Each device that has done with it, in the order in which they had.
    pub passages: Vec<Passage>,
    /// When it was dead for the person.
    pub dead_at: Option<Timestamp>,
    /// When somebody was first told that it is.
    pub escalated_at: Option<Timestamp>,
}

/// The most devices that a timeline holds: those of a person, and connections that did not say their name as one.
const PASSAGES_MAX: usize = crate::deliveries::DEVICES_PER_USER_MAX + 1;

impl Timeline {
    /// Adds a step.
    pub fn add(&mut self, step: &TimelineStep) {
        match step {
            TimelineStep::Passed(passage) => self.pass(passage),
            TimelineStep::Dead(at) => self.dead_at = Some(self.dead_at.map_or(*at, |known| known.min(*at))),
            TimelineStep::Escalated(at) => {
                self.escalated_at = Some(self.escalated_at.map_or(*at, |known| known.min(*at)));
            }
        }
    }

    /// Adds all that another knows.
    pub fn join(&mut self, other: &Self) {
        other.passages.iter().for_each(|passage| self.pass(passage));
        other.dead_at.iter().for_each(|at| self.add(&TimelineStep::Dead(*at)));
        other.escalated_at.iter().for_each(|at| self.add(&TimelineStep::Escalated(*at)));
    }

    /// All steps that it is made of.
    pub fn steps(&self) -> impl Iterator<Item = TimelineStep> {
        let passed = self.passages.iter().map(|passage| TimelineStep::Passed(*passage));
        let dead = self.dead_at.map(TimelineStep::Dead);
        passed.chain(dead).chain(self.escalated_at.map(TimelineStep::Escalated))
    }

    fn pass(&mut self, passage: &Passage) {
        if let Some(known) = self.passages.iter_mut().find(|known| known.device == passage.device) {
            known.add(passage);
        } else if self.passages.len() < PASSAGES_MAX {
            self.passages.push(*passage);
        }
    }
}
