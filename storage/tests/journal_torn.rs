//! What power cuts and bad disks do to the embedded journal's files, a thousand times each.
//!
//! A failure prints its seed; `JOURNAL_SEED=<n>` runs it again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "the helpers of tests fail as tests do"
)]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::ids::{ShardCount, ShardId};
use domain::time::Timestamp;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, JournalConfig, OpenFrom, SEGMENT_BYTES_MIN};
use storage::embedded::lock::StoreLock;
use storage::journal::{Append, Generation, Hash, Journal, JournalKey, Place, Record, Slot, Space};
use uuid::Uuid;

const POINTS: usize = 1000;
const SHARDS: u16 = 8;
const SECTOR: u64 = 512;
const HEAD: u64 = 4096;
/// Where the two marks of a segment's head are.
const MARKS: [Range<usize>; 2] = [1024..1048, 2048..2072];

fn seed() -> u64 {
    let seed = std::env::var("JOURNAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("JOURNAL_SEED={seed}");
    seed
}

fn open(dir: &Path, from: OpenFrom) -> Result<EmbeddedJournal, Error> {
    let mut config = JournalConfig::new(Space::Ledger, Uuid::from_u128(1), ShardCount::few(SHARDS).unwrap());
    config.segment_bytes = SEGMENT_BYTES_MIN;
    config.segments_ahead = 1;
    EmbeddedJournal::open(Arc::new(StoreLock::acquire(dir)?), &config, from, &[])
}

fn key(shard: u16) -> JournalKey {
    JournalKey { space: Space::Ledger, shard: ShardId(shard) }
}

/// The end of each shard, as its writer knows it.
struct Writers(Vec<(Generation, Slot, Hash)>);

impl Writers {
    async fn open(journal: &EmbeddedJournal) -> Self {
        let mut writers = Vec::new();
        for shard in 0..SHARDS {
            let opened = journal.open(key(shard)).await.unwrap();
            writers.push((opened.generation, opened.last, opened.hash));
        }
        Self(writers)
    }

    /// Appends one record to each of these shards at once.
    async fn append(&mut self, journal: &EmbeddedJournal, payloads: Vec<(u16, Vec<u8>)>) {
        let appends = payloads.into_iter().map(|(shard, payload)| {
            let (generation, slot, hash) = &mut self.0[usize::from(shard)];
            *slot = slot.next();
            let payload = Bytes::from(payload);
            let record =
                Record { key: key(shard), slot: *slot, term: 1, at: Timestamp(slot.0), previous: *hash, payload };
            *hash = record.hash();
            journal.append(*generation, record)
        });
        for answer in join_all(appends).await {
            assert!(matches!(answer, Ok(Append::Durable { .. })), "{answer:?}");
        }
    }
}

/// A log's files, and what is in them.
#[derive(Clone)]
struct Image {
    dir: PathBuf,
    /// In order of the segments, which all have the same length.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Place and hash of all records in order.
    records: Vec<(Place, Hash)>,
    /// All before is on the disk, and somebody was told.
    durable: u64,
    /// The end of what was written.
    written: u64,
}

fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir.join("journal/ledger")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn is_segment(path: &Path) -> bool {
    path.extension().unwrap() == "log"
}

/// The segments. One in the making has another name, which it may lose while it is read.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let segments = paths(dir).into_iter().filter(|path| is_segment(path));
    segments.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn records(journal: &EmbeddedJournal) -> Vec<(Place, Hash)> {
    let scan = journal.scan(Place(0)).unwrap();
    scan.map(|stored| stored.map(|stored| (stored.place, stored.hash)).unwrap()).collect()
}

fn payload(rng: &mut StdRng, most: usize) -> Vec<u8> {
    let mut payload = vec![0; rng.random_range(0..most)];
    rng.fill_bytes(&mut payload);
    payload
}

/// Writes about two and a half segments, and waits for the mark. The last tick holds many records.
async fn marked_image(dir: &Path, rng: &mut StdRng) -> (Image, Vec<(PathBuf, Vec<u8>)>) {
    let journal = open(dir, OpenFrom::Everything).unwrap();
    let mut writers = Writers::open(&journal).await;
    while journal.durable() < 2 * SEGMENT_BYTES_MIN + SEGMENT_BYTES_MIN / 3 {
        let shards: Vec<_> = (0..SHARDS).filter(|_| rng.random_bool(0.5)).collect();
        let most = if rng.random_bool(0.1) { 60_000 } else { 6_000 };
        writers.append(&journal, shards.into_iter().map(|shard| (shard, payload(rng, most))).collect()).await;
    }
    await_mark(&journal).await;
    let before = contents(dir);
    let last = (0..SHARDS).map(|shard| (shard, payload(rng, 12_000))).collect();
    writers.append(&journal, last).await;
    await_mark(&journal).await;
    let (records, written) = (records(&journal), journal.durable());
    // The segment ahead is made.
    while paths(dir).len() < 4 || !paths(dir).iter().all(|path| is_segment(path)) {
        tokio::task::yield_now().await;
    }
    drop(journal);
    (Image { dir: dir.to_owned(), files: contents(dir), records, durable: written, written }, before)
}

async fn await_mark(journal: &EmbeddedJournal) {
    while journal.marked() < journal.durable() {
        tokio::task::yield_now().await;
    }
}

impl Image {
    /// The same log in the moment before the last tick's sync was answered.
    fn before_last_sync(mut self, before: &[(PathBuf, Vec<u8>)]) -> Self {
        // A frame says at byte 16 how far the log was on the disk when it was written.
        let last = self.records.last().unwrap().0.0;
        let (file, offset) = Self::place(last);
        let durable = &self.files[file].1[offset + 16..offset + 24];
        self.durable = u64::from_le_bytes(durable.try_into().unwrap());
        for ((_, now), (_, before)) in self.files.iter_mut().zip(before) {
            for mark in MARKS {
                now[mark.clone()].copy_from_slice(&before[mark]);
            }
        }
        self
    }

    /// The file and the offset in it of a log position.
    fn place(position: u64) -> (usize, usize) {
        let file = usize::try_from(position / SEGMENT_BYTES_MIN).unwrap();
        (file, usize::try_from(position % SEGMENT_BYTES_MIN).unwrap())
    }

    fn acknowledged(&self) -> usize {
        self.records.iter().filter(|(place, _)| place.0 < self.durable).count()
    }

    /// Puts the files back as they were but for `changed`.
    fn restore(&self, changed: &[(usize, Vec<u8>)]) {
        let dir = self.dir.join("journal/ledger");
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir_all(&dir).unwrap();
        for (number, (path, bytes)) in self.files.iter().enumerate() {
            let bytes = changed.iter().find(|(changed, _)| *changed == number).map_or(bytes, |(_, bytes)| bytes);
            fs::write(path, bytes).unwrap();
        }
    }

    /// Opens, and checks that all acknowledged records are there, and of the others a prefix.
    async fn check_opens(&self, rng: &mut StdRng, what: &str) {
        let from =
            if rng.random_bool(0.5) { OpenFrom::Everything } else { OpenFrom::Last(rng.random_range(0..1 << 20)) };
        let journal = open(&self.dir, from).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut found = records(&journal);
        assert!(found.len() >= self.acknowledged(), "{what}: {} of {}", found.len(), self.acknowledged());
        assert!(self.records.starts_with(&found), "{what}: something else than a prefix");
        if rng.random_bool(0.1) {
            // What is appended over a torn tail is found again, and nothing of the tail with it.
            let mut writers = Writers::open(&journal).await;
            for shard in 0..3 {
                writers.append(&journal, vec![(shard, payload(rng, 3000))]).await;
            }
            let longer = records(&journal);
            assert_eq!((longer.len(), &longer[..found.len()]), (found.len() + 3, &found[..]), "{what}");
            found = longer;
        }
        drop(journal);
        let journal = open(&self.dir, OpenFrom::Everything).unwrap_or_else(|error| panic!("{what}, again: {error}"));
        assert_eq!(records(&journal), found, "{what}: another answer the second time");
    }
}

/// One damage to the bytes of a file inside `range`. `None` if it changes nothing.
fn damage(rng: &mut StdRng, bytes: &[u8], range: Range<usize>) -> Option<(Vec<u8>, Range<usize>, &'static str)> {
    let at = rng.random_range(range.clone());
    let mut damaged = bytes.to_vec();
    let (hit, what) = match rng.random_range(0..4) {
        0 => {
            damaged.truncate(at);
            // What is missing reads as zeros: the first byte that was something else is the damage.
            let lost = bytes[at..range.end].iter().position(|byte| *byte != 0).map_or(at, |lost| at + lost);
            return Some((damaged, lost..bytes.len(), "cut"));
        }
        1 => {
            let sector = at / SECTOR as usize * SECTOR as usize;
            let hit = sector.max(range.start)..(sector + SECTOR as usize).min(range.end);
            damaged[hit.clone()].fill(0);
            (hit, "zeroed sector")
        }
        2 => {
            damaged[at] ^= 1 << rng.random_range(0..8);
            (at..at + 1, "flipped bit")
        }
        _ => {
            let hit = at..(at + rng.random_range(1..2000)).min(range.end);
            rng.fill_bytes(&mut damaged[hit.clone()]);
            (hit, "garbage")
        }
    };
    let first = hit.clone().find(|at| damaged[*at] != bytes[*at])?;
    Some((damaged, first..hit.end, what))
}

#[tokio::test]
async fn damage_after_the_last_durable_byte_loses_nothing_acknowledged() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let (image, before) = marked_image(dir.path(), &mut rng).await;
    let image = image.before_last_sync(&before);
    assert!(image.acknowledged() < image.records.len() && image.acknowledged() > 100);
    let (active, durable) = Image::place(image.durable);
    let (_, written) = Image::place(image.written);
    for _ in 0..POINTS {
        // Mostly inside the last tick, else in what is not used yet, the segment ahead included.
        let (file, range) = match rng.random_range(0..10) {
            0 => (active, written..image.files[active].1.len()),
            1 => (active + 1, 0..image.files[active + 1].1.len()),
            2 => (active + 1, 0..HEAD as usize),
            _ => (active, durable..written),
        };
        if let Some((bytes, hit, what)) = damage(&mut rng, &image.files[file].1, range) {
            image.restore(&[(file, bytes)]);
            image.check_opens(&mut rng, &format!("{what} at {hit:?} of file {file}")).await;
        }
    }
}

