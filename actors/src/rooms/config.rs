//! The limits and times of rooms, each with its unit and its default.

use std::time::Duration;

use domain::room::RoomKind;
use serde::{Deserialize, Serialize};

/// Limits and times of the actors of rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomsConfig {
    /// Commands in flight on the node, from the edge. Beyond it the answer is `busy`.
    pub commands_max: usize,
    /// Commands in flight for one room. Beyond it the answer is `busy`.
    pub commands_per_room_max: u32,
    /// How long a room may be idle before its actor goes, in ms.
    pub idle_ms: u64,
    /// Live room actors on the node; the longest idle go first beyond it.
    pub rooms_live_max: usize,
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
    /// Bytes of records that are projected without waiting.
    pub projection_bytes: usize,
    /// How far a shard's last stamp may lie ahead of the clock when it opens, in ms.
    pub clock_ahead_max_ms: u64,
    /// Open a shard whose stamps are ahead of the clock all the same.
    pub accept_clock: bool,
    /// How long messages are kept.
    pub retention: RetentionConfig,
}

/// How long messages are kept, by the kind of their room. What is older is not shown; the log lets go
/// of what is older than the longest of them, and of the oldest beyond its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// A person's own notices, in days.
    pub user_days: u64,
    /// Groups and rooms of two, in days.
    pub people_days: u64,
    /// Roles, regions and broadcasts, in days.
    pub server_days: u64,
    /// The log's size, in bytes, beyond which the oldest goes whatever its age.
    pub log_bytes_max: u64,
    /// How often it is looked at, in ms.
    pub every_ms: u64,
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            commands_max: 16_384,
            commands_per_room_max: 4_096,
            idle_ms: 60_000,
            rooms_live_max: 65_536,
            tail_bytes_max: 1 << 20,
            tail_records_max: 4_096,
            tail_bytes_node_max: 48 << 20,
            tail_log_bytes_max: 64 << 20,
            projection_delay_ms: 200,
            projection_bytes: 128 << 10,
            clock_ahead_max_ms: 5_000,
            accept_clock: false,
            retention: RetentionConfig::default(),
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { user_days: 90, people_days: 365, server_days: 30, log_bytes_max: 16 << 30, every_ms: 60_000 }
    }
}

impl RoomsConfig {
    /// [`Self::idle_ms`].
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

impl RetentionConfig {
    /// How long messages of a room of this kind are kept.
    pub fn age(&self, kind: &RoomKind) -> Duration {
        days(match kind {
            RoomKind::User(_) => self.user_days,
            RoomKind::Group | RoomKind::Direct(..) => self.people_days,
            RoomKind::Role(_) | RoomKind::Region(_) | RoomKind::Broadcast => self.server_days,
        })
    }

    /// How long the log is kept.
    pub fn age_max(&self) -> Duration {
        days(self.user_days.max(self.people_days).max(self.server_days))
    }

    /// [`Self::every_ms`].
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms.max(1))
    }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(86_400))
}
