//! The limits and times of the actors, each with its unit and its default.

use std::time::Duration;

use domain::delivery::{Class, Policy, PolicyError};
use serde::{Deserialize, Serialize};

/// Limits and times of the ledger's actors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// Commands in flight on the node, from the edge. Beyond it the answer is `busy`.
    pub commands_max: usize,
    /// Commands in flight for one account. Beyond it the answer is `busy`.
    pub commands_per_account_max: u32,
    /// How long a caller waits for the payee's side before a transfer is answered as pending, in ms.
    pub patience_ms: u64,
    /// Credits without an acknowledgement on one channel before new ones are refused.
    pub channel_credits_max: usize,
    /// The age of the oldest unacknowledged credit at which a channel refuses new ones, in ms.
    pub channel_stalled_ms: u64,
    /// When an unacknowledged credit is sent again, in ms.
    pub resend_ms: u64,
    /// How long an account may be idle before its actor goes, in ms.
    pub idle_ms: u64,
    /// Live account actors on the node; the longest idle go first beyond it.
    pub accounts_live_max: usize,
    /// Bytes of durable records a shard may hold that views do not have yet.
    pub tail_bytes_max: usize,
    /// The number of such records.
    pub tail_records_max: usize,
    /// Bytes of such records on the whole node.
    pub tail_bytes_node_max: usize,
    /// Bytes of log that may lie behind a record that views do not have yet: opening reads no more.
    pub tail_log_bytes_max: u64,
    /// How long a durable record may wait for a fuller projection, in ms.
    pub projection_delay_ms: u64,
    /// Bytes of records in one projection.
    pub projection_bytes: usize,
    /// How long a reader waits for views to have its own write, in ms.
    pub read_own_write_ms: u64,
    /// How far a shard's last stamp may lie ahead of the clock when it opens, in ms.
    pub clock_ahead_max_ms: u64,
    /// Open a shard whose stamps are ahead of the clock all the same.
    pub accept_clock: bool,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            commands_max: 16_384,
            commands_per_account_max: 1_024,
            patience_ms: 2_000,
            channel_credits_max: 4_096,
            channel_stalled_ms: 5_000,
            resend_ms: 1_000,
            idle_ms: 60_000,
            accounts_live_max: 131_072,
            tail_bytes_max: 1 << 20,
            tail_records_max: 4_096,
            tail_bytes_node_max: 96 << 20,
            tail_log_bytes_max: 64 << 20,
            projection_delay_ms: 1_000,
            projection_bytes: 128 << 10,
            read_own_write_ms: 500,
            clock_ahead_max_ms: 5_000,
            accept_clock: false,
        }
    }
}

impl LedgerConfig {
    /// [`Self::patience_ms`].
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    /// [`Self::channel_stalled_ms`].
    pub fn channel_stalled(&self) -> Duration {
        Duration::from_millis(self.channel_stalled_ms)
    }

    /// [`Self::resend_ms`].
    pub fn resend(&self) -> Duration {
        Duration::from_millis(self.resend_ms)
    }

    /// [`Self::idle_ms`].
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

/// How messages are delivered, by class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Of streams of money.
    pub money: Policy,
    /// Of notices.
    pub notice: Policy,
    /// Of rooms.
    pub chat: Policy,
    /// Dead letters a minute above which `/health` says `degraded`. Default 60.
    pub dead_letters_per_minute_max: u32,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        let [money, notice, chat] = Class::ALL.map(Policy::of);
        Self { money, notice, chat, dead_letters_per_minute_max: 60 }
    }
}

impl DeliveryConfig {
    /// How streams of the class are delivered.
    pub const fn of(&self, class: Class) -> &Policy {
        match class {
            Class::Money => &self.money,
            Class::Notice => &self.notice,
            Class::Chat => &self.chat,
        }
    }

    /// Checks the ranges of all classes.
    ///
    /// # Errors
    /// The first number that is out of its range, with its class.
    pub fn check(&self) -> Result<(), (Class, PolicyError)> {
        Class::ALL.into_iter().try_for_each(|class| self.of(class).check().map_err(|error| (class, error)))
    }
}

/// How it is told who is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// How long a session counts as connected when its node says nothing more of it, in ms. Default 60,000: a node
    /// that crashed leaves nobody online for longer.
    pub lasts_ms: u64,
    /// How long a session that ended, or left a room, still counts as there, in ms. Default 5,000: a client that lost
    /// its connection is back within that.
    pub debounce_ms: u64,
    /// The least time between two `presence` frames of one room, in ms. Default 1,000.
    pub rooms_every_ms: u64,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self { lasts_ms: 60_000, debounce_ms: 5_000, rooms_every_ms: 1_000 }
    }
}

impl PresenceConfig {
    /// [`Self::lasts_ms`].
    pub const fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }

    /// [`Self::debounce_ms`].
    pub const fn debounce(&self) -> Duration {
        Duration::from_millis(self.debounce_ms)
    }

    /// [`Self::rooms_every_ms`].
    pub const fn rooms_every(&self) -> Duration {
        Duration::from_millis(self.rooms_every_ms)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The key that is out of range, and the range.
    pub const fn check(&self) -> Result<(), (&'static str, &'static str)> {
        // Each session is said again every third of it, by a look every half second.
        if self.lasts_ms < 6_000 || self.lasts_ms > 3_600_000 {
            return Err(("lasts_ms", "6000 to 3600000"));
        }
        if self.debounce_ms > self.lasts_ms {
            return Err(("debounce_ms", "at most lasts_ms"));
        }
        if self.rooms_every_ms < 50 || self.rooms_every_ms > 60_000 {
            return Err(("rooms_every_ms", "50 to 60000"));
        }
        Ok(())
    }
}
