//! What every adapter of [`Views`] must do.

#![allow(clippy::expect_used, reason = "a suite of tests: whoever runs it wants to see the first failure")]

mod batches;
mod model;
mod paging;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use self::batches::{Batches, key};
use crate::journal::{PAYLOAD_BYTES_MAX, Place};
use crate::views::{Cell, Table, Views};

/// A place where one adapter's views can be opened, closed and opened again.
#[async_trait]
pub trait ViewsFixture: Send + Sync {
    /// Opens the views. What was opened before is dropped by then.
    async fn open(&self) -> Arc<dyn Views>;

    /// Says what payload the record at `place` has, for adapters that read events from the journal.
    fn keep(&self, place: Place, payload: Bytes);
}

/// Runs the suite; `make` makes a fixture without any views in it.
pub async fn views<F: ViewsFixture>(make: impl Fn() -> F) {
    nothing_is_there_at_first(&make()).await;
    an_applied_batch_is_seen_and_stays(&make()).await;
    an_older_or_equal_position_changes_nothing(&make()).await;
    the_newest_checkpoint_wins(&make()).await;
    paging::events_come_in_order_and_bounded(&make()).await;
    paging::events_may_begin_after_a_gap(&make()).await;
    paging::cells_come_in_order_of_their_bytes(&make()).await;
    paging::an_entry_finds_its_event(&make()).await;
    what_is_past_a_bound_is_refused_whole(&make()).await;
    big_batches_are_taken(&make()).await;
    shards_do_not_wait_for_one_another(&make()).await;
    for seed in 1..=8 {
        model::the_views_are_what_a_map_would_be(&make(), seed).await;
    }
}

async fn nothing_is_there_at_first(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let id = batches::id(1);
    assert_eq!(views.position(key(0)).await.expect("a read"), None);
    assert_eq!(views.checkpoint(id).await.expect("a read"), None);
    assert_eq!(views.events_after(id, 0, 10).await.expect("a read"), []);
    assert_eq!(views.events_before(id, u64::MAX, 10).await.expect("a read"), []);
    assert_eq!(views.offset_of_entry(id, 1).await.expect("a read"), None);
    assert_eq!(views.cell(Table::Holds, id, b"").await.expect("a read"), None);
    assert_eq!(views.cells(Table::Holds, id, b"", 10).await.expect("a read"), []);
}

async fn an_applied_batch_is_seen_and_stays(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    let stream = batches::id(1);
    batches.event(fixture, stream, 1);
    batches.event(fixture, stream, 2);
    batches.checkpoint(stream, 2, b"two");
    batches.cell(Table::Transfers, stream, b"\x01", b"debit");
    let batch = batches.take();
    views.apply(batch.clone()).await.expect("applied");
    // Twice: as it was written, and as another life of the store finds it.
    let mut views = views;
    for _ in 0..2 {
        assert_eq!(views.position(key(0)).await.expect("a read"), Some(batch.position.clone()));
        assert_eq!(views.position(key(1)).await.expect("a read"), None);
        assert_eq!(views.checkpoint(stream).await.expect("a read").as_ref(), batch.checkpoints.first());
        assert_eq!(views.events_after(stream, 0, 10).await.expect("a read"), batches::stored(&batch.events));
        let cell = views.cell(Table::Transfers, stream, b"\x01").await.expect("a read");
        assert_eq!(cell.as_deref(), Some(b"debit".as_slice()));
        assert_eq!(views.cell(Table::Holds, stream, b"\x01").await.expect("a read"), None, "of another table");
        assert_eq!(views.cell(Table::Transfers, stream, b"").await.expect("a read"), None, "of another sort");
        drop(views);
        views = fixture.open().await;
    }
}

async fn an_older_or_equal_position_changes_nothing(fixture: &impl ViewsFixture) {
    let mut views = fixture.open().await;
    let stream = batches::id(1);
    let mut batches = Batches::of(0);
    batches.checkpoint(stream, 1, b"first");
    let first = batches.take();
    batches.checkpoint(stream, 2, b"second");
    batches.cell(Table::Holds, stream, b"", b"second");
    let second = batches.take();
    views.apply(first.clone()).await.expect("applied");
    views.apply(second.clone()).await.expect("applied");
    let mut other = second.clone();
    other.cells.clear();
    other.cells.push(Cell { table: Table::Holds, partition: stream, sort: vec![], value: Bytes::from_static(b"no") });
    other.position.state = Bytes::from_static(b"no");
    // Twice: the same life of the store knows it, and so does the next.
    for _ in 0..2 {
        views.apply(first.clone()).await.expect("taken without effect");
        views.apply(other.clone()).await.expect("taken without effect");
        assert_eq!(views.position(key(0)).await.expect("a read"), Some(second.position.clone()));
        assert_eq!(views.checkpoint(stream).await.expect("a read").as_ref(), second.checkpoints.first());
        let cell = views.cell(Table::Holds, stream, b"").await.expect("a read");
        assert_eq!(cell.as_deref(), Some(b"second".as_slice()));
        drop(views);
        views = fixture.open().await;
    }
}

