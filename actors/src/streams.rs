//! `Streams`: which local sessions follow which stream.
//!
//! Who owns a stream publishes its durable events; they are encoded once and pushed into the outboxes of all who
//! follow. That goes through the mailbox of an actor ([`publishing`]), because what an event looks like is read from
//! stores. A follower hears the offsets of its stream without a hole: one that
//! is behind is brought up from the stream's [`topic::Source`], at its own pace, and then goes live.
//!
//! Bounds: events of streams that nobody follows are never mailed; a follower's buffer, window and outbox are
//! bounded.

use std::sync::Arc;

use bytes::Bytes;
use domain::delivery::{Ack, Acked, Cause, Class, Nacked, Policy, Progress, REDRIVEN_MAX, Stage};
use domain::ids::UserId;
use storage::deliveries::DeadLetter;
use uuid::Uuid;

use crate::config::DeliveryConfig;
use crate::dead_letters::{self, Applied, DeadLetterBox, Died};
use crate::outbox::Outbox;
use crate::outbox::lane::{At, Offered, Spliced};
use crate::streams::follow::{Follow, Follower};
use crate::streams::pace::Pace;
use crate::streams::stats::Stats;
use crate::streams::table::{Follows, Table};
use crate::streams::topic::Topic;

pub mod account;
pub mod follow;
mod pace;
pub mod publishing;
mod reading;
pub mod room;
pub mod stats;
pub mod sweeper;
mod table;
pub mod topic;

pub(crate) use reading::REPLAY_MAX;

/// Followers that are pushed to in one turn: a thousand pushes are well below a millisecond, so that a stream with
/// many followers holds no core for long.
const PART: usize = 1_000;

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
    config: DeliveryConfig,
    pace: Pace,
    stats: Stats,
    dead_letters: DeadLetterBox,
    /// One life of the store's streams: what clients hold beside offsets.
    epoch: String,
}

impl Streams {
    /// Streams that nobody follows yet. `seed` spreads retries. The metrics recorder must be installed before.
    pub fn new(epoch: String, config: DeliveryConfig, dead_letters: DeadLetterBox, seed: u64) -> Arc<Self> {
        let (table, pace, stats) = (Table::default(), Pace::new(seed), Stats::default());
        Arc::new(Self { table, config, pace, stats, dead_letters, epoch })
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
        let follow = Follow::new(topic, follower, outbox, 0)?;
        self.table.insert(&follow);
        Some(follow)
    }

    /// Does not follow any more.
    pub fn unfollow(&self, follow: &Arc<Follow>) {
        follow.cancel();
        self.table.remove(follow);
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
            self.push(&follows, offset, &message).await;
        }
    }

    /// Pushes a frame that is no message to all who follow a stream, where their outboxes have room: it is neither
    /// kept nor sent again.
    pub fn signal(&self, stream: Uuid, frame: &Bytes) {
        for follow in self.table.of(stream).iter().flat_map(|follows| follows.iter()) {
            follow.signal(frame, self.policy(follow.class()));
        }
    }

    async fn push(self: &Arc<Self>, follows: &Follows, offset: u64, message: &Bytes) {
        let Some(first) = follows.first() else { return };
        let class = first.class();
        let mut at = self.at(class);
        for (number, part) in follows.chunks(PART).enumerate() {
            if number > 0 {
                tokio::task::yield_now().await;
                at.now = self.pace.now();
            }
            let (mut sent, mut shed) = (0, 0);
            for follow in part {
                match follow.push(offset, message, at) {
                    Offered::Sent => sent += 1,
                    Offered::Shed => shed += 1,
                    Offered::Later => {}
                    Offered::Behind => self.bring_up(follow),
                }
            }
            self.stats.sent(class, sent);
            self.stats.shed(class, shed);
        }
    }

    /// Takes a client's acknowledgement.
    pub fn ack(self: &Arc<Self>, follow: &Arc<Follow>, ack: Ack<'_>) -> Progress {
        let class = follow.class();
        let has_dead = follow.has_dead();
        let mut offsets = Vec::new();
        let on = |acked: Acked| {
            self.stats.acked(class, &acked);
            if has_dead && acked.stage == Stage::Applied {
                offsets.push(acked.offset);
            }
        };
        let (progress, resumes) = follow.ack(ack, &self.pace, self.policy(class), on);
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
        let (streams, follow) = (Arc::clone(self), Arc::clone(follow));
        tokio::spawn(async move {
            if streams.dead_letters.died(died).await {
                streams.stats.dead(class);
                follow.pass(offset);
            }
        });
    }

    /// Dead letters tell of messages of this stream: acknowledgements are to be reported.
    pub fn mark_dead(&self, user: UserId, stream: Uuid) {
        for follow in self.table.of(stream).iter().flat_map(|follows| follows.iter()) {
            if follow.follower().user == user {
                follow.mark_dead();
            }
        }
    }

    /// Offers the messages of a dead letter again to who is connected.
    pub fn offer(self: &Arc<Self>, letter: &DeadLetter) {
        let Some(stream) = letter.stream else { return };
        for follow in self.table.of(stream).iter().flat_map(|follows| follows.iter()) {
            self.offer_to(follow, letter);
        }
    }

    /// Offers the messages of a dead letter to one follower, if it is for them: as many as fit, the others when those
    /// are applied.
    pub fn offer_to(self: &Arc<Self>, follow: &Arc<Follow>, letter: &DeadLetter) {
        let Follower { user, device } = follow.follower();
        let is_for_them = letter.user == Some(user) && (letter.device.is_none() || letter.device == device);
        let Some((first, last)) = letter.offsets.filter(|_| is_for_them) else { return };
        follow.mark_dead();
        let attempt = letter.attempts.saturating_add(1);
        let policy = self.policy(follow.class());
        let due: Vec<_> = (first..=last)
            .take(REDRIVEN_MAX)
            .filter(|offset| follow.offer_again(*offset, attempt, &self.pace, policy))
            .map(|offset| (offset, attempt))
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
