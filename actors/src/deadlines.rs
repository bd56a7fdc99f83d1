//! `Deadlines`: looks after the messages that are owed to persons.
//!
//! Owns watches: whose messages of which stream are not applied, and when to look again. Shards note what they publish
//! in [`Owed`]; every [`ROTATE`] the actor takes what is at least one such time old, passes over what a connection has
//! applied by then, and writes a watch for each person who subscribed and has not. A watch that is due is looked at:
//! every device's place, given-up messages and live connections say what is applied, and a rule of the domain what is
//! dead. One row a person and stream, one timer a node, nothing a message.
//!
//! Nothing is lost with it. Up to which slot of each journal all events were looked at is written together with the
//! watches that came of them; at start the rest of the journals is read. So memory holds a few seconds of streams, and
//! what a watch says is derived again each time from places and dead letters, whatever the actor had seen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::UserId;
use parking_lot::RwLock;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::Error;
use storage::deliveries::Deliveries;
use storage::journal::{JournalKey, Slot};
use storage::watches::{BATCH_MAX, Subscriber, Watch, WatchChange};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::WallClock;
use crate::dead_letters::DeadLetterBox;
use crate::deadlines::calendar::Calendar;
pub use crate::deadlines::escalating::{Escalate, Escalation};
use crate::deadlines::judging::Left;
use crate::deadlines::owed::{Owed, Young};
use crate::streams::Streams;

pub mod calendar;
mod catching_up;
mod escalating;
mod judging;
pub mod owed;
pub mod places;
pub mod publishing;
mod ripening;

/// How often is looked what is due. Deadlines are minutes: half a second more is no harm.
const LOOK: Duration = Duration::from_millis(500);

/// How often what was published is taken. Devices that are there acknowledge well within it, and cursors are written as
/// often.
const ROTATE: Duration = Duration::from_secs(2);

/// The most watches looked at in one turn; more are looked at in the next, at once.
const DUE_MAX: usize = 64;

/// How long a person whose messages cannot be looked at now waits for the next look.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Mail of the actor.
#[derive(Debug)]
pub enum DeadlinesMessage {
    /// Look what is due.
    Look,
    /// An escalation is done with.
    Said {
        /// Which.
        escalation: Box<Escalation>,
        /// Whether anybody was told.
        told: bool,
    },
    /// The node ends: write what waits.
    Close {
        /// When it is written.
        reply: oneshot::Sender<()>,
    },
    /// Fail, as a fault would make it.
    #[cfg(feature = "simulation")]
    Panic,
}

/// The actor, whichever life it is in.
#[derive(Clone, Default)]
pub struct DeadlinesHandle {
    actor: Arc<RwLock<Option<ActorRef<DeadlinesMessage>>>>,
}

impl DeadlinesHandle {
    fn open(&self, actor: ActorRef<DeadlinesMessage>) {
        *self.actor.write() = Some(actor);
    }

    fn cast(&self, message: DeadlinesMessage) {
        if let Some(actor) = &*self.actor.read() {
            // What a dead actor does not hear, its next life derives.
            actor.cast(message).ok();
        }
    }

    /// Writes what waits, as the node ends.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        self.cast(DeadlinesMessage::Close { reply });
        // Without an actor nothing waits that the next start does not find.
        closed.await.ok();
    }

    /// Fails the actor, as a fault would.
    #[cfg(feature = "simulation")]
    pub fn fail(&self) {
        self.cast(DeadlinesMessage::Panic);
    }
}

/// The actor.
pub struct Deadlines;

/// What it is made with.
#[derive(Clone)]
pub struct DeadlinesArgs {
    /// What was published, and the store of watches.
    pub owed: Arc<Owed>,
    /// Places of devices, and dead letters.
    pub deliveries: Arc<dyn Deliveries>,
    /// Live connections, and how classes are delivered.
    pub streams: Arc<Streams>,
    /// Where messages are found.
    pub calendar: Arc<dyn Calendar>,
    /// Where is written what is dead.
    pub dead_letters: DeadLetterBox,
    /// Who else is told.
    pub escalate: Arc<dyn Escalate>,
    /// The wall clock.
    pub clock: Arc<dyn WallClock>,
    /// Where the actor is reached.
    pub handle: DeadlinesHandle,
}

