//! One account with very many entries, read by pages from both ends and by the numbers of entries.
//!
//! `ENTRIES=1000000` makes it long.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::journal::{Hash, JournalKey, Place, Slot, Space};
use storage::views::{Batch, EventRow, Position, Views};
use storage_cql::CqlViews;
use uuid::Uuid;

use super::server::{self, Timed};

const KEY: JournalKey = JournalKey { space: Space::Ledger, shard: ShardId(203) };

/// Events of one batch.
const BATCH: u64 = 1_000;

/// Entries of one page, as the HTTP API has them at most.
const PAGE: usize = 100;

/// Every third event moves no money.
const fn entries_up_to(offset: u64) -> u64 {
    offset - offset / 3
}

/// The bytes of an event: its offset, and about as much as a transfer's event has.
fn bytes(offset: u64) -> Bytes {
    let mut bytes = vec![0; 180];
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    Bytes::from(bytes)
}

fn batch(stream: Uuid, slot: u64, events: u64) -> Batch {
    let first = (slot - 1) * BATCH + 1;
    let row = |offset| EventRow {
        stream,
        offset,
        entries: entries_up_to(offset),
        place: Place(slot),
        at: 0,
        bytes: bytes(offset),
    };
    let events = (first..=(first + BATCH - 1).min(events)).map(row).collect();
    let position =
        Position { through: Slot(slot), hash: Hash::default(), at: Timestamp(slot), term: 1, state: Bytes::new() };
    Batch { key: KEY, events, checkpoints: Vec::new(), cells: Vec::new(), position }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_account_is_read_by_pages() {
    let _timed = Timed::new("entries");
    let entries: u64 = std::env::var("ENTRIES").map_or(10_000, |entries| entries.parse().unwrap());
    let events = entries * 3 / 2;
    let cql = server::connect().await;
    let views = CqlViews::new(Arc::clone(&cql), Space::Ledger);
    let stream = Uuid::from_u128(0xe17);
    let begun = Instant::now();
    for slot in 1..=events.div_ceil(BATCH) {
        views.apply(batch(stream, slot, events)).await.unwrap();
    }
    eprintln!(
        "{events} events with {} entries written in {:.1} s",
        entries_up_to(events),
        begun.elapsed().as_secs_f64()
    );

    // As another process, which knows of no bucket.
    let views = CqlViews::new(Arc::clone(&cql), Space::Ledger);
    let begun = Instant::now();
    let (mut before, mut expected) = (u64::MAX, events);
    loop {
        let page = views.events_before(stream, before, PAGE).await.unwrap();
        for event in &page {
            assert_eq!((event.offset, &event.bytes), (expected, &bytes(expected)));
            expected -= 1;
        }
        match page.last() {
            Some(last) => before = last.offset,
            None => break,
        }
    }
    assert_eq!(expected, 0, "every event, newest first, once");
    eprintln!("read by pages of {PAGE}, newest first, in {:.1} s", begun.elapsed().as_secs_f64());
    let (mut after, mut count) = (0, 0);
    loop {
        let page = views.events_after(stream, after, 10 * PAGE).await.unwrap();
        let Some(last) = page.last() else { break };
        (after, count) = (last.offset, count + page.len() as u64);
    }
    assert_eq!((after, count), (events, events), "and oldest first");

    // Pages by number, wherever they are: first, last, and at even steps between.
    let last = entries_up_to(events);
    let begun = Instant::now();
    for step in 0..=100 {
        let entry = 1 + (last - 1) * step / 100;
        let offset = views.offset_of_entry(stream, entry).await.unwrap().unwrap();
        assert_eq!(entries_up_to(offset), entry);
        assert!(offset == 1 || entries_up_to(offset - 1) < entry, "the first event that has the entry");
    }
    eprintln!("an entry found by its number in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3 / 101.0);
    assert_eq!(views.offset_of_entry(stream, last + 1).await.unwrap(), None);
}
