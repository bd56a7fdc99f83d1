//! The folder of the views: opening, telling whose they are, and setting aside what is of no use.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{EmbeddedViews, PayloadReader, ViewsConfig, rows};
use crate::Error;
use crate::journal::JournalKey;
use crate::views::Position;

/// What opening the views found.
pub enum Opening {
    /// They are as they were, or there were none.
    Ready(EmbeddedViews),
    /// What was there is of no use and was set aside: these are empty.
    Rebuild {
        /// The empty views.
        views: EmbeddedViews,
        /// Why, for the log.
        reason: String,
    },
}

/// The most bytes of the store's own log before tables must be written: the least that it takes, for
/// the sake of opening quickly.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Measured against 4 KiB: 10 to 15 % less CPU a row.
const BLOCK_BYTES: u32 = 16 << 10;

/// With 64 MiB, the default, one compaction held writers up for longer, at the same CPU.
const TABLE_BYTES: u64 = 16 << 20;

/// One: with two, the store's second thread turns in a loop while the first compacts (measured: 4.7
/// against 3.6 µs of CPU a row).
const BACKGROUND_THREADS: usize = 1;

/// How many bits a key the filters have: about one in a hundred absent keys is looked for on disk.
const FILTER_BITS: f32 = 10.0;

/// The file by which the store keeps other processes out.
const LOCK_FILE: &str = "lock";

/// The open store and its trees. Clones are handles of the same.
#[derive(Clone)]
pub(super) struct Database {
    /// Event rows: scanned only, so they have no filters.
    pub(super) events: Keyspace,
    /// All other rows: looked up, often in vain, so every level has filters.
    pub(super) rows: Keyspace,
    pub(super) store: fjall::Database,
}

impl Database {
    fn open(dir: &Path, config: &ViewsConfig) -> fjall::Result<Self> {
        let store = fjall::Database::builder(dir)
            .cache_size(config.cache_bytes)
            .max_journaling_size(LOG_BYTES_MAX)
            .journal_compression(CompressionType::None)
            .worker_threads(BACKGROUND_THREADS)
            .manual_journal_persist(true)
            .open()?;
        let tree = |filters| {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(config.memtable_bytes)
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                .data_block_compression_policy(CompressionPolicy::new([CompressionType::None, CompressionType::Lz4]))
                .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
                .filter_policy(filters)
        };
        let filters = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(FILTER_BITS));
        let events = store.keyspace("events", || tree(FilterPolicy::disabled()))?;
        let rows = store.keyspace("rows", || tree(FilterPolicy::all(filters)))?;
        Ok(Self { events, rows, store })
    }

    pub(super) fn bytes_on_disk(&self) -> u64 {
        let log = self.store.journal_disk_space().unwrap_or_default();
        self.events.disk_space().saturating_add(self.rows.disk_space()).saturating_add(log)
    }

    pub(super) fn positions(&self, dir: &Path) -> Result<Vec<(JournalKey, Position)>, Error> {
        let mut positions = Vec::new();
        for guard in self.rows.range(rows::position_keys()) {
            let (key, value) = guard.into_inner().map_err(|e| failed(dir, "reading positions", e))?;
            let journal = rows::journal_in_position_key(&key).ok_or_else(|| damaged(dir, "a position's key"))?;
            let position = rows::decode_position(&value).ok_or_else(|| damaged(dir, "a position"))?;
            positions.push((journal, position));
        }
        Ok(positions)
    }

    /// Says in the database whose it is, and sees to it that this lasts.
    fn found(&self, config: &ViewsConfig) -> fjall::Result<()> {
        self.rows.insert(rows::META_KEY, rows::meta_value(config.store))?;
        self.store.persist(PersistMode::SyncAll)
    }

    /// Why what the database holds is of no use here, if so.
    fn misfit(&self, config: &ViewsConfig) -> fjall::Result<Option<String>> {
        let Some(found) = self.rows.get(rows::META_KEY)? else {
            return Ok(Some("does not say what it is: its making was cut short".to_owned()));
        };
        if *found == *rows::meta_value(config.store) {
            return Ok(None);
        }
        let (format, store) = found.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let format = u32::from_le_bytes(*format);
        if format != rows::FORMAT {
            return Ok(Some(format!("has format {format}, and this build writes {}", rows::FORMAT)));
        }
        let store = uuid::Uuid::from_slice(store).unwrap_or_default();
        Ok(Some(format!("is of the store {store}, not of {}", config.store)))
    }
}

/// See [`EmbeddedViews::open`].
pub(super) fn open(dir: &Path, config: &ViewsConfig, reader: Arc<dyn PayloadReader>) -> Result<Opening, Error> {
    if is_empty(dir)? {
        return make(dir, config, reader).map(Opening::Ready);
    }
    let reason = match open_found(dir, config, &reader)? {
        Ok(views) => return Ok(Opening::Ready(views)),
        Err(reason) => reason,
    };
    let aside = set_aside(dir)?;
    let reason = format!("{} {reason}; it is now {}", dir.display(), aside.display());
    tracing::warn!(%reason, "the views are rebuilt");
    let views = make(dir, config, reader)?;
    Ok(Opening::Rebuild { views, reason })
}