#[tokio::test]
async fn a_power_cut_leaves_any_sectors_of_the_last_tick() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let (image, before) = marked_image(dir.path(), &mut rng).await;
    let image = image.before_last_sync(&before);
    let (active, durable) = Image::place(image.durable);
    let (_, written) = Image::place(image.written);
    for _ in 0..POINTS / 4 {
        let mut bytes = image.files[active].1.clone();
        let share = rng.random_range(0.0..1.0);
        let first = durable / SECTOR as usize;
        for sector in first..=written / SECTOR as usize {
            if rng.random_bool(share) {
                let from = (sector * SECTOR as usize).max(durable);
                bytes[from..(sector + 1) * SECTOR as usize].fill(0);
            }
        }
        image.restore(&[(active, bytes)]);
        image.check_opens(&mut rng, "power cut").await;
    }
}

#[tokio::test]
async fn damage_before_the_last_durable_byte_is_refused_and_named() {
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let (marked, before) = marked_image(dir.path(), &mut rng).await;
    let mut unmarked = marked.clone().before_last_sync(&before);
    for (_, bytes) in &mut unmarked.files {
        for mark in MARKS {
            bytes[mark].fill(0);
        }
    }
    let mut refused = 0;
    while refused < POINTS {
        // Either the marks say what was on the disk, or nothing but the frames of the last tick.
        let (image, by_marks) = if rng.random_bool(0.5) { (&marked, true) } else { (&unmarked, false) };
        let (active, durable) = Image::place(image.durable);
        let file = rng.random_range(0..=active);
        let end = if file == active { durable } else { image.files[file].1.len() };
        // Of the head only the first 64 bytes are anything but marks, of which there are two.
        let range = if rng.random_bool(0.05) { 0..64 } else { HEAD as usize..end };
        let Some((bytes, hit, what)) = damage(&mut rng, &image.files[file].1, range) else { continue };
        // A cut takes the later frames along; one of zeros takes nothing.
        let lost = image.files[file].1.get(bytes.len()..).unwrap_or_default();
        if what == "cut"
            && (lost.iter().all(|byte| *byte == 0) || (file == active && !by_marks && hit.start >= HEAD as usize))
        {
            continue;
        }
        image.restore(&[(file, bytes)]);
        let what = format!("{what} at {hit:?} of file {file}");
        match open(&image.dir, OpenFrom::Everything).map(drop) {
            Err(Error::Damaged { file: named, offset, .. }) => {
                assert_eq!(named, image.files[file].0, "{what}");
                assert!(offset <= hit.start as u64, "{what}, named at {offset}");
                let frame = (256 << 10) + 96;
                assert!(offset + frame > hit.start as u64, "{what}, named far before at {offset}");
            }
            other => panic!("{what}: {other:?}"),
        }
        // Refusing changes nothing: whoever mends the file finds all else as it was.
        if refused % 50 == 0 {
            let now = contents(&image.dir);
            assert!(
                now.iter().zip(&image.files).enumerate().all(|(at, (now, was))| at == file || now == was),
                "{what}"
            );
        }
        refused += 1;
    }
}

