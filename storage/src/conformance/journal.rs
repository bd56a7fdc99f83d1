//! What every adapter of [`Journal`] must pass.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use futures_util::future::join_all;

use crate::Error;
use crate::journal::{
    Append, Generation, Hash, Journal, JournalKey, Opened, PAYLOAD_BYTES_MAX, Place, Record, Slot, Space, StoredRecord,
};

/// Proves the promises of [`Journal`] on one store, which must be empty and have at least 64 shards.
///
/// `open` opens that same store; it is called again after the handle before was dropped.
///
/// # Panics
/// If a promise is broken.
pub async fn journal<F>(open: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Arc<dyn Journal>>,
{
    journal_of(Space::Ledger, open).await
}

/// As [`journal`], of a store of `space`.
///
/// # Panics
/// If a promise is broken.
pub async fn journal_of<F>(space: Space, open: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Arc<dyn Journal>>,
{
    let journal = open().await;
    an_empty_journal(&*journal, space).await?;
    records_read_back(&*journal, space).await?;
    an_older_generation_is_fenced(&*journal, space).await?;
    a_wrong_place_is_fenced(&*journal, space).await?;
    the_same_record_again(&*journal, space).await?;
    opening_waits_for_the_append_in_flight(&*journal, space).await?;
    payloads_of_all_sizes(&*journal, space).await?;
    old_records_are_found(&*journal, space).await?;
    shards_do_not_disturb_each_other(&*journal, space).await?;
    let before = everything(&*journal, space).await?;
    assert!(before.len() > 600, "the suite wrote {} records", before.len());
    drop(journal);

    let journal = open().await;
    assert!(everything(&*journal, space).await? == before, "opening again changes nothing");
    let mut writer = Writer::open(&*journal, space, 1).await?;
    writer.write(b"goes on").await?;
    drop(journal);
    let journal = open().await;
    let after = everything(&*journal, space).await?;
    assert_eq!(after.len(), before.len() + 1, "what was appended after opening again is there");
    Ok(())
}

/// The journal of one shard.
fn key(space: Space, shard: u16) -> JournalKey {
    JournalKey { space, shard: ShardId(shard) }
}

/// A writer of one journal that knows its end.
struct Writer<'a> {
    journal: &'a dyn Journal,
    key: JournalKey,
    opened: Opened,
    hash: Hash,
    next: Slot,
    at: Timestamp,
}

impl<'a> Writer<'a> {
    async fn open(journal: &'a dyn Journal, space: Space, shard: u16) -> Result<Self, Error> {
        let opened = journal.open(key(space, shard)).await?;
        let Opened { last, hash, at, .. } = opened;
        Ok(Self { journal, key: key(space, shard), opened, hash, next: last.next(), at: at.next() })
    }

    /// The record that would be next.
    fn record(&self, payload: &[u8]) -> Record {
        Record {
            key: self.key,
            slot: self.next,
            term: self.opened.term + 1,
            at: self.at,
            previous: self.hash,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    async fn append(&self, record: &Record) -> Result<Append, Error> {
        self.journal.append(self.opened.generation, record.clone()).await
    }

    /// Appends a record, which must become durable.
    async fn write(&mut self, payload: &[u8]) -> Result<StoredRecord, Error> {
        let record = self.record(payload);
        let mut answer = self.append(&record).await?;
        while answer == Append::Unknown {
            answer = self.append(&record).await?;
        }
        let place = durable(answer);
        let hash = record.hash();
        (self.hash, self.next, self.at) = (hash, record.slot.next(), record.at.next());
        Ok(StoredRecord { record, hash, place })
    }
}

/// The place of a record that is durable.
fn durable(answer: Append) -> Place {
    let Append::Durable { place } = answer else {
        assert!(matches!(answer, Append::Durable { .. }), "{answer:?} is not durable");
        return Place::default();
    };
    place
}

/// All records of a shard, read a few bytes at a time.
async fn all(journal: &dyn Journal, space: Space, shard: u16, bytes_max: usize) -> Result<Vec<StoredRecord>, Error> {
    let mut records = Vec::new();
    let mut from = Slot(1);
    loop {
        let batch = journal.read(key(space, shard), from, bytes_max).await?;
        let Some(last) = batch.last() else { return Ok(records) };
        from = last.record.slot.next();
        records.extend(batch);
    }
}

/// All records of all shards, each shard's chain checked.
async fn everything(journal: &dyn Journal, space: Space) -> Result<Vec<StoredRecord>, Error> {
    let mut records = Vec::new();
    for shard in 0..64 {
        let (mut hash, mut slot) = (Hash::default(), Slot(0));
        for stored in all(journal, space, shard, 1 << 20).await? {
            assert_eq!(stored.record.slot, slot.next(), "slots are dense");
            assert_eq!(stored.record.previous, hash, "records are chained");
            assert_eq!(stored.hash, stored.record.hash());
            (hash, slot) = (stored.hash, stored.record.slot);
            records.push(stored);
        }
        let opened = journal.open(key(space, shard)).await?;
        assert_eq!((opened.last, opened.hash), (slot, hash), "opening finds the end");
    }
    Ok(records)
}

async fn an_empty_journal(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let opened = journal.open(key(space, 0)).await?;
    let Opened { last, hash, term, at, .. } = opened;
    assert_eq!((last, hash, term, at), (Slot(0), Hash::default(), 0, Timestamp::EPOCH));
    assert!(journal.read(key(space, 0), Slot(1), 1 << 20).await?.is_empty());
    assert!(journal.has_room());
    Ok(())
}

async fn records_read_back(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let mut writer = Writer::open(journal, space, 1).await?;
    let mut written = Vec::new();
    for number in 0_u8..20 {
        written.push(writer.write(&vec![number; 1 + usize::from(number) * 50]).await?);
    }
    let read = journal.read(key(space, 1), Slot(1), 1 << 20).await?;
    assert_eq!(read, written);
    for (from, slot) in (0..).zip(1..=21) {
        let read = journal.read(key(space, 1), Slot(slot), 1 << 20).await?;
        assert!(Some(&read[..]) == written.get(from..), "reading goes on from any slot");
    }
    assert_eq!(journal.read(key(space, 1), Slot(0), 1 << 20).await?, written, "slot 0 is before the first record");
    assert_eq!(journal.read(key(space, 1), Slot(1), 0).await?.len(), 1, "a read answers at least one record");
    assert_eq!(all(journal, space, 1, 700).await?, written);
    assert!(journal.read(key(space, 1), Slot(1_000_000), 1 << 20).await?.is_empty());
    let opened = journal.open(key(space, 1)).await?;
    let last = written.last().map(|stored| (stored.record.slot, stored.hash, stored.record.term, stored.record.at));
    assert_eq!(Some((opened.last, opened.hash, opened.term, opened.at)), last);
    Ok(())
}

async fn an_older_generation_is_fenced(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let mut old = Writer::open(journal, space, 2).await?;
    old.write(b"old").await?;
    let mut new = Writer::open(journal, space, 2).await?;
    assert!(new.opened.generation > old.opened.generation);
    assert_eq!(old.append(&old.record(b"too late")).await?, Append::Fenced);
    let written = new.write(b"new").await?;
    assert_eq!(old.append(&old.record(b"too late")).await?, Append::Fenced);
    assert_eq!(journal.append(Generation(0), new.record(b"nobody's")).await?, Append::Fenced);
    assert_eq!(journal.read(key(space, 2), Slot(2), 1 << 20).await?, [written], "what is fenced leaves nothing");
    Ok(())
}

async fn a_wrong_place_is_fenced(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let mut writer = Writer::open(journal, space, 3).await?;
    writer.write(b"one").await?;
    let right = writer.record(b"two");
    for slot in [0, 1, 3, u64::MAX] {
        let wrong = Record { slot: Slot(slot), ..right.clone() };
        assert_eq!(writer.append(&wrong).await?, Append::Fenced, "slot {slot}");
    }
    let wrong = Record { previous: Hash([7; 32]), ..right.clone() };
    assert_eq!(writer.append(&wrong).await?, Append::Fenced, "a hash that is not of the record before");
    assert_eq!(all(journal, space, 3, 1 << 20).await?.len(), 1);
    durable(writer.append(&right).await?);
    Ok(())
}

async fn the_same_record_again(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let mut writer = Writer::open(journal, space, 4).await?;
    let written = writer.write(b"once").await?;
    assert_eq!(durable(writer.append(&written.record).await?), written.place, "it is the same record");
    let other = Record { payload: Bytes::from_static(b"other"), ..written.record.clone() };
    assert_eq!(writer.append(&other).await?, Append::Fenced, "its slot is taken");
    assert_eq!(all(journal, space, 4, 1 << 20).await?, [written]);
    // A caller that gives up leaves its record in the journal or not, and may offer it again.
    let record = writer.record(b"given up");
    drop(writer.append(&record));
    let polled = futures_util::future::select(Box::pin(writer.append(&record)), std::future::ready(())).await;
    drop(polled);
    durable(writer.append(&record).await?);
    assert_eq!(all(journal, space, 4, 1 << 20).await?.len(), 2);
    Ok(())
}

async fn opening_waits_for_the_append_in_flight(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    for _ in 0..50 {
        let writer = Writer::open(journal, space, 5).await?;
        let record = writer.record(b"in flight");
        let (answer, opened) = futures_util::future::join(writer.append(&record), journal.open(key(space, 5))).await;
        let (answer, opened) = (answer?, opened?);
        match answer {
            Append::Durable { .. } => assert_eq!((opened.last, opened.hash), (record.slot, record.hash())),
            Append::Fenced => assert_eq!(opened.last, writer.opened.last),
            Append::Unknown => {}
        }
        assert_eq!(writer.append(&writer.record(b"late")).await?, Append::Fenced);
    }
    Ok(())
}

async fn payloads_of_all_sizes(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let mut writer = Writer::open(journal, space, 6).await?;
    let mut written = Vec::new();
    for length in [0, 1, 7, 8, 9, 4000, 70_000, PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX] {
        let payload: Vec<u8> = (0_u8..=250).cycle().take(length).collect();
        written.push(writer.write(&payload).await?);
    }
    let too_large = writer.record(&vec![0; PAYLOAD_BYTES_MAX + 1]);
    assert!(writer.append(&too_large).await.is_err(), "a payload above the limit is refused");
    assert!(all(journal, space, 6, 1).await? == written);
    assert!(all(journal, space, 6, 1 << 20).await? == written);
    Ok(())
}

async fn old_records_are_found(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let mut writer = Writer::open(journal, space, 7).await?;
    let mut neighbour = Writer::open(journal, space, 8).await?;
    let mut written = Vec::new();
    for number in 0_u64..100 {
        let stored = writer.write(&number.to_le_bytes()).await?;
        assert!(written.last().is_none_or(|before: &StoredRecord| before.place < stored.place), "places ascend");
        written.push(stored);
        if number.is_multiple_of(10) {
            neighbour.write(&vec![1; 60_000]).await?;
            journal.projected(key(space, 7), Slot(number));
        }
    }
    journal.projected(key(space, 7), Slot(100));
    assert_eq!(all(journal, space, 7, 1 << 20).await?, written);
    for (from, slot) in (0..).step_by(7).zip((1..=100).step_by(7)) {
        let read = journal.read(key(space, 7), Slot(slot), 100).await?;
        assert!(
            !read.is_empty() && written.get(from..).is_some_and(|rest| rest.starts_with(&read)),
            "from slot {slot}"
        );
    }
    if let [first, .., last] = &written[..] {
        assert!(journal.bytes_behind(first.place) > journal.bytes_behind(last.place));
    }
    Ok(())
}

async fn shards_do_not_disturb_each_other(journal: &dyn Journal, space: Space) -> Result<(), Error> {
    let writers = (16..48).map(|shard| async move {
        let mut writer = Writer::open(journal, space, shard).await?;
        let mut written = Vec::new();
        for number in 0_u8..16 {
            let payload = [&shard.to_le_bytes()[..], &vec![number; usize::from(number) * 37]].concat();
            written.push(writer.write(&payload).await?);
        }
        assert_eq!(all(journal, space, shard, 4096).await?, written);
        Ok::<(), Error>(())
    });
    join_all(writers).await.into_iter().collect()
}
