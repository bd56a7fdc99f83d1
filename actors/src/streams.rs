//! `Streams`: which local sessions follow which stream.
//!
//! Who owns a stream publishes its durable events; they are encoded once and pushed into the outboxes of all who
//! follow. That goes through the mailbox of an actor ([`publishing`]), because what an event looks like is read from
//! stores. A follower hears the offsets of its stream without a hole: one that
//! is behind is brought up from the stream's [`topic::Source`], at its own pace, and then goes live.
//!
//! Bounds: events of streams that nobody follows are never mailed; a follower's buffer, window and outbox are
//! bounded.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use domain::delivery::{Ack, Acked, Cause, Class, Nacked, Policy, Progress, REDRIVEN_MAX, Stage};
use domain::ids::{DeviceId, RoomId, UserId};
use domain::time::Timestamp;
use protocol::frame::StreamName;
use storage::deliveries::DeadLetter;
use storage::watches::Subscriber;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::config::DeliveryConfig;
use crate::dead_letters::{self, Applied, DeadLetterBox, Died};
use crate::deadlines::owed::Owed;
use crate::outbox::Outbox;
use crate::outbox::lane::{At, Spliced};
use crate::streams::follow::{Follow, Follower};
use crate::streams::pace::Pace;
use crate::streams::presence::register::Register;
use crate::streams::stats::Stats;
use crate::streams::table::{Follows, Table};
use crate::streams::topic::Topic;
use crate::streams::waiting::Waiting;

pub mod account;
pub mod follow;
mod pace;
pub mod presence;
pub mod publishing;
mod reading;
pub mod room;
pub mod stats;
pub mod sweeper;
mod table;
pub mod topic;
mod waiting;

pub(crate) use reading::REPLAY_MAX;

/// Followers that one task pushes to: each may be a system call of a few microseconds, and no task is to hold a core
/// for more than one or two milliseconds. The parts of a stream with many followers run on all cores.
const PART: usize = 250;

/// Messages that are queued in one turn where nothing is written: well below a millisecond.
const PUSHES_A_TURN: usize = 1_000;

/// The id of a message: its stream and its offset, the same at every delivery.
pub fn message_id(stream: Uuid, offset: u64) -> String {
    format!("{}-{offset}", stream.simple())
}

/// Where the message of this id is.
pub fn read_message_id(id: &str) -> Option<(Uuid, u64)> {
    let (stream, offset) = id.split_once('-')?;
    let place = (Uuid::try_parse(stream).ok()?, offset.parse().ok()?);
    (message_id(place.0, place.1) == id).then_some(place)
}

/// The streams of a node, as their owners and sessions see them.
pub struct Streams {
    table: Table,
    /// Whom the sweeper looks at.
    waiting: Arc<Waiting>,
    config: DeliveryConfig,
    pace: Pace,
    stats: Stats,
    /// Who was told to be in which room.
    presence: Register,
    dead_letters: DeadLetterBox,
    /// Where is said what became of messages that are owed to a person, if somebody looks after them.
    owed: Option<Arc<Owed>>,
    /// One life of the store's streams: what clients hold beside offsets.
    epoch: String,
}

/// How far one connection of a person is with a stream of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePlace {
    /// The device, if it said its name.
    pub device: Option<DeviceId>,
    /// All up to here was acknowledged as applied, or passed as dead; 0 if it acknowledged nothing.
    pub upto: u64,
    /// What was applied beyond it, ascending.
    pub also: Vec<u64>,
}

/// Where a message stands on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePassage {
    /// The device, if it said its name.
    pub device: Option<DeviceId>,
    /// When it was first sent there.
    pub sent_at: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
    /// When it had arrived, if that was said.
    pub received_at: Option<Timestamp>,
}

impl Streams {
    /// Streams that nobody follows yet. `seed` spreads retries. The metrics recorder must be installed before.
    pub fn new(epoch: String, config: DeliveryConfig, dead_letters: DeadLetterBox, seed: u64) -> Arc<Self> {
        Self::with(epoch, config, dead_letters, None, seed)
    }

    /// The same, with somebody who looks after what is owed to persons.
    pub fn with(
        epoch: String,
        config: DeliveryConfig,
        dead_letters: DeadLetterBox,
        owed: Option<Arc<Owed>>,
        seed: u64,
    ) -> Arc<Self> {
        let (table, pace, stats) = (Table::default(), Pace::new(seed), Stats::default());
        let (waiting, presence) = (Arc::default(), Register::default());
        Arc::new(Self { table, waiting, config, pace, stats, presence, dead_letters, owed, epoch })
    }