/// What was published in one stretch of time, and the slots up to which that is all.
#[derive(Default)]
struct Stretch {
    young: HashMap<Uuid, Young>,
    noted: Vec<(JournalKey, Slot)>,
}

/// What it has.
pub struct DeadlinesState {
    args: DeadlinesArgs,
    /// The newest stretch; the one before, which is looked at next.
    newest: Stretch,
    ripe: Stretch,
    rotated_at: Instant,
    /// What is written of each journal.
    written: HashMap<JournalKey, Slot>,
    /// Journals to be read, each from its slot on. Nothing until the store has said which.
    behind: Option<VecDeque<(JournalKey, Slot)>>,
    /// Escalations under way.
    saying: HashMap<(UserId, Uuid), Uuid>,
}

impl Actor for Deadlines {
    type Msg = DeadlinesMessage;
    type State = DeadlinesState;
    type Arguments = DeadlinesArgs;

    async fn pre_start(
        &self,
        me: ActorRef<DeadlinesMessage>,
        args: DeadlinesArgs,
    ) -> Result<DeadlinesState, ActorProcessingErr> {
        args.handle.open(me.clone());
        me.cast(DeadlinesMessage::Look)?;
        Ok(DeadlinesState {
            args,
            newest: Stretch::default(),
            ripe: Stretch::default(),
            rotated_at: Instant::now(),
            written: HashMap::new(),
            behind: None,
            saying: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<DeadlinesMessage>,
        message: DeadlinesMessage,
        state: &mut DeadlinesState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DeadlinesMessage::Look => {
                // What a store did not do is done at the next look.
                let more = state.look(&me).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "deadlines cannot be looked at");
                    false
                });
                me.send_after(if more { Duration::ZERO } else { LOOK }, || DeadlinesMessage::Look);
            }
            DeadlinesMessage::Said { escalation, told } => {
                if let Err(error) = state.said(&escalation, told).await {
                    // It is told again: better twice than not at all.
                    tracing::warn!(%error, "what was escalated cannot be written");
                }
            }
            DeadlinesMessage::Close { reply } => {
                state.close().await;
                reply.send(()).ok();
            }
            #[cfg(feature = "simulation")]
            #[allow(clippy::panic, reason = "the fault that is asked for")]
            DeadlinesMessage::Panic => panic!("a fault was put in"),
        }
        Ok(())
    }
}

impl DeadlinesState {
    /// Answers whether there is more to be looked at now.
    async fn look(&mut self, me: &ActorRef<DeadlinesMessage>) -> Result<bool, Error> {
        let more = self.catch_up().await?;
        if self.rotated_at.elapsed() >= ROTATE {
            self.rotated_at = Instant::now();
            self.rotate().await?;
            self.write_steps().await?;
        }
        self.hurry().await?;
        Ok(self.due(me).await? || more)
    }

    /// Takes what was published, and looks at what was taken the time before.
    async fn rotate(&mut self) -> Result<(), Error> {
        // What the store did not take is tried again before more is taken.
        if self.ripe.young.is_empty() {
            let owed = Arc::clone(&self.args.owed);
            self.note_lost();
            // Slots first: of what is said after that, the streams may come along, and do no harm.
            let noted = owed.journals().map(|key| (key, owed.noted(key))).collect();
            let young = owed.take_young();
            self.ripe = std::mem::replace(&mut self.newest, Stretch { young, noted });
        }
        let noted: Vec<_> = (self.ripe.noted.iter().copied()).filter(|(key, slot)| self.is_news(*key, *slot)).collect();
        self.args.ripen(&self.ripe.young, noted.clone()).await?;
        self.written.extend(noted);
        self.ripe = Stretch::default();
        Ok(())
    }

