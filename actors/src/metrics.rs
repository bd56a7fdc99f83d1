//! The names, units and help texts of the actors' metrics. No literal stands elsewhere.

use domain::delivery::Class;
use domain::ledger::{Answer, Refusal, Request};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::shard::appending::Flight;
use crate::shard::core::Shared;
use crate::shard::tail::Tail;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
}

const fn metric(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help }
}

/// Commands that accounts decided.
pub const COMMANDS: Metric =
    metric("quickpe_ledger_commands_total", "Commands that accounts decided, by kind and outcome.");
/// Commands that a rule refused.
pub const REFUSALS: Metric = metric("quickpe_ledger_refusals_total", "Commands that a rule refused, by reason.");
/// Duration of an append.
pub const APPEND: Metric =
    metric("quickpe_ledger_append_seconds", "Time from offering a record to the journal until it is durable.");
/// Size of a record.
pub const RECORD: Metric = metric("quickpe_ledger_record_bytes", "Payload of a durable record.");
/// Activations.
pub const ACTIVATIONS: Metric = metric("quickpe_ledger_activations_total", "Accounts brought to life.");
/// Restarts.
pub const RESTARTS: Metric =
    metric("quickpe_actor_restarts_total", "Actors that failed and were started again, by kind.");
/// Quarantines.
pub const QUARANTINES: Metric = metric("quickpe_ledger_quarantines_total", "Accounts that were quarantined.");
/// Records read at opening.
pub const REPLAYED: Metric =
    metric("quickpe_ledger_replayed_records_total", "Durable records that were read to open shards.");
/// Their bytes.
pub const REPLAYED_BYTES: Metric =
    metric("quickpe_ledger_replayed_bytes_total", "Payload of the durable records that were read to open shards.");
/// Records projected.
pub const PROJECTED: Metric = metric("quickpe_ledger_projected_records_total", "Durable records applied to the views.");
/// Tail bytes.
pub const TAIL: Metric =
    metric("quickpe_ledger_tail_bytes", "Durable records that the views do not have yet, in bytes, on the whole node.");
/// Tail records.
pub const LAG: Metric =
    metric("quickpe_ledger_projection_lag_records", "Durable records of a shard that the views do not have yet.");
/// Credits under way.
pub const CHANNEL: Metric = metric("quickpe_ledger_channel_credits", "Credits of a shard without an acknowledgement.");
/// Age of the oldest of them.
pub const CHANNEL_AGE: Metric =
    metric("quickpe_ledger_channel_oldest_seconds", "Age of a shard's oldest credit without an acknowledgement.");
/// Live accounts.
pub const LIVE: Metric = metric("quickpe_ledger_accounts_live", "Accounts of a shard that are live or about to be.");
/// Free permits.
pub const PERMITS: Metric = metric("quickpe_ledger_permits_free", "Commands that the node would take at this moment.");
/// Sessions.
pub const SESSIONS: Metric = metric("quickpe_sessions", "Connections that have said hello.");
/// Messages.
pub const MESSAGES: Metric =
    metric("quickpe_messages_sent_total", "Messages put into outboxes for the first time, by class.");
/// Messages sent again.
pub const RETRIES: Metric = metric("quickpe_messages_retried_total", "Messages sent again, by class.");
/// Messages let go.
pub const SHED: Metric =
    metric("quickpe_messages_shed_total", "Messages let go under pressure with a said gap, by class.");
/// Messages applied.
pub const DELIVERED: Metric = metric("quickpe_messages_delivered_total", "Messages that devices applied, by class.");
/// Messages given up.
pub const DEAD: Metric = metric("quickpe_messages_dead_total", "Messages that were dead for a device, by class.");
/// Time to `applied`.
pub const APPLIED: Metric =
    metric("quickpe_message_applied_seconds", "Time from sending a message until it is applied, by class.");
/// Dead letters.
pub const DEAD_LETTERS: Metric = metric("quickpe_dead_letters_total", "What failed for good, by reason.");

