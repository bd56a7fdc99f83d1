//! The names, units and help texts of the metrics of rooms. No literal stands elsewhere.

use domain::room::{RoomAnswer, RoomRefused, RoomRequest};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::metrics::Metric;
use crate::room_shard::appending::Flight;
use crate::room_shard::core::RoomShared;

/// Commands that rooms decided.
pub const COMMANDS: Metric =
    Metric { name: "quickpe_rooms_commands_total", help: "Commands that rooms decided, by kind and outcome." };
/// Duration of an append.
pub const APPEND: Metric = Metric {
    name: "quickpe_rooms_append_seconds",
    help: "Time from offering a record of rooms to the journal until it is durable.",
};
/// Activations.
pub const ACTIVATIONS: Metric = Metric { name: "quickpe_rooms_activations_total", help: "Rooms brought to life." };
/// Quarantines.
pub const QUARANTINES: Metric =
    Metric { name: "quickpe_rooms_quarantines_total", help: "Rooms that were quarantined." };
/// Records projected.
pub const PROJECTED: Metric =
    Metric { name: "quickpe_rooms_projected_records_total", help: "Durable records of rooms applied to the views." };
/// Segments removed.
pub const RETIRED: Metric =
    Metric { name: "quickpe_rooms_segments_removed_total", help: "Segments of the log whose time was over." };
/// Tail bytes.
pub const TAIL: Metric = Metric {
    name: "quickpe_rooms_tail_bytes",
    help: "Durable records of rooms that the views do not have yet, in bytes, on the whole node.",
};
/// Live rooms.
pub const LIVE: Metric = Metric { name: "quickpe_rooms_live", help: "Rooms of a shard that are live or about to be." };

/// Tells the recorder units and help texts.
pub fn describe() {
    for counted in [COMMANDS, ACTIVATIONS, QUARANTINES, PROJECTED, RETIRED] {
        describe_counter!(counted.name, Unit::Count, counted.help);
    }
    describe_histogram!(APPEND.name, Unit::Seconds, APPEND.help);
    describe_gauge!(TAIL.name, Unit::Bytes, TAIL.help);
    describe_gauge!(LIVE.name, Unit::Count, LIVE.help);
}

/// A command was decided.
pub(crate) fn decided(request: &RoomRequest, answer: &Result<RoomAnswer, RoomRefused>) {
    let outcome = match answer {
        Ok(RoomAnswer::Done) => "done",
        Ok(RoomAnswer::Unchanged) => "unchanged",
        Ok(RoomAnswer::Replayed { .. }) => "replayed",
        Err(_) => "refused",
    };
    counter!(COMMANDS.name, "kind" => kind(request), "outcome" => outcome).increment(1);
}

/// A record is durable.
pub(crate) fn appended(flight: &Flight) {
    histogram!(APPEND.name).record(flight.since.elapsed());
}

/// A room came to life.
pub(crate) fn activated() {
    counter!(ACTIVATIONS.name).increment(1);
}

/// A room was quarantined.
pub(crate) fn quarantined() {
    counter!(QUARANTINES.name).increment(1);
}

/// Records were projected.
pub(crate) fn projected(records: usize) {
    counter!(PROJECTED.name).increment(records.try_into().unwrap_or(u64::MAX));
}

/// A segment was removed.
pub(crate) fn retired() {
    counter!(RETIRED.name).increment(1);
}

/// The levels of one shard.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^52")]
pub(crate) fn shard(shared: &RoomShared) {
    let live = shared.directory(|directory| directory.len());
    gauge!(LIVE.name, "shard" => shared.id.to_string()).set(live as f64);
    gauge!(TAIL.name).set(shared.hall.tail_bytes.load(std::sync::atomic::Ordering::Relaxed) as f64);
}

const fn kind(request: &RoomRequest) -> &'static str {
    match request {
        RoomRequest::Create { .. } => "create",
        RoomRequest::Rename { .. } => "rename",
        RoomRequest::Invite { .. } => "invite",
        RoomRequest::Join => "join",
        RoomRequest::Leave => "leave",
        RoomRequest::Kick { .. } => "kick",
        RoomRequest::SetModerator { .. } => "moderator",
        RoomRequest::Mute { .. } => "mute",
        RoomRequest::Unmute { .. } => "unmute",
        RoomRequest::Close => "close",
        RoomRequest::Publish { .. } => "publish",
        RoomRequest::Edit { .. } => "edit",
        RoomRequest::Delete { .. } => "delete",
        RoomRequest::Block => "block",
        RoomRequest::Unblock => "unblock",
    }
}
