//! One look at one person's messages of one stream: what is dead is written down, and when to look again.
//!
//! The order of things is what makes it hold. Connections are told to report their acknowledgements before the look that
//! counts; what is acknowledged between that look and the letter is found by a look after it.

use domain::delivery::Class;
use domain::delivery::person::{DevicePlace, Judged, deadline, first_unapplied, judge};
use domain::ids::UserId;
use domain::time::Timestamp;
use storage::Error;
use storage::deliveries::{DeadLetterId, Reason};
use storage::watches::{FOUND_MAX, Subscriber, TimelineStep, TimelineWrite, Watch};
use uuid::Uuid;

use crate::dead_letters::{Applied, Died};
use crate::deadlines::escalating::SAY_AGAIN;
use crate::deadlines::places::places;
use crate::deadlines::{DeadlinesArgs, Escalation};
use crate::metrics;

/// The most messages that one look finds dead; the others are found by the next, at once.
const PAGE: usize = 256;

/// What a dead letter says of a message that nobody applied in time, and of one that every device gave up.
const LATE: &str = "deadline";
const GIVEN_UP: &str = "given_up_by_every_device";

/// What is left of a watch after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It is to be looked at again.
    Stands(Watch),
    /// All is applied, or dead and said.
    Ended,
    /// Nothing is owed to the person any more: no device of theirs has a place in the stream.
    Forgotten,
}

/// What one reading of the facts came to.
struct Found {
    judged: Judged,
    /// Whether more may be dead than was judged.
    more: bool,
}

impl DeadlinesArgs {
    /// Looks at a watch that is due. `is_said`: an escalation of it is under way.
    pub(super) async fn look_at(
        &self,
        watch: Watch,
        is_said: bool,
        now: Timestamp,
    ) -> Result<(Left, Option<Escalation>), Error> {
        let Subscriber { user, stream, class } = watch.subscriber;
        if watch.epoch != self.streams.epoch() {
            // Its offsets mean nothing any more.
            return Ok((Left::Ended, None));
        }
        let mut places = self.places(user, stream).await?;
        if !places.iter().any(|place| place.counts) {
            return Ok((Left::Forgotten, None));
        }
        let mut found = self.find(&watch, &places, now).await?;
        if !found.judged.dead.is_empty() {
            self.streams.mark_dead(user, stream);
            places = self.places(user, stream).await?;
            found = self.find(&watch, &places, now).await?;
            if let Some(range) = found.judged.dead_range() {
                let given_up = |offset| places.iter().filter(|place| place.counts).all(|place| place.gave_up(offset));
                let why = if given_up(range.0) { GIVEN_UP } else { LATE };
                self.bury(&watch, &found.judged, range, why, now).await?;
            }
        }
        let (dead, deadline_ms) = (found.judged.dead_range(), self.streams.policy(class).deadline_ms);
        // What was applied since it died is said to nobody.
        let before =
            watch.unsaid.map(|(from, to)| (first_unapplied(&places, from), to)).filter(|(from, to)| from <= to);
        let unsaid = match (before, dead) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (one, other) => one.or(other),
        };
        let may_say = watch.escalated_at.map(|at| deadline(at, deadline_ms));
        let says = unsaid.filter(|_| !is_said && may_say.is_none_or(|at| at <= now));
        let say_at = unsaid.map(|_| match may_say {
            Some(at) if !is_said && at > now => at,
            _ => now.after(SAY_AGAIN),
        });
        let judge_at = if found.more { Some(now) } else { found.judged.due };
        let Some(due) = [say_at, judge_at].into_iter().flatten().min() else { return Ok((Left::Ended, None)) };
        let escalation = match says {
            Some(offsets) => {
                let (id, dead_letter) = (escalation_id(user, stream, offsets), self.letter(user, stream).await?);
                Some(Escalation { id, user, stream, class, offsets, dead_letter, at: now })
            }
            None => None,
        };
        let through = found.judged.through;
        let mut known = watch.found.clone();
        known.extend(&found.judged.dead);
        known.retain(|offset| *offset > through);
        // What does not fit is found again, and said again.
        known.truncate(FOUND_MAX);
        Ok((Left::Stands(Watch { through, found: known, due, unsaid, ..watch }), escalation))
    }

    async fn places(&self, user: UserId, stream: Uuid) -> Result<Vec<DevicePlace>, Error> {
        places(&*self.deliveries, &self.streams, user, stream).await
    }

    async fn find(&self, watch: &Watch, places: &[DevicePlace], now: Timestamp) -> Result<Found, Error> {
        let Subscriber { stream, class, .. } = watch.subscriber;
        let first = first_unapplied(places, watch.through.saturating_add(1));
        let done = |through| Found { judged: Judged { through, ..Judged::default() }, more: false };
        let head = self.calendar.head(class, stream).await?;
        if first > head {
            return Ok(done(head.max(watch.through)));
        }
        let messages = self.calendar.times(class, stream, first.saturating_sub(1), PAGE).await?;
        let Some((start, _)) = messages.first() else {
            if class == Class::Money {
                return Err(Error::Unavailable(format!("messages after {first} of {stream} are not to be found")));
            }
            // Retention has taken all of them: there is nothing left to apply.
            return Ok(done(head));
        };
        // What was before the first that is kept is gone as well.
        let through = watch.through.max(start.saturating_sub(1));
        let deadline_ms = self.streams.policy(class).deadline_ms;
        let judged = judge(places, &messages, through, &watch.found, deadline_ms, now);
        let more = messages.len() == PAGE && judged.due.is_none();
        Ok(Found { judged, more })
    }

    /// Writes down that messages are dead for the person, in their one letter of the stream.
    async fn bury(
        &self,
        watch: &Watch,
        judged: &Judged,
        range: (u64, u64),
        why: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Subscriber { user, stream, class } = watch.subscriber;
        let (device, reason, attempts, last_error) = (None, Reason::Deadline, 0, why.to_owned());
        let died = Died { user, device, stream, class, offsets: range, attempts, reason, last_error };
        if !self.dead_letters.died(died).await {
            return Err(Error::Unavailable("a dead letter cannot be written".to_owned()));
        }
        metrics::overdue(class, judged.dead.len());
        let step = TimelineStep::Dead(now);
        let dead = judged.dead.iter().map(|offset| TimelineWrite { user, stream, offset: *offset, at: now, step });
        self.owed.write(dead);
        // An acknowledgement may have come after the look and before the letter.
        let places = self.places(user, stream).await?;
        let applied = |offset: &u64| places.iter().any(|place| place.has_applied(*offset));
        let offsets: Vec<_> = judged.dead.iter().copied().filter(applied).collect();
        if !offsets.is_empty() {
            self.dead_letters.applied(user, None, stream, Applied { offsets, cursor: None });
        }
        Ok(())
    }

    /// The person's one letter of the stream, while it is open.
    async fn letter(&self, user: UserId, stream: Uuid) -> Result<Option<DeadLetterId>, Error> {
        let letters = self.deliveries.open_dead_letters(user, stream).await?;
        let letter = letters.iter().find(|letter| letter.reason == Reason::Deadline && letter.device.is_none());
        Ok(letter.map(|letter| letter.id))
    }
}

/// The same for the same messages: who is told twice can tell.
fn escalation_id(user: UserId, stream: Uuid, offsets: (u64, u64)) -> Uuid {
    let mut name = user.0.as_bytes().to_vec();
    name.extend_from_slice(&offsets.0.to_be_bytes());
    name.extend_from_slice(&offsets.1.to_be_bytes());
    Uuid::new_v5(&stream, &name)
}