/// Messages dead for a person.
pub const OVERDUE: Metric =
    metric("quickpe_messages_overdue_total", "Messages that none of a person's devices applied in time, by class.");
/// Steps of messages that were let go.
pub const TIMELINES_DROPPED: Metric = metric(
    "quickpe_timeline_steps_dropped_total",
    "Steps of messages' timelines that were let go because too many waited to be written.",
);
/// Presence that was not said.
pub const PRESENCE_LOST: Metric = metric(
    "quickpe_presence_lost_total",
    "Changes of who is online that the store was not told of; they are said again or expire.",
);
/// Presence frames.
pub const PRESENCE_FRAMES: Metric =
    metric("quickpe_presence_frames_total", "Frames that told followers of a room who is in it now.");
/// Rooms whose presence is to be told.
pub const PRESENCE_WAITING: Metric =
    metric("quickpe_presence_rooms_waiting", "Rooms in which somebody came or went and whose followers were not told.");

/// Tells the recorder units and help texts.
pub fn describe() {
    for counted in [COMMANDS, REFUSALS, ACTIVATIONS, RESTARTS, QUARANTINES, REPLAYED, PROJECTED, DEAD_LETTERS] {
        describe_counter!(counted.name, Unit::Count, counted.help);
    }
    for counted in
        [MESSAGES, RETRIES, SHED, DELIVERED, DEAD, OVERDUE, TIMELINES_DROPPED, PRESENCE_LOST, PRESENCE_FRAMES]
    {
        describe_counter!(counted.name, Unit::Count, counted.help);
    }
    describe_counter!(REPLAYED_BYTES.name, Unit::Bytes, REPLAYED_BYTES.help);
    describe_histogram!(APPEND.name, Unit::Seconds, APPEND.help);
    describe_histogram!(APPLIED.name, Unit::Seconds, APPLIED.help);
    describe_histogram!(RECORD.name, Unit::Bytes, RECORD.help);
    describe_gauge!(TAIL.name, Unit::Bytes, TAIL.help);
    describe_gauge!(CHANNEL_AGE.name, Unit::Seconds, CHANNEL_AGE.help);
    for level in [LAG, CHANNEL, LIVE, PERMITS, SESSIONS, PRESENCE_WAITING] {
        describe_gauge!(level.name, Unit::Count, level.help);
    }
}

/// A command was decided.
pub(crate) fn decided(request: &Request, answer: &Result<Answer, Refusal>) {
    let outcome = match answer {
        Ok(Answer::Done) => "done",
        Ok(Answer::Unchanged) => "unchanged",
        Ok(Answer::Replayed(_)) => "replayed",
        Err(refusal) => {
            counter!(REFUSALS.name, "reason" => reason(*refusal)).increment(1);
            "refused"
        }
    };
    counter!(COMMANDS.name, "kind" => kind(request), "outcome" => outcome).increment(1);
}

/// A record is durable.
pub(crate) fn appended(flight: &Flight) {
    histogram!(APPEND.name).record(flight.since.elapsed());
    #[allow(clippy::cast_precision_loss, reason = "a size below 2^52")]
    histogram!(RECORD.name).record(flight.bytes() as f64);
}

/// Messages are dead for a person.
pub(crate) fn overdue(class: Class, count: usize) {
    counter!(OVERDUE.name, "class" => class.as_str()).increment(count.try_into().unwrap_or(u64::MAX));
}

/// Steps of timelines were let go.
pub(crate) fn timelines_dropped(count: u64) {
    counter!(TIMELINES_DROPPED.name).increment(count);
}

/// An account came to life.
pub(crate) fn activated() {
    counter!(ACTIVATIONS.name).increment(1);
}

/// An actor failed.
pub(crate) fn restarted(kind: &'static str) {
    counter!(RESTARTS.name, "kind" => kind).increment(1);
}

/// A shard was opened.
pub(crate) fn replayed(tail: &Tail) {
    counter!(REPLAYED.name).increment(tail.len().try_into().unwrap_or(u64::MAX));
    counter!(REPLAYED_BYTES.name).increment(tail.bytes().try_into().unwrap_or(u64::MAX));
}

