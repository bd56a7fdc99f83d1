//! The names, units and meanings of what the stores measure.

use metrics::{Unit, describe_gauge, describe_histogram};

/// Seconds from a batch's offer to the views until reads see it.
pub const VIEWS_APPLY_SECONDS: &str = "quickpe_views_apply_seconds";
/// Rows of one commit of the views.
pub const VIEWS_COMMIT_ROWS: &str = "quickpe_views_commit_rows";
/// Batches that wait for the thread that writes the views.
pub const VIEWS_QUEUE_BATCHES: &str = "quickpe_views_queue_batches";

/// Label: the space of a journal.
pub const SPACE: &str = "space";
/// Seconds from handing a record over until it is durable.
pub const JOURNAL_APPEND_SECONDS: &str = "quickpe_journal_append_seconds";
/// Seconds of one sync of the log.
pub const JOURNAL_FSYNC_SECONDS: &str = "quickpe_journal_fsync_seconds";
/// Bytes of a record's payload.
pub const JOURNAL_RECORD_BYTES: &str = "quickpe_journal_record_bytes";
/// Records of all shards that one sync made durable.
pub const JOURNAL_TICK_RECORDS: &str = "quickpe_journal_tick_records";
/// Bytes of the log.
pub const JOURNAL_LOG_BYTES: &str = "quickpe_journal_log_bytes";

/// Label: the store that a file on redb holds, `identity` or `deliveries`.
pub const STORE: &str = "store";
/// Seconds of one commit of such a store, its syncs included.
pub const STORE_COMMIT_SECONDS: &str = "quickpe_store_commit_seconds";
/// Writes that shared one commit.
pub const STORE_COMMIT_WRITES: &str = "quickpe_store_commit_writes";

/// Tells the recorder the units and meanings.
pub fn describe() {
    describe_histogram!(
        VIEWS_APPLY_SECONDS,
        Unit::Seconds,
        "Seconds from a batch's offer to the views until reads see it"
    );
    describe_histogram!(VIEWS_COMMIT_ROWS, Unit::Count, "Rows of one commit of the views");
    describe_gauge!(VIEWS_QUEUE_BATCHES, Unit::Count, "Batches that wait for the thread that writes the views");
    describe_histogram!(
        JOURNAL_APPEND_SECONDS,
        Unit::Seconds,
        "Seconds from handing a journal record over until it is durable"
    );
    describe_histogram!(JOURNAL_FSYNC_SECONDS, Unit::Seconds, "Seconds of one sync of the journal's log");
    describe_histogram!(JOURNAL_RECORD_BYTES, Unit::Bytes, "Bytes of a journal record's payload");
    describe_histogram!(JOURNAL_TICK_RECORDS, Unit::Count, "Journal records that one sync made durable");
    describe_gauge!(JOURNAL_LOG_BYTES, Unit::Bytes, "Bytes of the journal's log");
    describe_histogram!(STORE_COMMIT_SECONDS, Unit::Seconds, "Seconds of one commit of a mutable store");
    describe_histogram!(STORE_COMMIT_WRITES, Unit::Count, "Writes that shared one commit of a mutable store");
}