    /// The epoch of all streams.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// How a class is delivered.
    pub const fn policy(&self, class: Class) -> &Policy {
        self.config.of(class)
    }

    /// What deliveries came to.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many follow a stream.
    pub fn followers(&self) -> usize {
        self.table.len()
    }

    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    const fn table(&self) -> &Table {
        &self.table
    }

    const fn pace(&self) -> &Pace {
        &self.pace
    }

    fn at(&self, class: Class) -> At<'_> {
        let jitter = if class.is_tracked() { self.pace.jitter() } else { 0 };
        At { policy: self.policy(class), now: self.pace.now(), jitter }
    }

    /// Follows from now on; call [`Self::begin`] to begin to hear. Nothing if the connection follows too much.
    pub fn follow(&self, topic: Arc<Topic>, follower: Follower, outbox: Arc<Outbox>) -> Option<Arc<Follow>> {
        let follow = Follow::new(topic, follower, outbox, 0, Arc::clone(&self.waiting))?;
        self.table.insert(&follow);
        self.moved(&follow);
        Some(follow)
    }

    /// Does not follow any more.
    pub fn unfollow(&self, follow: &Arc<Follow>) {
        follow.cancel();
        if self.table.remove(follow) {
            self.moved(follow);
        }
    }

    /// Somebody came to a room, or went. One's own streams are nobody else's to hear of.
    fn moved(&self, follow: &Follow) {
        let topic = follow.topic();
        if matches!(topic.name, StreamName::Room(_)) {
            self.presence.mark(RoomId(topic.stream));
        }
    }

    /// The people who follow a room now, each once.
    fn people_in(&self, room: RoomId) -> BTreeSet<UserId> {
        let follows = self.table.of(room.0);
        follows.iter().flat_map(|follows| follows.iter()).map(|follow| follow.follower().user).collect()
    }

    /// The people who are in a room: those who follow it, and those who followed it a moment ago.
    pub fn people_present(&self, room: RoomId) -> BTreeSet<UserId> {
        self.presence.with_missing(room, self.people_in(room))
    }

    fn followers_of(&self, stream: Uuid) -> usize {
        self.table.of(stream).map_or(0, |follows| follows.len())
    }

    const fn presence(&self) -> &Register {
        &self.presence
    }

    /// The follower may not hear the stream any more, and is told so.
    pub(crate) fn put_out(&self, follow: &Arc<Follow>) {
        follow.say_put_out();
        self.unfollow(follow);
    }

    /// Begins to hear what comes after `after`. `head` is what the stream's source answered after the stream was
    /// followed: a follower that is there already needs no reading.
    pub fn begin(self: &Arc<Self>, follow: &Arc<Follow>, after: u64, head: u64) {
        follow.start_after(after);
        if after < head || follow.splice(self.at(follow.class())) == Spliced::ReadOn {
            self.bring_up(follow);
        }
    }

    /// Brings a follower up, in a task of its own.
    fn bring_up(self: &Arc<Self>, follow: &Arc<Follow>) {
        let (streams, follow) = (Arc::clone(self), Arc::clone(follow));
        tokio::spawn(async move { reading::bring_up(&streams, &follow).await });
    }

    /// Pushes a durable event to all who follow its stream: a frame of [`crate::outbox::frame`] that is shared by all.
    /// Offsets of one stream are published in order; who missed one reads it.
    pub async fn publish(self: &Arc<Self>, stream: Uuid, offset: u64, message: Bytes) {
        if let Some(follows) = self.table.of(stream) {
            self.push(&follows, &[(offset, message)], true).await;
        }
    }

    /// Pushes a frame that is no message to all who follow a stream, where their outboxes have room: it is neither
    /// kept nor sent again. Answers how many follow it.
    pub async fn signal(&self, stream: Uuid, frame: &Bytes) -> usize {
        let Some(follows) = self.table.of(stream) else { return 0 };
        for (number, part) in follows.chunks(PART).enumerate() {
            if number > 0 {
                tokio::task::yield_now().await;
            }
            for follow in part {
                follow.signal(frame, self.policy(follow.class()));
            }
        }
        follows.len()
    }

    /// Pushes messages of one stream, in order. `at_once`: written by whoever pushes where a connection is idle; else
    /// its writer is woken, which takes all that came meanwhile in one batch.
    async fn push(self: &Arc<Self>, follows: &Follows, run: &[(u64, Bytes)], at_once: bool) {
        if at_once && follows.len() > PART {
            return self.push_beside(follows, run).await;
        }
        for part in follows.chunks((PUSHES_A_TURN / run.len().max(1)).max(1)) {
            self.push_part(part, run, at_once);
            if part.len() < follows.len() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Pushes to the parts of many followers beside one another. The next message waits for all parts: each follower
    /// is pushed to in order.
    async fn push_beside(self: &Arc<Self>, follows: &Follows, run: &[(u64, Bytes)]) {
        let run: Arc<[_]> = run.into();
        let mut parts = JoinSet::new();
        for first in (0..follows.len()).step_by(PART) {
            let (streams, follows, run) = (Arc::clone(self), Arc::clone(follows), Arc::clone(&run));
            parts.spawn(async move {
                let last = follows.len().min(first + PART);
                streams.push_part(follows.get(first..last).unwrap_or_default(), &run, true);
            });
        }
        while let Some(part) = parts.join_next().await {
            if let Err(failed) = part
                && let Ok(panic) = failed.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn push_part(self: &Arc<Self>, follows: &[Arc<Follow>], run: &[(u64, Bytes)], at_once: bool) {
        let Some(class) = follows.first().map(|first| first.class()) else { return };
        let at = self.at(class);
        let (mut sent, mut shed) = (0, 0);
        for follow in follows {
            let pushes = follow.push(run, at, at_once);
            sent += pushes.sent;
            shed += pushes.shed;
            if pushes.behind {
                self.bring_up(follow);
            }
        }
        self.stats.sent(class, sent);
        self.stats.shed(class, shed);
    }

    /// Takes a client's acknowledgement.
    pub fn ack(self: &Arc<Self>, follow: &Arc<Follow>, ack: Ack<'_>) -> Progress {
        let class = follow.class();
        let has_dead = follow.has_dead();
        let owed = self.owed.as_ref().filter(|_| follow.topic().is_owed());
        let (mut offsets, mut applied) = (Vec::new(), Vec::new());
        let on = |acked: Acked| {
            self.stats.acked(class, &acked);
            if acked.stage == Stage::Applied {
                if has_dead {
                    offsets.push(acked.offset);
                }
                if owed.is_some() {
                    applied.push(acked);
                }
            }
        };
        let (progress, resumes) = follow.ack(ack, &self.pace, self.policy(class), on);
        if let Some(owed) = owed.filter(|_| !applied.is_empty()) {
            owed.applied(follow.step(), &applied, self.pace.now());
        }
        if !class.is_tracked() {
            self.stats.counted(class, progress.freed.into());
        }
        if has_dead && (!offsets.is_empty() || progress.cursor.is_some()) {
            let Follower { user, device } = follow.follower();
            let applied = Applied { offsets, cursor: progress.cursor };
            self.dead_letters.applied(user, device, follow.topic().stream, applied);
        }
        if resumes {
            self.bring_up(follow);
        }
        progress
    }

    /// Takes a client's refusal; `code` is its word for why.
    pub fn nack(
        self: &Arc<Self>,
        follow: &Arc<Follow>,
        offset: u64,
        after_ms: Option<u64>,
        terminal: bool,
        code: &str,
    ) -> Nacked {
        let (nacked, resumes) = follow.nack(offset, after_ms, terminal, &self.pace, self.policy(follow.class()));
        if let Nacked::Dead { attempts } = nacked {
            self.died(follow, offset, attempts, Cause::Refused, code);
        }
        if resumes {
            self.bring_up(follow);
        }
        nacked
    }

    /// A message is dead for a device: it is written down, and then the device's place passes it. If that fails, the
    /// window says so again.
    fn died(self: &Arc<Self>, follow: &Arc<Follow>, offset: u64, attempts: u32, cause: Cause, code: &str) {
        let Follower { user, device } = follow.follower();
        let (stream, class) = (follow.topic().stream, follow.class());
        let (offsets, reason, last_error) = ((offset, offset), dead_letters::reason(cause), code.to_owned());
        let died = Died { user, device, stream, class, offsets, attempts, reason, last_error };
        // Before it is written: an acknowledgement that crosses with it must reach the letter.
        follow.mark_dead();
        let now = self.pace.now();
        let sent = follow.seen(offset).map_or(now, |seen| seen.sent_at);
        let (streams, follow) = (Arc::clone(self), Arc::clone(follow));
        tokio::spawn(async move {
            if streams.dead_letters.died(died).await {
                streams.stats.dead(class);
                follow.pass(offset);
                if let Some(owed) = streams.owed.as_ref().filter(|_| follow.topic().is_owed()) {
                    owed.gave_up(follow.step(), offset, (owed.time_of(sent, streams.pace.now()), attempts), reason);
                    owed.hurry(Subscriber { user, stream, class }, offset);
                }
            }
        });
    }

    /// Messages of a topic are owed to its owner from now on, whose device follows it: durable when answered.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn subscribe(&self, topic: &Topic) -> Result<(), storage::Error> {
        match (&self.owed, topic.owner) {
            (Some(owed), Some(owner)) if topic.is_owed() => owed.subscribe(owner, topic.stream, topic.class).await,
            _ => Ok(()),
        }
    }

    fn of_owner(&self, user: UserId, stream: Uuid) -> Vec<Arc<Follow>> {
        let follows = self.table.of(stream);
        let is_owners = |follow: &&Arc<Follow>| follow.follower().user == user && follow.topic().is_owed();
        follows.iter().flat_map(|follows| follows.iter()).filter(is_owners).cloned().collect()
    }

    /// How far each connection of a person is with a stream of theirs.
    pub fn places(&self, user: UserId, stream: Uuid) -> Vec<LivePlace> {
        self.of_owner(user, stream).iter().filter_map(Follow::place).collect()
    }

    /// Where a message stands on each connection of a person to which it was sent, and is not done with.
    pub fn passages(&self, user: UserId, stream: Uuid, offset: u64) -> Vec<LivePassage> {
        let (Some(owed), now) = (&self.owed, self.pace.now()) else { return Vec::new() };
        let passage = |follow: &Arc<Follow>| {
            let seen = follow.seen(offset)?;
            Some(LivePassage {
                device: follow.follower().device,
                sent_at: owed.time_of(seen.sent_at, now),
                attempts: seen.attempts,
                received_at: seen.received_at.map(|at| owed.time_of(at, now)),
            })
        };
        self.of_owner(user, stream).iter().filter_map(passage).collect()
    }

    /// Whether nobody needs to look after what was published of a stream up to `last`: it is nobody's own, or a
    /// connection of its owner has applied it.
    pub(crate) fn is_settled(&self, stream: Uuid, last: u64) -> bool {
        let Some(follows) = self.table.of(stream) else { return false };
        follows.iter().any(|follow| !follow.topic().is_owed() || follow.place().is_some_and(|place| place.upto >= last))
    }

    /// Dead letters tell of messages of this stream: acknowledgements are to be reported.
    pub fn mark_dead(&self, user: UserId, stream: Uuid) {
        for follow in self.table.of(stream).iter().flat_map(|follows| follows.iter()) {
            if follow.follower().user == user {
                follow.mark_dead();
            }
        }
    }

    /// Offers the messages of a dead letter to who is connected: those that are not offered already, or all of them
    /// `anew`.
    pub fn offer(self: &Arc<Self>, letter: &DeadLetter, anew: bool) {
        let Some(stream) = letter.stream else { return };
        for follow in self.table.of(stream).iter().flat_map(|follows| follows.iter()) {
            self.offer_to(follow, letter, anew);
        }
    }

    /// Offers the messages of a dead letter to one follower, if it is for them: as many as fit, the others when those
    /// are applied.
    pub fn offer_to(self: &Arc<Self>, follow: &Arc<Follow>, letter: &DeadLetter, anew: bool) {
        let Follower { user, device } = follow.follower();
        let is_for_them = letter.user == Some(user) && (letter.device.is_none() || letter.device == device);
        let Some((first, last)) = letter.offsets.filter(|_| is_for_them) else { return };
        follow.mark_dead();
        // One that was sent to nobody is a repeat as well: it may come behind later ones.
        let attempt = letter.attempts.max(1).saturating_add(1);
        let policy = self.policy(follow.class());
        let due: Vec<_> = (first..=last)
            .take(REDRIVEN_MAX)
            .filter_map(|offset| {
                let attempt = follow.offer_again(offset, attempt, anew, &self.pace, policy)?;
                Some((offset, attempt))
            })
            .collect();
        if due.is_empty() {
            return;
        }
        let (streams, follow) = (Arc::clone(self), Arc::clone(follow));
        tokio::spawn(async move {
            if let Err(error) = reading::resend(&streams, &follow, &due).await {
                // The sweeper comes to them.
                tracing::warn!(%error, stream = %follow.topic().stream, "messages cannot be offered again");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_leads_to_its_place() {
        let stream = Uuid::from_u128(0x8f0e_5f6a_2d0b_4c53_9a41_6e0c_7b1d_35c2);
        assert_eq!(message_id(stream, 17), "8f0e5f6a2d0b4c539a416e0c7b1d35c2-17");
        assert_eq!(read_message_id(&message_id(stream, u64::MAX)), Some((stream, u64::MAX)));
        for wrong in ["", "8f0e5f6a2d0b4c539a416e0c7b1d35c2", "x-1", "8f0e5f6a2d0b4c539a416e0c7b1d35c2-017", "-1"] {
            assert_eq!(read_message_id(wrong), None, "{wrong}");
        }
    }
}