/// An account was quarantined.
pub(crate) fn quarantined() {
    counter!(QUARANTINES.name).increment(1);
}

/// Records were projected.
pub(crate) fn projected(records: usize) {
    counter!(PROJECTED.name).increment(records.try_into().unwrap_or(u64::MAX));
}

/// Sessions are open.
#[allow(clippy::cast_precision_loss, reason = "a count below 2^52")]
pub(crate) fn sessions(count: usize) {
    gauge!(SESSIONS.name).set(count as f64);
}

/// Changes of who is online were not said.
pub(crate) fn presence_lost(count: usize) {
    counter!(PRESENCE_LOST.name).increment(count.try_into().unwrap_or(u64::MAX));
}

/// Followers of a room were told who is in it.
pub(crate) fn presence_told(frames: usize) {
    counter!(PRESENCE_FRAMES.name).increment(frames.try_into().unwrap_or(u64::MAX));
}

/// So many rooms wait to be told.
#[allow(clippy::cast_precision_loss, reason = "a count below 2^52")]
pub(crate) fn presence_waiting(rooms: usize) {
    gauge!(PRESENCE_WAITING.name).set(rooms as f64);
}

/// The levels of one shard.
#[allow(clippy::cast_precision_loss, reason = "counts below 2^52")]
pub(crate) fn shard(shared: &Shared) {
    let (_, records, _) = shared.tail();
    let (depth, oldest) = shared.channels.lock().depth();
    let live = shared.directory(|directory| directory.len());
    let shard = shared.id.to_string();
    gauge!(LAG.name, "shard" => shard.clone()).set(records as f64);
    gauge!(CHANNEL.name, "shard" => shard.clone()).set(depth as f64);
    gauge!(CHANNEL_AGE.name, "shard" => shard.clone()).set(oldest.as_secs_f64());
    gauge!(LIVE.name, "shard" => shard).set(live as f64);
    gauge!(TAIL.name).set(shared.node.tail_bytes.load(std::sync::atomic::Ordering::Relaxed) as f64);
    gauge!(PERMITS.name).set(shared.node.commands.available_permits() as f64);
}

const fn kind(request: &Request) -> &'static str {
    match request {
        Request::Deposit { .. } => "deposit",
        Request::Withdraw { .. } => "withdraw",
        Request::Transfer { .. } => "transfer",
        Request::Hold { .. } => "hold",
        Request::Capture { .. } => "capture",
        Request::Release { .. } => "release",
        Request::Refund { .. } => "refund",
        Request::Freeze { .. } => "freeze",
        Request::SetLimits { .. } => "limits",
        Request::Close => "close",
        Request::Expire => "expire",
    }
}

const fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::KeyReused => "key_reused",
        Refusal::HoldNotFound => "hold_not_found",
        Refusal::HoldForbidden => "hold_forbidden",
        Refusal::HoldExpired => "hold_expired",
        Refusal::HoldResolved => "hold_resolved",
        Refusal::OriginalNotFound => "original_not_found",
        Refusal::NotRefundable => "not_refundable",
        Refusal::AccountClosed => "account_closed",
        Refusal::AccountFrozen => "account_frozen",
        Refusal::AmountOutOfRange => "amount_out_of_range",
        Refusal::PayeeIsSelf => "payee_is_self",
        Refusal::ExpiryOutOfRange => "expiry_out_of_range",
        Refusal::CaptureExceedsHold => "capture_exceeds_hold",
        Refusal::RefundExceedsOriginal => "refund_exceeds_original",
        Refusal::TransactionLimit => "transaction_limit",
        Refusal::DayLimit => "day_limit",
        Refusal::TooManyHolds => "too_many_holds",
        Refusal::InsufficientFunds => "insufficient_funds",
        Refusal::BalanceLimit => "balance_limit",
        Refusal::NotEmpty => "not_empty",
        Refusal::HasHolds => "has_holds",
        Refusal::HasUnsettled => "has_unsettled",
    }
}
