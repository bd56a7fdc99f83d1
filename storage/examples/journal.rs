//! How fast the embedded journal is here: `cargo run --release -p storage --example journal -- DIR`.
//!
//! Each shard has one append in flight, as in a node. Arguments after DIR: shards (256), bytes of a
//! record (2048), seconds (5).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, OpenFrom};
use storage::embedded::lock::StoreLock;
use storage::journal::{Append, Journal, JournalKey, Place, Record, Space};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
#[allow(clippy::print_stdout, reason = "a program that prints a figure")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("usage: journal DIR [SHARDS] [BYTES] [SECONDS]")?);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (shards, bytes, seconds) = (u16::try_from(number(256)?)?, usize::try_from(number(2048)?)?, number(5)?);
    let count = ShardCount::few(shards).ok_or("1 to 1024 shards")?;
    let config = JournalConfig::new(Space::Ledger, uuid::Uuid::from_u128(1), count);
    let lock = Arc::new(StoreLock::acquire(&dir)?);
    let opening = Instant::now();
    let journal = Arc::new(EmbeddedJournal::open(lock, &config, OpenFrom::Last(64 << 20), &[])?);
    println!("opened in {:.0?}", opening.elapsed());

    let (begin, from, cpu_before) = (Instant::now(), journal.durable(), cpu_seconds()?);
    let until = begin + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for shard in 0..shards {
        tasks.push(tokio::spawn(write(Arc::clone(&journal), ShardId(shard), bytes, until)));
    }
    let mut appends = 0;
    for task in tasks {
        appends += task.await??;
    }
    let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds()? - cpu_before);
    let (appends, written) = (f64::from(appends), (journal.durable() - from) >> 10);
    println!(
        "{shards} shards, records of {bytes} bytes: {:.0} appends/s, {:.0} KiB/s, {:.1} us CPU an append",
        appends / took,
        f64::from(u32::try_from(written)?) / took,
        cpu * 1e6 / appends
    );
    let scanning = Instant::now();
    let scanned = journal.scan(Place(0))?.try_fold(0_u32, |count, record| record.map(|_| count + 1))?;
    println!("scanned {scanned} records, {:.0}/s", f64::from(scanned) / scanning.elapsed().as_secs_f64());
    Ok(())
}

/// The CPU time of this process so far: fields 14 and 15 of its stat, in hundredths (proc(5)).
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Result<Vec<u32>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(f64::from(ticks?.iter().sum::<u32>()) / 100.0)
}

/// Appends to one shard until the time is over; how often.
async fn write(journal: Arc<EmbeddedJournal>, shard: ShardId, bytes: usize, until: Instant) -> Result<u32, Failure> {
    let key = JournalKey { space: Space::Ledger, shard };
    let opened = journal.open(key).await?;
    let (mut slot, mut previous, mut at) = (opened.last, opened.hash, opened.at);
    let payload = Bytes::from(vec![0xA5; bytes]);
    let mut appends = 0;
    while Instant::now() < until {
        (slot, at) = (slot.next(), at.next());
        let record = Record { key, slot, term: opened.term + 1, at, previous, payload: payload.clone() };
        previous = record.hash();
        let answer = journal.append(opened.generation, record).await?;
        if !matches!(answer, Append::Durable { .. }) {
            return Err(format!("shard {shard}: {answer:?}").into());
        }
        appends += 1;
    }
    Ok(appends)
}
