//! How fast the embedded views take the rows of transfers, and at how much CPU.
//!
//! `cargo run --release -p storage --example views -- [seconds] [accounts] [transfers a batch] [folder]`
//!
//! A transfer is six rows: of each side an event, a cell and a checkpoint of 150 bytes. 256 shards
//! each have one batch in flight, as projectors do.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::cast_precision_loss, reason = "a tool for a person")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use storage::Error;
use storage::embedded::views::{EmbeddedViews, Opening, PayloadReader, ViewsConfig, clear};
use storage::journal::{Hash, JournalKey, Place, Slot, Space};
use storage::views::{Batch, Cell, Checkpoint, EventRow, Position, Table, Views};
use uuid::Uuid;

const SHARDS: u64 = 256;

struct Zeros;

impl PayloadReader for Zeros {
    fn read_bytes(&self, _: Place, _: u32, len: u32) -> Result<Bytes, Error> {
        Ok(Bytes::from(vec![0; len as usize]))
    }
}

fn main() {
    let argument = |index: usize, default: u64| {
        std::env::args().nth(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seconds, accounts, transfers) = (argument(1, 15), argument(2, 100_000), argument(3, 50));
    let dir = std::env::args().nth(4).map_or_else(|| std::env::temp_dir().join("quickpe-views"), PathBuf::from);
    clear(&dir).expect("an empty folder");
    let config = ViewsConfig::of(Uuid::from_u128(1));
    let opened = Instant::now();
    let Opening::Ready(views) = EmbeddedViews::open(&dir, &config, Arc::new(Zeros)).expect("views") else {
        return println!("the views were set aside");
    };
    println!("made in {:?}", opened.elapsed());

    let views = Arc::new(views);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let done = Arc::new(AtomicU64::new(0));
    let longest_us = Arc::new(AtomicU64::new(0));
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let until = start + Duration::from_secs(seconds);
    runtime.block_on(async {
        let mut projectors = tokio::task::JoinSet::new();
        for shard in 0..SHARDS {
            let (views, done, longest_us) = (Arc::clone(&views), Arc::clone(&done), Arc::clone(&longest_us));
            projectors.spawn(async move {
                let mut offsets = vec![0; usize::try_from(accounts / SHARDS + 1).expect("few")];
                for slot in 1.. {
                    let batch = batch(shard, slot, transfers, &mut offsets);
                    let offered = Instant::now();
                    if offered >= until {
                        break;
                    }
                    views.apply(batch).await.expect("applied");
                    let waited = u64::try_from(offered.elapsed().as_micros()).unwrap_or(u64::MAX);
                    longest_us.fetch_max(waited, Ordering::Relaxed);
                    done.fetch_add(transfers, Ordering::Relaxed);
                }
            });
        }
        while let Some(ended) = projectors.join_next().await {
            ended.expect("a projector's end");
        }
    });
    let (took, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let transfers = done.load(Ordering::Relaxed) as f64;
    println!(
        "{:.0} transfers/s, {:.0} rows/s, {:.2} µs of CPU a row (making the batches included), longest wait {} ms, {} MB on disk",
        transfers / took,
        transfers * 6.0 / took,
        cpu * 1e6 / transfers / 6.0,
        longest_us.load(Ordering::Relaxed) / 1_000,
        views.bytes_on_disk() >> 20,
    );
    read(&runtime, &views, accounts);
    drop(runtime);
    let closed = Instant::now();
    drop(views);
    println!("closed in {:?}", closed.elapsed());
    let opened = Instant::now();
    drop(EmbeddedViews::open(&dir, &config, Arc::new(Zeros)).expect("views"));
    println!("opened and closed in {:?}", opened.elapsed());
    clear(&dir).expect("cleared");
}

/// Times reads of each kind.
fn read(runtime: &tokio::runtime::Runtime, views: &EmbeddedViews, accounts: u64) {
    const READS: u64 = 5_000;
    let time = |name: &str, run: &dyn Fn(u64) -> usize| {
        let start = Instant::now();
        let found: usize = (0..READS).map(run).sum();
        println!("{name}: {:.1} µs, {found} found", start.elapsed().as_secs_f64() * 1e6 / READS as f64);
    };
    let entity = |number: u64| account(number % SHARDS, mixed(number) % (accounts / SHARDS));
    time("checkpoint", &|number| {
        usize::from(runtime.block_on(views.checkpoint(entity(number))).expect("a read").is_some())
    });
    time("a cell that is absent", &|number| {
        let id = Uuid::from_u64_pair(mixed(number), 1);
        usize::from(runtime.block_on(views.cell(Table::Transfers, id, &[1])).expect("a read").is_some())
    });
    time("last 20 events", &|number| {
        runtime.block_on(views.events_before(entity(number), u64::MAX, 20)).expect("a read").len()
    });
    time("offset of entry", &|number| {
        usize::from(runtime.block_on(views.offset_of_entry(entity(number), 5)).expect("a read").is_some())
    });
}

/// One batch of a shard. `offsets` are the last ones of its accounts.
fn batch(shard: u64, slot: u64, transfers: u64, offsets: &mut [u64]) -> Batch {
    let at = Timestamp(slot);
    let (mut events, mut checkpoints, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..transfers * 2 {
        let drawn = mixed((shard << 48) ^ (slot << 16) ^ number);
        let index = drawn % offsets.len() as u64;
        let stream = account(shard, index);
        let Some(offset) = usize::try_from(index).ok().and_then(|index| offsets.get_mut(index)) else { continue };
        *offset += 1;
        let place = Place((slot * SHARDS + shard) << 14);
        let bytes = Bytes::from_static(&[1; 220]);
        events.push(EventRow { stream, offset: *offset, entries: *offset, place, at: 300, bytes });
        let state: Vec<u8> = (0..19).flat_map(|word| mixed(drawn ^ (word / 3)).to_le_bytes()).take(150).collect();
        checkpoints.push(Checkpoint { entity: stream, head: *offset, at, state: Bytes::from(state) });
        let partition = Uuid::from_u64_pair(mixed(drawn), drawn);
        let value = Bytes::from(vec![3; 48]);
        cells.push(Cell { table: Table::Transfers, partition, sort: vec![1], value });
    }
    let state = Bytes::from_static(&[0; 100]);
    let position = Position { through: Slot(slot), hash: Hash([1; 32]), at, term: 1, state };
    let shard = ShardId(u16::try_from(shard).expect("few"));
    Batch { key: JournalKey { space: Space::Ledger, shard }, events, checkpoints, cells, position }
}

fn account(shard: u64, index: u64) -> Uuid {
    Uuid::from_u64_pair(mixed(shard << 32 | index), mixed(index))
}

/// The finaliser of `MurmurHash3`.
fn mixed(mut number: u64) -> u64 {
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

/// Seconds of CPU that this process has used, from Linux's `/proc/self/stat` in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
