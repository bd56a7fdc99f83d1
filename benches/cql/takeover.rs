//! Taking over a shard with many records after its old owner is gone: from a new session to a durable term record.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::ids::ShardId;
use futures_util::{StreamExt, stream};
use storage::journal::{Append, Journal, JournalKey, Record, Space};
use storage_cql::CqlJournal;

use crate::Options;
use crate::appends::Bare;

/// The shard.
const SHARD: u16 = 900;

/// Batches in flight while it is filled.
const FILLING: usize = 8;

/// Records a batch: a part of a segment, and less than what a store takes as one batch.
const BATCH: u64 = 64;

/// Payload of its records.
const BYTES: usize = 400;

/// Prints how long it took, with a journal that nobody left a hint about and with one that its owner left.
pub(crate) async fn table(options: &Options, bare: &Arc<Bare>) {
    let key = JournalKey { space: Space::Ledger, shard: ShardId(SHARD) };
    let begun = Instant::now();
    let mut shard = bare.shards(1, BYTES).pop().unwrap();
    (shard.space, shard.shard) = (i8::try_from(Space::Ledger.number()).unwrap(), SHARD.into());
    // Slots are counted from 1. No batch spans two segments.
    let batches = (0..=options.takeover / BATCH).map(|batch| {
        let (first, end) = (batch * BATCH, (batch + 1) * BATCH);
        shard.fill(first.max(1)..end.min(options.takeover + 1))
    });
    stream::iter(batches).buffer_unordered(FILLING).for_each(|()| std::future::ready(())).await;
    println!("\na shard of {} records was filled in {:.1} s", options.takeover, begun.elapsed().as_secs_f64());
    for hint in ["no hint", "a hint"] {
        let journal = CqlJournal::new(options.connect().await, Space::Ledger);
        let begun = Instant::now();
        let opened = journal.open(key).await.unwrap();
        let found = begun.elapsed();
        let at = opened.at.max(domain::time::Timestamp(opened.last.0)).after(std::time::Duration::from_micros(1));
        let (slot, term) = (opened.last.next(), opened.term + 1);
        let record = Record { key, slot, term, at, previous: opened.hash, payload: Bytes::from_static(b"a new term") };
        let answer = journal.append(opened.generation, record).await.unwrap();
        assert!(matches!(answer, Append::Durable { .. }), "{answer:?}");
        println!(
            "taken over with {hint}: the end found in {:.1} ms, the new term durable after {:.1} ms",
            found.as_secs_f64() * 1e3,
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
}