/// Deletes the views in `dir`, so that the next opening begins with none. Those set aside stay.
///
/// # Errors
///
/// [`Error::Locked`] if they are open; [`Error::Io`] if the disk refuses.
pub fn clear(dir: &Path) -> Result<(), Error> {
    let lock = dir.join(LOCK_FILE);
    match fs::File::open(&lock) {
        // Held until the folder is gone, so that nobody opens it meanwhile.
        Ok(file) => match file.try_lock() {
            Ok(()) => remove(dir),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
            Err(fs::TryLockError::Error(e)) => Err(Error::io(format!("locking {}", lock.display()), e)),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => remove(dir),
        Err(e) => Err(Error::io(format!("opening {}", lock.display()), e)),
    }
}

/// Opens what is in the folder; the inner error says why it is of no use.
fn open_found(
    dir: &Path,
    config: &ViewsConfig,
    reader: &Arc<dyn PayloadReader>,
) -> Result<Result<EmbeddedViews, String>, Error> {
    // The store's own recovery asserts what it reads of damaged files here and there.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = Database::open(dir, config)?;
        let misfit = database.misfit(config)?;
        Ok::<_, fjall::Error>((database, misfit))
    }));
    match opened {
        Ok(Ok((_, Some(misfit)))) => Ok(Err(misfit)),
        Ok(Ok((database, None))) => match EmbeddedViews::over(dir, database, Arc::clone(reader)) {
            Ok(views) => Ok(Ok(views)),
            Err(error @ Error::Damaged { .. }) => Ok(Err(format!("does not open: {error}"))),
            Err(error) => Err(error),
        },
        Ok(Err(fjall::Error::Locked)) => Err(Error::Locked(dir.to_owned())),
        Ok(Err(error)) => match cause(&error) {
            Some(e) if is_of_the_system(e) => Err(failed(dir, "opening the views", error)),
            _ => Ok(Err(format!("does not open: {error}"))),
        },
        Err(_) => Ok(Err("does not open: its store panicked".to_owned())),
    }
}

fn make(dir: &Path, config: &ViewsConfig, reader: Arc<dyn PayloadReader>) -> Result<EmbeddedViews, Error> {
    fs::create_dir_all(dir).map_err(|e| Error::io(format!("making {}", dir.display()), e))?;
    let database = Database::open(dir, config).map_err(|e| match e {
        fjall::Error::Locked => Error::Locked(dir.to_owned()),
        e => failed(dir, "making the views", e),
    })?;
    database.found(config).map_err(|e| failed(dir, "making the views", e))?;
    EmbeddedViews::over(dir, database, reader)
}

/// Renames the folder to the next free `<dir>.aside-N` and then deletes those of lower numbers: what
/// a person may want to look at is the last one, and disks are not endless.
fn set_aside(dir: &Path) -> Result<PathBuf, Error> {
    let mut old = asides(dir)?;
    old.sort_unstable();
    let number = old.last().map_or(1, |last| last.saturating_add(1));
    let aside = aside(dir, number);
    fs::rename(dir, &aside).map_err(|e| Error::io(format!("setting {} aside", dir.display()), e))?;
    for number in old {
        remove(&self::aside(dir, number))?;
    }
    Ok(aside)
}

/// The path of the views set aside under `number`.
fn aside(dir: &Path, number: u64) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".aside-{number}"));
    dir.with_file_name(name)
}

/// The numbers of the views set aside.
fn asides(dir: &Path) -> Result<Vec<u64>, Error> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("listing {}", parent.display());
    let prefix = format!("{}.aside-", dir.file_name().unwrap_or_default().to_string_lossy());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(parent).map_err(|e| Error::io(context(), e))? {
        let name = entry.map_err(|e| Error::io(context(), e))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn is_empty(dir: &Path) -> Result<bool, Error> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Error::io(format!("listing {}", dir.display()), e)),
    }
}

fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(format!("deleting {}", dir.display()), e)),
    }
}

/// The system's error below one of the store, if that is what it is.
fn cause(error: &fjall::Error) -> Option<&std::io::Error> {
    match error {
        fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => Some(e),
        _ => None,
    }
}

/// Whether the error says something of the machine and nothing of the files' content: a rebuild would
/// meet it again.
fn is_of_the_system(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let kinds =
        [Kind::PermissionDenied, Kind::StorageFull, Kind::QuotaExceeded, Kind::ReadOnlyFilesystem, Kind::OutOfMemory];
    let no_more_files = [libc::EMFILE, libc::ENFILE];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|code| no_more_files.contains(&code))
}

/// Says of an error of the store what was being done.
pub(super) fn failed(dir: &Path, what: &str, error: fjall::Error) -> Error {
    match error {
        fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => {
            Error::io(format!("{what} in {}", dir.display()), e)
        }
        e => Error::Unavailable(format!("{what} in {}: {e}", dir.display())),
    }
}

/// Says which row is not what this build writes.
pub(super) fn damaged(dir: &Path, what: &str) -> Error {
    Error::Damaged { file: dir.to_owned(), offset: 0, what: format!("{what} is not one") }
}
