//! Reads of many rows: order, limits, edges, gaps.

use super::ViewsFixture;
use super::batches::{self, Batches};
use crate::views::{Table, Views};

async fn offsets_after(views: &dyn Views, stream: uuid::Uuid, after: u64, limit: usize) -> Vec<u64> {
    let events = views.events_after(stream, after, limit).await.expect("a read");
    events.into_iter().map(|event| event.offset).collect()
}

async fn offsets_before(views: &dyn Views, stream: uuid::Uuid, before: u64, limit: usize) -> Vec<u64> {
    let events = views.events_before(stream, before, limit).await.expect("a read");
    events.into_iter().map(|event| event.offset).collect()
}

pub(super) async fn events_come_in_order_and_bounded(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    // Three neighbours; offsets of one, two and three bytes.
    let streams = [6, 7, 8].map(batches::id);
    for offset in (1..=300).chain(65_530..=65_540) {
        for stream in streams {
            batches.event(fixture, stream, offset);
        }
    }
    let batch = batches.take();
    views.apply(batch.clone()).await.expect("applied");
    let [_, stream, _] = streams;
    let all: Vec<u64> = (1..=300).chain(65_530..=65_540).collect();
    assert_eq!(offsets_after(&*views, stream, 0, usize::MAX).await, all);
    let backwards: Vec<u64> = all.iter().rev().copied().collect();
    assert_eq!(offsets_before(&*views, stream, u64::MAX, usize::MAX).await, backwards);
    assert_eq!(offsets_after(&*views, stream, 254, 4).await, [255, 256, 257, 258]);
    assert_eq!(offsets_before(&*views, stream, 258, 4).await, [257, 256, 255, 254]);
    assert_eq!(offsets_after(&*views, stream, 65_533, 3).await, [65_534, 65_535, 65_536]);
    let none: [u64; 0] = [];
    assert_eq!(offsets_after(&*views, stream, 65_540, 9).await, none);
    assert_eq!(offsets_after(&*views, stream, u64::MAX, 9).await, none);
    assert_eq!(offsets_after(&*views, stream, 0, 0).await, none);
    assert_eq!(offsets_before(&*views, stream, 0, 9).await, none);
    assert_eq!(offsets_before(&*views, stream, 1, 9).await, none);
    assert_eq!(offsets_before(&*views, stream, u64::MAX, 0).await, none);
    let read = views.events_after(stream, 0, usize::MAX).await.expect("a read");
    let written: Vec<_> = batch.events.into_iter().filter(|event| event.stream == stream).collect();
    assert_eq!(read, batches::stored(&written), "the bytes are the event's own");
}

pub(super) async fn events_may_begin_after_a_gap(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    let stream = batches::id(1);
    // What every store can hold.
    let last = i64::MAX.unsigned_abs();
    for offset in [50, 51, 60, last - 1, last] {
        batches.event(fixture, stream, offset);
    }
    views.apply(batches.take()).await.expect("applied");
    assert_eq!(offsets_after(&*views, stream, 0, 2).await, [50, 51]);
    assert_eq!(offsets_after(&*views, stream, 51, 2).await, [60, last - 1]);
    assert_eq!(offsets_after(&*views, stream, last - 1, 2).await, [last]);
    assert_eq!(offsets_before(&*views, stream, 60, 9).await, [51, 50]);
    assert_eq!(offsets_before(&*views, stream, 50, 9).await, [0; 0]);
    assert_eq!(offsets_before(&*views, stream, last, 1).await, [last - 1]);
    assert_eq!(offsets_before(&*views, stream, u64::MAX, 1).await, [last]);
    assert_eq!(views.offset_of_entry(stream, 20).await.expect("a read"), None, "not projected");
    assert_eq!(views.offset_of_entry(stream, 51).await.expect("a read"), Some(51));
    assert_eq!(views.offset_of_entry(stream, 60).await.expect("a read"), Some(60));
}

pub(super) async fn cells_come_in_order_of_their_bytes(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    let partitions = [3, 4, 5].map(batches::id);
    let mut sorts: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], vec![1], vec![1, 255], vec![2], vec![255; 64]];
    sorts.extend((10..60_u8).map(|number| vec![3, number]));
    // Not in their order, and in two tables whose cells must not mix.
    for sort in sorts.iter().rev() {
        for partition in partitions {
            batches.cell(Table::HoldsOfAccount, partition, sort, &[sort.as_slice(), b"!"].concat());
            batches.cell(Table::Holds, partition, sort, b"of the other table");
        }
    }
    views.apply(batches.take()).await.expect("applied");
    sorts.sort();
    for partition in partitions {
        let expected: Vec<_> =
            sorts.iter().skip(1).map(|sort| (sort.clone(), [sort.as_slice(), b"!"].concat().into())).collect();
        let found = views.cells(Table::HoldsOfAccount, partition, b"", usize::MAX).await.expect("a read");
        assert_eq!(found, expected);
        let mut paged = Vec::new();
        let mut after = Vec::new();
        loop {
            let page = views.cells(Table::HoldsOfAccount, partition, &after, 7).await.expect("a read");
            assert!(page.len() <= 7);
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            paged.extend(page);
        }
        assert_eq!(paged, expected);
        assert_eq!(views.cells(Table::HoldsOfAccount, partition, b"", 0).await.expect("a read"), []);
        assert_eq!(views.cells(Table::HoldsOfAccount, partition, &[255; 64], 9).await.expect("a read"), []);
        assert_eq!(views.cells(Table::HoldsOfAccount, partition, &[255; 99], 9).await.expect("a read"), []);
        assert_eq!(views.cell(Table::HoldsOfAccount, partition, &[255; 65]).await.expect("a read"), None);
        let own = views.cell(Table::HoldsOfAccount, partition, b"").await.expect("a read");
        assert_eq!(own.as_deref(), Some(b"!".as_slice()));
    }
}

pub(super) async fn an_entry_finds_its_event(fixture: &impl ViewsFixture) {
    let views = fixture.open().await;
    let mut batches = Batches::of(0);
    // Event 1 and every fourth have no entry, every ninth has three.
    let stream = batches::id(1);
    let mut entries = 0;
    let mut expected = Vec::new();
    for offset in 1..=200_u64 {
        let more = if offset % 9 == 0 { 3 } else { u64::from(offset % 4 != 1) };
        expected.extend((0..more).map(|_| offset));
        entries += more;
        batches.event_of(fixture, stream, offset, entries, b"event");
    }
    views.apply(batches.take()).await.expect("applied");
    for (entry, offset) in (1..).zip(expected) {
        assert_eq!(views.offset_of_entry(stream, entry).await.expect("a read"), Some(offset), "entry {entry}");
    }
    for absent in [0, entries + 1, u64::MAX] {
        assert_eq!(views.offset_of_entry(stream, absent).await.expect("a read"), None, "entry {absent}");
    }
    let mut batches = batches;
    batches.event_of(fixture, batches::id(2), 1, 0, b"no entry at all");
    batches.event_of(fixture, batches::id(3), 1, 2, b"two at once");
    views.apply(batches.take()).await.expect("applied");
    assert_eq!(views.offset_of_entry(batches::id(2), 1).await.expect("a read"), None);
    assert_eq!(views.offset_of_entry(batches::id(3), 1).await.expect("a read"), Some(1));
    assert_eq!(views.offset_of_entry(batches::id(3), 2).await.expect("a read"), Some(1));
}
