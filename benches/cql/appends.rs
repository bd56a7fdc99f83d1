//! One append at a time in each of so many shards: by the journal, and by the bare driver beside it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use storage::journal::{Append, Generation, Hash, Journal, JournalKey, Record, Slot, Space};
use storage_cql::{CqlConfig, CqlJournal, SEGMENT_SLOTS};
use uuid::Uuid;

use crate::Options;
use crate::figures::{Figures, Step};

/// The space that bare appends are made in: none of the node's own.
const BARE_SPACE: i8 = 100;

/// The first shard of the appends of each cell of the table; each has shards of its own.
const FIRST_SHARD: u16 = 1_000;

/// The driver with the one statement of an append.
pub(crate) struct Bare {
    session: Session,
    append: PreparedStatement,
    /// The same without a condition, to fill a journal quickly.
    fill: PreparedStatement,
    used: std::sync::atomic::AtomicI32,
}

impl Bare {
    pub(crate) async fn connect(config: &CqlConfig) -> Arc<Self> {
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .serial_consistency(Some(SerialConsistency::LocalSerial))
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .build();
        let session = SessionBuilder::new()
            .known_nodes(&config.nodes)
            .default_execution_profile_handle(profile.into_handle())
            .build()
            .await
            .unwrap();
        let text = "INSERT INTO quickpe_bench.journal \
                    (space, shard, segment, slot, term, writer, at, previous, hash, total, payload) \
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let append = session.prepare(format!("{text} IF NOT EXISTS")).await.unwrap();
        let fill = session.prepare(text).await.unwrap();
        Arc::new(Self { session, append, fill, used: 0.into() })
    }

    /// So many shards that nobody wrote to.
    pub(crate) fn shards(self: &Arc<Self>, count: usize, bytes: usize) -> Vec<BareShard> {
        let shard = || BareShard {
            bare: Arc::clone(self),
            space: BARE_SPACE,
            shard: self.used.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            slot: 0,
            payload: vec![7; bytes],
        };
        (0..count).map(|_| shard()).collect()
    }
}

/// One shard of bare appends.
pub(crate) struct BareShard {
    bare: Arc<Bare>,
    pub(crate) space: i8,
    pub(crate) shard: i32,
    slot: u64,
    pub(crate) payload: Vec<u8>,
}

/// Space, shard, segment, slot, term, writer, time, previous hash, hash, total, payload.
type Row<'a> = (i8, i32, i64, i64, i64, Uuid, i64, &'a [u8], &'a [u8], i64, &'a [u8]);

impl BareShard {
    fn row(&self, slot: u64) -> Row<'_> {
        let (segment, number) = (i64::try_from(slot / SEGMENT_SLOTS).unwrap(), i64::try_from(slot).unwrap());
        let hash = &[3; 32][..];
        (self.space, self.shard, segment, number, 1, Uuid::nil(), number, hash, hash, number, &self.payload)
    }

    /// Writes records of one segment that nothing decides.
    pub(crate) async fn fill(&self, slots: Range<u64>) {
        let mut batch = Batch::new(BatchType::Unlogged);
        let rows: Vec<Row<'_>> = slots.map(|slot| self.row(slot)).collect();
        for _ in &rows {
            batch.append_statement(self.bare.fill.clone());
        }
        self.bare.session.batch(&batch, rows).await.unwrap();
    }
}

impl Step for BareShard {
    async fn step(&mut self) -> bool {
        self.slot += 1;
        self.bare.session.execute_unpaged(&self.bare.append, self.row(self.slot)).await.unwrap();
        true
    }
}

/// One shard of the journal, with its writer.
struct Writer {
    journal: Arc<CqlJournal>,
    key: JournalKey,
    generation: Generation,
    end: (Slot, Hash),
    payload: Bytes,
}

impl Step for Writer {
    async fn step(&mut self) -> bool {
        let slot = self.end.0.next();
        let (previous, payload) = (self.end.1, self.payload.clone());
        let record = Record { key: self.key, slot, term: 1, at: Timestamp(slot.0), previous, payload };
        let hash = record.hash();
        while !matches!(self.journal.append(self.generation, record.clone()).await, Ok(Append::Durable { .. })) {}
        self.end = (slot, hash);
        true
    }
}

/// Prints a row for each size of record and number of shards.
pub(crate) async fn table(options: &Options, bare: &Arc<Bare>) {
    println!("\n| append | shards | journal, p50 / p99 | | bare driver, p50 / p99 | | of bare |");
    println!("|---|---|---|---|---|---|---|");
    let journal = Arc::new(CqlJournal::new(options.connect().await, Space::Ledger));
    let mut next = FIRST_SHARD;
    for kib in [1_usize, 16, 256] {
        for shards in [1_u16, 16, 64] {
            let bytes = kib << 10;
            let mut writers = Vec::new();
            for shard in next..next + shards {
                let key = JournalKey { space: Space::Ledger, shard: ShardId(shard) };
                let opened = journal.open(key).await.unwrap();
                let (generation, end) = (opened.generation, (opened.last, opened.hash));
                let payload = Bytes::from(vec![7; bytes]);
                writers.push(Writer { journal: Arc::clone(&journal), key, generation, end, payload });
            }
            next += shards;
            let ours = Figures::of(writers, options.length).await;
            let theirs = Figures::of(bare.shards(shards.into(), bytes), options.length).await;
            println!(
                "| {kib} KiB | {shards} | {:.1} / {:.1} ms | {:.0}/s | {:.1} / {:.1} ms | {:.0}/s | {:.0} % |",
                ours.ms(0.5),
                ours.ms(0.99),
                ours.rate(),
                theirs.ms(0.5),
                theirs.ms(0.99),
                theirs.rate(),
                ours.rate() / theirs.rate() * 100.0
            );
        }
    }
}
