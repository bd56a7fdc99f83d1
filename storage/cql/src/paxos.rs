//! How much of the store's disks its own record of transactions takes.
//!
//! Apache Cassandra keeps the promises and decisions of each partition in `system.paxos`. With
//! `paxos_state_purging: legacy` they expire; with `repaired` they stay until `nodetool repair --paxos-only` has run. A
//! client sees what each node has on its disk, in whole MiB rounded up; what is still in memory and not yet flushed it
//! does not see. ScyllaDB, which has no such tables for clients, says nothing: its record expires by itself.

use metrics::gauge;

use crate::client::Connection;
use crate::metrics::PAXOS_BYTES;

/// Asks every node of the store, and notes the sum of those that say. Answers it, in bytes; nothing if none does.
pub async fn measure(connection: &Connection) -> Option<u64> {
    let mut sum = None;
    for node in connection.nodes().into_keys() {
        // A virtual table: each node answers for itself alone.
        let asked =
            "SELECT mebibytes FROM system_views.disk_usage WHERE keyspace_name = 'system' AND table_name = 'paxos'";
        let rows = connection.ask::<(Option<i64>,)>(asked.to_owned(), false, Some(node)).await;
        for (mebibytes,) in rows.into_iter().flatten() {
            let bytes = u64::try_from(mebibytes.unwrap_or(0)).unwrap_or(0).saturating_mul(1 << 20);
            sum = Some(sum.unwrap_or(0_u64).saturating_add(bytes));
        }
    }
    if let Some(bytes) = sum {
        #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "whole MiB, a figure to read")]
        gauge!(PAXOS_BYTES).set(bytes as f64);
    }
    sum
}