    /// Whether a slot is further than what is written of its journal, which is not being read.
    fn is_news(&self, key: JournalKey, slot: Slot) -> bool {
        let is_read = |(behind, _): &(JournalKey, Slot)| *behind == key;
        let is_behind = self.behind.as_ref().is_none_or(|behind| behind.iter().any(is_read));
        !is_behind && self.written.get(&key).is_none_or(|written| *written < slot)
    }

    /// Looks at devices that gave messages up: their person may have none left.
    async fn hurry(&self) -> Result<(), Error> {
        // From where on a person is to be watched is known when nothing is behind.
        if self.behind.as_ref().is_none_or(|behind| !behind.is_empty()) {
            return Ok(());
        }
        let hurried = self.args.owed.take_hurried();
        if hurried.is_empty() {
            return Ok(());
        }
        let now = self.args.clock.now();
        let known = self.args.watches_of(hurried.iter().map(|(subscriber, _)| *subscriber)).await?;
        let changes = hurried.iter().zip(known).map(|((subscriber, offset), known)| {
            let watch = known.unwrap_or_else(|| {
                // What waits to be watched is watched from here on as well.
                let young = [self.ripe.young.get(&subscriber.stream), self.newest.young.get(&subscriber.stream)];
                let young = young.into_iter().flatten().copied().chain(self.args.owed.young(subscriber.stream));
                let first = young.map(|young| young.first).min().unwrap_or(*offset);
                self.args.new_watch(*subscriber, first.min(*offset), now)
            });
            WatchChange::Put(Watch { due: now, ..watch })
        });
        self.args.owed.watches().change_watches(changes.collect(), Vec::new()).await
    }

    /// Looks at what is due. Answers whether there may be more.
    async fn due(&mut self, me: &ActorRef<DeadlinesMessage>) -> Result<bool, Error> {
        let now = self.args.clock.now();
        let due = self.args.owed.watches().due_watches(now, DUE_MAX).await?;
        let more = due.len() == DUE_MAX;
        let (mut changes, mut escalations) = (Vec::new(), Vec::new());
        for watch in due {
            let Subscriber { user, stream, .. } = watch.subscriber;
            let is_said = self.saying.contains_key(&(user, stream));
            let (left, escalation) = match self.args.look_at(watch.clone(), is_said, now).await {
                Ok(looked) => looked,
                Err(error) => {
                    tracing::warn!(%error, %stream, "a person's messages cannot be looked at");
                    (Left::Stands(Watch { due: now.after(LOOK_AGAIN), ..watch }), None)
                }
            };
            changes.push(match left {
                Left::Stands(watch) => WatchChange::Put(watch),
                Left::Ended => WatchChange::End(user, stream),
                Left::Forgotten => WatchChange::Forget(user, stream),
            });
            escalations.extend(escalation);
        }
        if !changes.is_empty() {
            self.args.owed.watches().change_watches(changes, Vec::new()).await?;
        }
        // Only now: an escalation that the store knows nothing of would be done with before it began.
        for escalation in escalations {
            self.say(me, escalation);
        }
        Ok(more)
    }

    /// Writes what became of messages.
    async fn write_steps(&self) -> Result<(), Error> {
        loop {
            let steps = self.args.owed.take_steps(BATCH_MAX);
            if steps.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.args.owed.watches().put_timelines(steps.clone()).await {
                self.args.owed.write(steps.into_iter());
                return Err(error);
            }
        }
    }

    async fn close(&mut self) {
        // Twice: what is taken at the first is looked at at the second.
        for _ in 0..2 {
            if let Err(error) = self.rotate().await {
                tracing::warn!(%error, "what is owed cannot be written; the next start finds it in the journals");
            }
        }
        if let Err(error) = self.write_steps().await {
            tracing::warn!(%error, "timelines cannot be written");
        }
    }
}
