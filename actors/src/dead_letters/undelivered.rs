//! Dead letters of deliveries: how they grow, how they are resolved, how they are offered again.
//!
//! A letter says where a message is, never what it says. A device has one for each run of messages that it left or
//! refused for one reason; a person has one growing range a stream.

use std::sync::Arc;

use domain::delivery::person::{DevicePlace, first_unapplied};
use domain::delivery::{Cause, Class};
use domain::ids::{DeviceId, UserId};
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::{DeadLetter, DeadLetterId, Deliveries, OPEN_MAX, Reason};
use uuid::Uuid;

use crate::streams::Streams;

/// A message that is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died {
    /// Whom it was for.
    pub user: UserId,
    /// Which of their devices, if it said its name. Nothing as well where it is dead for the person.
    pub device: Option<DeviceId>,
    /// The stream.
    pub stream: Uuid,
    /// How it is delivered.
    pub class: Class,
    /// The first and last offset.
    pub offsets: (u64, u64),
    /// How often it was sent.
    pub attempts: u32,
    /// Why.
    pub reason: Reason,
    /// What the last attempt met, as a code.
    pub last_error: String,
}

/// Messages that a device applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Each that was waited for by itself.
    pub offsets: Vec<u64>,
    /// The device's place before and after, if it moved.
    pub cursor: Option<(u64, u64)>,
}

/// Why a dead letter cannot be offered again.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// There is none of this id.
    #[error("there is no such dead letter")]
    NotFound,
    /// It is not of a delivery, or it is resolved.
    #[error("it is resolved in another way, or was resolved already")]
    NotRedrivable(Box<DeadLetter>),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] Error),
    /// The actor does not answer.
    #[error("dead letters are being started again")]
    Away,
}

/// The reason of a letter for a cause.
pub const fn reason(cause: Cause) -> Reason {
    match cause {
        Cause::Refused => Reason::Refused,
        Cause::Unacknowledged => Reason::Unacknowledged,
    }
}

/// Writes letters of deliveries.
pub(super) struct Undelivered {
    pub(super) deliveries: Arc<dyn Deliveries>,
    pub(super) streams: Arc<Streams>,
}

impl Undelivered {
    /// Writes down that a message is dead: in the letter that tells of it already, in one that it continues, or in a
    /// new one.
    pub(super) async fn keep(&self, died: &Died, at: Timestamp) -> Result<(), Error> {
        let letters = self.deliveries.open_dead_letters(died.user, died.stream).await?;
        let same = |letter: &&DeadLetter| letter.device == died.device && letter.reason == died.reason;
        let (first, last) = died.offsets;
        let told = letters
            .iter()
            .filter(|letter| letter.device == died.device)
            .find(|letter| letter.covers(first) && (letter.reason == died.reason || letter.reason != Reason::Deadline));
        let is_full = letters.len() >= OPEN_MAX;
        let near = |letter: &&DeadLetter| {
            // A person has one letter a stream, whatever lies between.
            died.reason == Reason::Deadline
                || letter.offsets.is_some_and(|(_, end)| end < first && (is_full || end.saturating_add(1) == first))
        };
        let known = told.or_else(|| letters.iter().rev().filter(same).find(near));
        let letter = match known.cloned() {
            Some(letter) => {
                let offsets = letter.offsets.map_or(died.offsets, |(from, to)| (from.min(first), to.max(last)));
                DeadLetter {
                    offsets: Some(offsets),
                    attempts: letter.attempts.max(died.attempts),
                    last_error: died.last_error.clone(),
                    last_at: letter.last_at.max(at),
                    redrive: false,
                    ..letter
                }
            }
            None => new(died, at),
        };
        self.deliveries.put_dead_letter(letter).await?;
        self.streams.mark_dead(died.user, died.stream);
        Ok(())
    }

    /// A device applied messages: letters that tell of them shrink, or are resolved.
    pub(super) async fn applied(
        &self,
        user: UserId,
        device: Option<DeviceId>,
        stream: Uuid,
        applied: &Applied,
        at: Timestamp,
    ) -> Result<(), Error> {
        let letters = self.deliveries.open_dead_letters(user, stream).await?;
        // The device's place passed what it gave up: that is not applied unless it is named.
        let gave_up = letters.iter().filter(|letter| letter.device == device && letter.reason != Reason::Deadline);
        let dead: Vec<_> = gave_up.filter_map(|letter| letter.offsets).collect();
        let mut named = applied.offsets.clone();
        named.sort_unstable();
        for letter in letters {
            let Some((first, last)) = letter.offsets else { continue };
            let is_for_person = letter.reason == Reason::Deadline;
            if !is_for_person && letter.device.is_some() && letter.device != device {
                continue;
            }
            // Where the place stood beyond the letter before, it says nothing new.
            let moved = applied.cursor.filter(|(before, _)| is_for_person && *before < first);
            let upto = moved.map_or(0, |(_, after)| after);
            let place = DevicePlace { upto, also: named.clone(), dead: dead.clone(), counts: false };
            let next = first_unapplied(&[place], first).min(last.saturating_add(1));
            if next == first {
                continue;
            }
            let resolved = next > last;
            let letter = DeadLetter {
                offsets: Some(if resolved { (first, last) } else { (next, last) }),
                resolved_at: resolved.then_some(at),
                redrive: letter.redrive && !resolved,
                last_at: letter.last_at.max(at),
                ..letter
            };
            tracing::debug!(letter = %letter.id, resolved, "a message of a dead letter was applied");
            let again = letter.redrive;
            self.deliveries.put_dead_letter(letter.clone()).await?;
            if again {
                self.streams.offer(&letter, false);
            }
        }
        Ok(())
    }

    /// Offers the messages of a letter again: now to who is connected, to others when they come back.
    pub(super) async fn redrive(&self, id: DeadLetterId, at: Timestamp) -> Result<DeadLetter, RedriveError> {
        let letter = self.deliveries.dead_letter(id).await?.ok_or(RedriveError::NotFound)?;
        if letter.class.is_none() || !letter.is_open() {
            return Err(RedriveError::NotRedrivable(Box::new(letter)));
        }
        let letter = DeadLetter { redrive: true, last_at: letter.last_at.max(at), ..letter };
        self.deliveries.put_dead_letter(letter.clone()).await?;
        self.streams.offer(&letter, true);
        Ok(letter)
    }
}

fn new(died: &Died, at: Timestamp) -> DeadLetter {
    DeadLetter {
        id: id(died, at),
        reason: died.reason,
        class: Some(died.class),
        stream: Some(died.stream),
        user: Some(died.user),
        device: died.device,
        offsets: Some(died.offsets),
        transfer: None,
        attempts: died.attempts,
        last_error: died.last_error.clone(),
        detail: String::new(),
        first_at: at,
        last_at: at,
        redrive: false,
        resolved_at: None,
    }
}

/// A UUIDv7 of the time, whose other bits are a hash of what is dead.
fn id(died: &Died, at: Timestamp) -> DeadLetterId {
    let device = died.device.map_or(Uuid::nil(), |device| device.0);
    let mut name = Vec::with_capacity(33);
    name.extend_from_slice(device.as_bytes());
    name.extend_from_slice(died.user.0.as_bytes());
    name.extend_from_slice(&died.offsets.0.to_be_bytes());
    name.push(died.reason.number());
    let bytes = Uuid::new_v5(&died.stream, &name).into_bytes();
    let mut rest = [0; 10];
    rest.copy_from_slice(bytes.split_at(10).0);
    DeadLetterId(uuid::Builder::from_unix_timestamp_millis(at.millis(), &rest).into_uuid())
}