async fn the_newest_checkpoint_wins(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    let entity = batches::id(1);
    for head in 1..=20 {
        batches.checkpoint(entity, head, &[b'x'; 150]);
        let batch = batches.take();
        views.apply(batch.clone()).await.expect("applied");
        assert_eq!(views.checkpoint(entity).await.expect("a read").as_ref(), batch.checkpoints.first());
    }
}

async fn what_is_past_a_bound_is_refused_whole(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let id = batches::id(1);
    let mut batches = Batches::of(0);
    batches.cell(Table::Transfers, id, &[7; 64], &vec![1; 4 << 10]);
    views.apply(batches.take()).await.expect("as long as allowed");
    let value = views.cell(Table::Transfers, id, &[7; 64]).await.expect("a read");
    assert_eq!(value.map(|value| value.len()), Some(4 << 10));
    for (sort, value) in [(65, 1), (1, (4 << 10) + 1)] {
        let mut wrong = batches.clone();
        wrong.checkpoint(id, 1, b"no");
        wrong.cell(Table::Transfers, id, &vec![9; sort], &vec![1; value]);
        let wrong = wrong.take();
        let through = wrong.position.through;
        assert!(views.apply(wrong).await.is_err(), "a sort of {sort} bytes, a value of {value}");
        assert_eq!(views.checkpoint(id).await.expect("a read"), None);
        assert!(views.position(key(0)).await.expect("a read").is_none_or(|position| position.through < through));
    }
    batches.checkpoint(id, 1, b"yes");
    views.apply(batches.take()).await.expect("the slot is still free");
    assert!(views.checkpoint(id).await.expect("a read").is_some());
}

async fn big_batches_are_taken(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    for number in 0..20_000_u64 {
        let stream = batches::id(number % 50);
        batches.event(fixture, stream, number / 50 + 1);
        batches.cell(Table::Transfers, batches::id(number), b"\x01", &[1; 40]);
    }
    batches.event_of(fixture, batches::id(99), 1, 1, &vec![3; PAYLOAD_BYTES_MAX]);
    views.apply(batches.take()).await.expect("applied");
    for stream in 0..50 {
        let events = views.events_after(batches::id(stream), 0, 1_000).await.expect("a read");
        assert_eq!(events.len(), 400);
    }
    assert!(views.cell(Table::Transfers, batches::id(19_999), b"\x01").await.expect("a read").is_some());
    let long = views.events_after(batches::id(99), 0, 1).await.expect("a read");
    assert_eq!(long.first().map(|event| event.bytes.len()), Some(PAYLOAD_BYTES_MAX));
}

async fn shards_do_not_wait_for_one_another(fixture: &impl ViewsFixture) {
    const ROUNDS: u64 = 40;
    let views = fixture.open().await;
    let run = async |shard: u16| {
        let mut batches = Batches::of(shard);
        let stream = batches::id(1_000 + u64::from(shard));
        for round in 1..=ROUNDS {
            batches.event(fixture, stream, round);
            batches.checkpoint(stream, round, &round.to_le_bytes());
            let batch = batches.take();
            views.apply(batch.clone()).await.expect("applied");
            let checkpoint = views.checkpoint(stream).await.expect("a read");
            assert_eq!(checkpoint.as_ref(), batch.checkpoints.first(), "one's own writes are seen");
        }
    };
    futures_util::future::join_all((0..4).map(run)).await;
    for shard in 0..4 {
        let position = views.position(key(shard)).await.expect("a read").expect("a position");
        assert_eq!(position.through.0, ROUNDS);
        let stream = batches::id(1_000 + u64::from(shard));
        let events = views.events_after(stream, 0, 1_000).await.expect("a read");
        assert_eq!(events.iter().map(|event| event.offset).collect::<Vec<_>>(), (1..=ROUNDS).collect::<Vec<_>>());
    }
}
