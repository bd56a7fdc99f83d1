//! Telling somebody else of messages that a person does not take, through a port.
//!
//! What is to be told stands in the watch until it is done with, so that a restart begins it again. At most one
//! escalation of a person and stream is under way.

use std::time::Duration;

use domain::delivery::Class;
use domain::ids::UserId;
use domain::time::Timestamp;
use ractor::ActorRef;
use storage::Error;
use storage::deliveries::DeadLetterId;
use storage::watches::{TimelineStep, TimelineWrite, Watch, WatchChange};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::deadlines::{DeadlinesMessage, DeadlinesState};

/// How long an escalation that is under way is not begun again. What a sink takes longer for, it keeps at by itself.
pub(super) const SAY_AGAIN: Duration = Duration::from_mins(1);

/// The most messages of one escalation whose timelines say so: the newest.
const ESCALATED_MAX: u64 = 1_024;

/// Messages that are dead for a person, of which somebody else is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The same for the same messages, however often it is told.
    pub id: Uuid,
    /// For whom.
    pub user: UserId,
    /// Of which stream.
    pub stream: Uuid,
    /// How it is delivered.
    pub class: Class,
    /// The first and last message.
    pub offsets: (u64, u64),
    /// The dead letter that tells of them, as far as it is known.
    pub dead_letter: Option<DeadLetterId>,
    /// When it was found.
    pub at: Timestamp,
}

/// Tells somebody else of messages that a person does not take.
pub trait Escalate: Send + Sync + 'static {
    /// Takes it over, unless there is no room. Answers when it is done with: whether anybody was told.
    fn escalate(&self, escalation: Escalation) -> Option<oneshot::Receiver<bool>>;
}

impl DeadlinesState {
    /// Has an escalation told.
    pub(super) fn say(&mut self, me: &ActorRef<DeadlinesMessage>, escalation: Escalation) {
        let Some(done) = self.args.escalate.escalate(escalation.clone()) else {
            tracing::warn!(stream = %escalation.stream, "there is no room for an escalation, which is tried again");
            return;
        };
        self.saying.insert((escalation.user, escalation.stream), escalation.id);
        let me = me.clone();
        tokio::spawn(async move {
            let told = done.await.unwrap_or(false);
            me.cast(DeadlinesMessage::Said { escalation: Box::new(escalation), told }).ok();
        });
    }

    /// An escalation is done with: told, or given up by who should have told it, whose own dead letter says so.
    pub(super) async fn said(&mut self, escalation: &Escalation, told: bool) -> Result<(), Error> {
        let Escalation { user, stream, offsets: (_, last), .. } = *escalation;
        if self.saying.get(&(user, stream)) == Some(&escalation.id) {
            self.saying.remove(&(user, stream));
        }
        let now = self.args.clock.now();
        if told {
            let first = escalation.offsets.0.max(last.saturating_sub(ESCALATED_MAX - 1));
            let step = TimelineStep::Escalated(now);
            self.args.owed.write((first..=last).map(|offset| TimelineWrite { user, stream, offset, at: now, step }));
        }
        let watches = self.args.owed.watches();
        let Some(watch) = watches.watches(vec![(user, stream)]).await?.pop().flatten() else { return Ok(()) };
        let unsaid = watch.unsaid.filter(|(_, to)| *to > last).map(|(from, to)| (from.max(last.saturating_add(1)), to));
        let watch = Watch { unsaid, escalated_at: Some(now), due: now, ..watch };
        watches.change_watches(vec![WatchChange::Put(watch)], Vec::new()).await
    }
}
