//! The names, units and meanings of what the CQL stores measure.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use scylla::observability::metrics::Metrics;

/// Requests to the store, offers again included; labels [`KIND`] and [`STORE`].
pub const REQUESTS: &str = "quickpe_cql_requests_total";
/// Label: `transaction`, `serial_read`, `read`, `write` or `batch`.
pub const KIND: &str = "kind";
/// Label: whose rows they are: `journal`, `views`, `identity`, `deliveries`, `watches`, `calendar` or `founding`.
pub const STORE: &str = "store";
/// Seconds of one lightweight transaction, its offers again included.
pub const TRANSACTION_SECONDS: &str = "quickpe_cql_transaction_seconds";
/// Lightweight transactions whose outcome an answer left open, so that they were offered again.
pub const TRANSACTIONS_UNKNOWN: &str = "quickpe_cql_transactions_unknown_total";
/// Lightweight transactions that gave way to another on the same rows.
pub const TRANSACTIONS_CONTENDED: &str = "quickpe_cql_transactions_contended_total";
/// Appends that found their slot taken by another writer.
pub const FENCED: &str = "quickpe_cql_fenced_total";
/// Requests that failed.
pub const FAILURES: &str = "quickpe_cql_failures_total";
/// Bytes on the disks of the store that its own record of transactions takes; see [`crate::paxos`].
pub const PAXOS_BYTES: &str = "quickpe_cql_paxos_bytes";

/// Nodes of the store in the data centres that transactions are agreed on in; label [`STATE`]. See [`crate::Pulse`].
pub const NODES: &str = "quickpe_cql_nodes";
/// Label: `up` if a node answers, else `down`.
pub const STATE: &str = "state";
/// 1 if a quorum answered when it was last asked, else 0.
pub const QUORUM: &str = "quickpe_cql_quorum";
/// Seconds until a quorum answered the question whether it does, or was waited for in vain.
pub const PROBE_SECONDS: &str = "quickpe_cql_probe_seconds";

/// Connections of the driver to nodes of the store.
pub const CONNECTIONS: &str = "quickpe_cql_connections";
/// Connections of the driver that were not made in time.
pub const CONNECTION_TIMEOUTS: &str = "quickpe_cql_connection_timeouts_total";
/// Requests of the driver that were not answered in time, each once however often it was sent.
pub const REQUEST_TIMEOUTS: &str = "quickpe_cql_request_timeouts_total";
/// Times that the driver itself sent a reading or a plain write again; lightweight transactions it never does.
pub const RETRIES: &str = "quickpe_cql_retries_total";

/// Tells the recorder what the driver counts.
pub(crate) fn record_driver(driver: &Metrics) {
    #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "connections, some tens")]
    gauge!(CONNECTIONS).set(driver.get_total_connections() as f64);
    counter!(CONNECTION_TIMEOUTS).absolute(driver.get_connection_timeouts());
    counter!(REQUEST_TIMEOUTS).absolute(driver.get_request_timeouts());
    counter!(RETRIES).absolute(driver.get_retries_num());
}

/// Tells the recorder the units and meanings.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests to the CQL store, by kind and store");
    describe_histogram!(
        TRANSACTION_SECONDS,
        Unit::Seconds,
        "Seconds of a lightweight transaction, offers again included"
    );
    describe_counter!(
        TRANSACTIONS_UNKNOWN,
        Unit::Count,
        "Lightweight transactions offered again because their outcome was unknown"
    );
    describe_counter!(
        TRANSACTIONS_CONTENDED,
        Unit::Count,
        "Lightweight transactions that gave way to another on the same rows"
    );
    describe_counter!(FENCED, Unit::Count, "Appends whose slot another writer had");
    describe_counter!(FAILURES, Unit::Count, "Requests to the CQL store that failed");
    describe_gauge!(
        PAXOS_BYTES,
        Unit::Bytes,
        "Disk taken by Apache Cassandra's record of transactions on all nodes that say so, in whole MiB"
    );
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections to nodes of the CQL store");
    describe_counter!(CONNECTION_TIMEOUTS, Unit::Count, "Connections to nodes of the CQL store not made in time");
    describe_counter!(REQUEST_TIMEOUTS, Unit::Count, "Requests to the CQL store not answered in time");
    describe_counter!(RETRIES, Unit::Count, "Readings and plain writes that the driver sent to the CQL store again");
    describe_gauge!(NODES, Unit::Count, "Nodes of the CQL store that are up and that are down");
    describe_gauge!(QUORUM, Unit::Count, "Whether a quorum of the CQL store answered when it was last asked: 1 or 0");
    describe_histogram!(
        PROBE_SECONDS,
        Unit::Seconds,
        "Seconds until a quorum of the CQL store answered whether it does, or was given up"
    );
}