#[tokio::test]
async fn what_was_cut_off_does_not_come_back() {
    let mut rng = StdRng::seed_from_u64(seed());
    let (_dir, image) = loop {
        let dir = tempfile::tempdir().unwrap();
        let (image, before) = marked_image(dir.path(), &mut rng).await;
        let image = image.before_last_sync(&before);
        if image.acknowledged() + 2 <= image.records.len() {
            break (dir, image);
        }
    };
    // The first record of the last tick is torn, those after it are whole.
    let (file, offset) = Image::place(image.durable);
    let mut bytes = image.files[file].1.clone();
    let length = u32::from_le_bytes(bytes[offset + 24..offset + 28].try_into().unwrap());
    let shard = u16::from_le_bytes(bytes[offset + 30..offset + 32].try_into().unwrap());
    bytes[offset + 40] ^= 1;
    image.restore(&[(file, bytes)]);
    let journal = open(&image.dir, OpenFrom::Everything).unwrap();
    assert_eq!(records(&journal).len(), image.acknowledged());
    // One of the same length in its place would make the log go on with the others.
    let mut writers = Writers::open(&journal).await;
    writers.append(&journal, vec![(shard, vec![9; length as usize])]).await;
    let (now, end) = (records(&journal), journal.durable());
    assert_eq!(now.len(), image.acknowledged() + 1);
    assert_eq!(now.last().unwrap().0, Place(image.durable));
    drop(journal);
    let journal = open(&image.dir, OpenFrom::Everything).unwrap();
    assert_eq!((records(&journal), journal.durable()), (now, end));
}
