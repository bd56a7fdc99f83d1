//! One redb file: writes grouped by one thread, reads at once, and a rewrite into a new file.
//!
//! Owns the file and the thread. Requests that wait share one commit, so a hundred callers cost the
//! disk what one does. Reads see committed state only, which is durable state.

mod stored;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use metrics::Histogram;
use parking_lot::RwLock;
use redb::{Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::embedded::snapshot::Snapshot;
use crate::metrics as names;
pub(crate) use stored::{Failed, Stored};

/// How many requests wait for the writer at most; beyond it callers wait to wait.
const QUEUE_MAX: usize = 1_024;

/// How many requests share a commit at most: bounds how long the first of them waits for the others.
const GROUP_MAX: usize = 512;

/// The tables of a database, as functions over all of them.
#[derive(Clone, Copy)]
pub(crate) struct Schema {
    /// Makes those that are not there yet.
    pub(crate) create: fn(&WriteTransaction) -> Result<(), Failed>,
    /// Copies every row that a rewrite keeps.
    pub(crate) copy: fn(&ReadTransaction, &WriteTransaction) -> Result<(), Failed>,
}

/// A redb file and its writer.
pub(crate) struct Database {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// What callers and the writer share.
struct Shared {
    commit_seconds: Histogram,
    commit_writes: Histogram,
    path: PathBuf,
    cache_bytes: usize,
    schema: Schema,
    /// The open file. A rewrite replaces it; readers of the old one end in peace.
    current: RwLock<Arc<redb::Database>>,
}

/// What the writer is asked for.
enum Request {
    Write(Box<dyn Write>),
    Rewrite(oneshot::Sender<Result<(), Error>>),
}

impl Database {
    /// Opens or makes the file at `path`, in a folder that is there.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process, or another part of this one, has it open.
    pub(crate) fn open(path: &Path, cache_bytes: usize, schema: Schema) -> Result<Self, Error> {
        let leftover = beside(path);
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(format!("remove {}", leftover.display()), error));
            }
            Ok(()) | Err(_) => {}
        }
        if !path.exists() {
            // A crash leaves no file under the name that is only half made.
            drop(make(&leftover, cache_bytes, schema)?);
            let context = || format!("rename {}", leftover.display());
            fs::rename(&leftover, path).map_err(|error| Error::io(context(), error))?;
        }
        let database = make(path, cache_bytes, schema)?;
        sync_folder(path)?;
        let current = RwLock::new(Arc::new(database));
        let name = path.file_stem().map_or_else(|| "store".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let shared = Arc::new(Shared {
            commit_seconds: metrics::histogram!(names::STORE_COMMIT_SECONDS, names::STORE => name.clone()),
            commit_writes: metrics::histogram!(names::STORE_COMMIT_WRITES, names::STORE => name.clone()),
            path: path.to_owned(),
            cache_bytes,
            schema,
            current,
        });
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let writer = std::thread::Builder::new()
            .name(format!("{name}-writer"))
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.serve(queue)
            })
            .map_err(|error| Error::io("start the writer of the store", error))?;
        Ok(Self { shared, requests: Some(requests), writer: Some(writer) })
    }

    /// Runs `work` over committed state, here and now.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, Failed>) -> Result<T, Error> {
        let database = self.shared.current();
        let read = || work(&database.begin_read()?);
        read().map_err(|failed| failed.of(&self.shared.path))
    }

    /// Runs `work` in a commit that it may share, and answers when that is durable. All of it happens
    /// or none. `work` may run twice, the first time without effect.
    ///
    /// Once handed over it happens even if the caller stops waiting.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&WriteTransaction) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Write(Box::new(Waiting { work, outcome: None, reply: Some(reply) }))).await?;
        answer.await.map_err(|_| ended())?
    }

    /// Rewrites the database into a new file that takes the old one's place. The engine keeps freed
    /// pages with what they held; the new file has none. Writers wait meanwhile.
    pub(crate) async fn rewrite(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Rewrite(reply)).await?;
        answer.await.map_err(|_| ended())?
    }

    /// Committed state as it is now, to be copied while the database goes on.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        let Shared { path, cache_bytes, schema, .. } = &*self.shared;
        let begin = || -> Result<_, Failed> { Ok(self.shared.current().begin_read()?) };
        let transaction = begin().map_err(|failed| failed.of(path))?;
        Ok(Snapshot::new(transaction, *cache_bytes, schema.copy, schema.create))
    }

    async fn request(&self, request: Request) -> Result<(), Error> {
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        requests.send(request).await.map_err(|_| ended())
    }
}

impl Drop for Database {
    /// Lets the writer finish what it was handed, so that the file is closed when this returns.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(file = %self.shared.path.display(), "the writer of the store had panicked");
        }
    }
}

impl Shared {
    fn current(&self) -> Arc<redb::Database> {
        Arc::clone(&self.current.read())
    }

    /// The writer: ends when nobody can ask any more.
    fn serve(&self, mut queue: mpsc::Receiver<Request>) {
        let mut group: Vec<Box<dyn Write>> = Vec::new();
        while let Some(request) = queue.blocking_recv() {
            let mut rewrite = None;
            let mut next = Some(request);
            while let Some(request) = next.take() {
                match request {
                    Request::Write(write) => group.push(write),
                    Request::Rewrite(reply) => rewrite = Some(reply),
                }
                if rewrite.is_none() && group.len() < GROUP_MAX {
                    next = queue.try_recv().ok();
                }
            }
            self.commit(&mut group);
            if let Some(reply) = rewrite {
                let answered = reply.send(self.rewrite());
                drop(answered); // The caller may have stopped waiting.
            }
        }
    }

    /// Commits a group; if it fails, each of it alone, so that one bad row does not stop the others.
    fn commit(&self, group: &mut Vec<Box<dyn Write>>) {
        if group.is_empty() {
            return;
        }
        let outcome = self.try_commit(group);
        let alone = outcome.is_err() && group.len() > 1;
        for mut write in group.drain(..) {
            if alone {
                let outcome = self.try_commit(std::slice::from_mut(&mut write));
                write.answer(outcome.map_err(|failed| failed.of(&self.path)));
            } else {
                write.answer(outcome.as_ref().map_err(|failed| failed.of(&self.path)).copied());
            }
        }
    }

    fn try_commit(&self, group: &mut [Box<dyn Write>]) -> Result<(), Failed> {
        let began = Instant::now();
        let writes = u32::try_from(group.len()).unwrap_or(u32::MAX);
        let database = self.current();
        let mut transaction = database.begin_write()?;
        // Costs a second sync a commit; reopening after a crash then takes milliseconds at any size
        // instead of a walk over the whole file.
        transaction.set_quick_repair(true);
        for write in group {
            write.run(&transaction)?;
        }
        transaction.commit()?;
        self.commit_seconds.record(began.elapsed().as_secs_f64());
        self.commit_writes.record(f64::from(writes));
        Ok(())
    }

    fn rewrite(&self) -> Result<(), Error> {
        let new = beside(&self.path);
        let outcome = self.rewrite_into(&new);
        if outcome.is_err()
            && let Err(error) = fs::remove_file(&new)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(file = %new.display(), %error, "a rewrite that failed could not be cleared away");
        }
        outcome
    }

    /// The new file is whole and durable before it takes the old one's name; a crash leaves either.
    fn rewrite_into(&self, new: &Path) -> Result<(), Error> {
        let database = make(new, self.cache_bytes, self.schema)?;
        let old = self.current();
        let copy = || -> Result<(), Failed> {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            (self.schema.copy)(&old.begin_read()?, &transaction)?;
            Ok(transaction.commit()?)
        };
        copy().map_err(|failed| failed.of(new))?;
        fs::rename(new, &self.path).map_err(|error| Error::io(format!("rename {}", new.display()), error))?;
        // From here on the name is the new file's: writing to the old one would lose what is written.
        *self.current.write() = Arc::new(database);
        sync_folder(&self.path)
    }
}

/// A request to write, whatever its type.
trait Write: Send {
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), Failed>;
    fn answer(&mut self, committed: Result<(), Error>);
}

/// A request to write, with who waits for it.
struct Waiting<F, T> {
    work: F,
    outcome: Option<T>,
    reply: Option<oneshot::Sender<Result<T, Error>>>,
}

impl<F, T> Write for Waiting<F, T>
where
    F: FnMut(&WriteTransaction) -> Result<T, Failed> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), Failed> {
        self.outcome = Some((self.work)(transaction)?);
        Ok(())
    }

    fn answer(&mut self, committed: Result<(), Error>) {
        let outcome = committed.and_then(|()| self.outcome.take().ok_or_else(ended));
        if let Some(reply) = self.reply.take() {
            let answered = reply.send(outcome);
            drop(answered); // The caller may have stopped waiting.
        }
    }
}

/// Opens or makes a redb file with all its tables.
fn make(path: &Path, cache_bytes: usize, schema: Schema) -> Result<redb::Database, Error> {
    let database = redb::Builder::new().set_cache_size(cache_bytes).create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => Error::Locked(path.to_owned()),
        other => Failed::from(other).of(path),
    })?;
    let create = || -> Result<(), Failed> {
        let transaction = database.begin_write()?;
        (schema.create)(&transaction)?;
        Ok(transaction.commit()?)
    };
    create().map_err(|failed| failed.of(path))?;
    Ok(database)
}

/// Copies all rows of one table.
pub(crate) fn copy_table<K: Key + 'static, V: Value + 'static>(
    table: TableDefinition<'_, K, V>,
    from: &ReadTransaction,
    to: &WriteTransaction,
) -> Result<(), Failed> {
    let mut target = to.open_table(table)?;
    for row in from.open_table(table)?.iter()? {
        let (key, value) = row?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// Where a file is made that then takes the name `path`.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("rewrite")
}

/// Makes the names in the folder of `path` durable.
fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("sync {}", folder.display());
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io(context(), error))
}

/// The writer is gone: it panicked, or the node ends.
fn ended() -> Error {
    Error::Unavailable("the writer of the store has ended".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt;
    use tokio::task::JoinSet;

    use super::*;

    const NUMBERS: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

    const SCHEMA: Schema = Schema {
        create: |txn| {
            txn.open_table(NUMBERS)?;
            Ok(())
        },
        copy: |from, to| copy_table(NUMBERS, from, to),
    };

    fn open(folder: &Path) -> Arc<Database> {
        Arc::new(Database::open(&folder.join("numbers.redb"), 1 << 20, SCHEMA).unwrap())
    }

    fn sum(database: &Database) -> u64 {
        let rows = |txn: &ReadTransaction| -> Result<u64, Failed> {
            let table = txn.open_table(NUMBERS)?;
            let mut sum = 0;
            for row in table.iter()? {
                sum += row?.1.value();
            }
            Ok(sum)
        };
        database.read(rows).unwrap()
    }

    async fn add(database: &Database, key: u64, value: u64) -> Result<(), Error> {
        let work = move |txn: &WriteTransaction| {
            txn.open_table(NUMBERS)?.insert(key, value)?;
            Ok(())
        };
        database.write(work).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_bad_write_leaves_nothing_and_stops_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        let mut writes = JoinSet::new();
        for number in 1..=200 {
            let database = Arc::clone(&database);
            writes.spawn(async move {
                if number % 10 != 0 {
                    return add(&database, number, 1).await;
                }
                let outcome: Result<(), Error> = database
                    .write(move |txn| {
                        txn.open_table(NUMBERS)?.insert(number, 1_000_000)?;
                        Err(Failed::Undecodable("a bad row".to_owned()))
                    })
                    .await;
                assert!(outcome.unwrap_err().to_string().contains("a bad row"));
                Ok(())
            });
        }
        for outcome in writes.join_all().await {
            outcome.unwrap();
        }
        assert_eq!(sum(&database), 180);
    }

    #[test]
    fn a_file_that_was_half_made_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.redb");
        for _ in 0..2 {
            fs::write(beside(&path), [0; 512]).unwrap();
            let database = Database::open(&path, 1 << 20, SCHEMA).unwrap();
            assert_eq!(sum(&database), 0);
            assert!(!beside(&path).exists());
        }
    }

    #[tokio::test]
    async fn what_waits_shares_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let mut begin = Some(begin);
        let first = database.write(move |_| {
            begin.take().unwrap().send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        });
        let turns = Arc::new(AtomicU32::new(0));
        // Few enough that `join_all` polls each of them at once.
        let others = (0..20).map(|number| {
            let (turns, readers) = (Arc::clone(&turns), Arc::clone(&database));
            database.write(move |txn| {
                let mut table = txn.open_table(NUMBERS)?;
                table.insert(number, 1)?;
                turns.fetch_add(1, Ordering::Relaxed);
                Ok((redb::ReadableTableMetadata::len(&table)?, sum(&readers)))
            })
        });
        let others = async {
            // The commit has begun without any of them.
            begun.await.unwrap();
            let mut all = Box::pin(futures_util::future::join_all(others));
            assert!(all.as_mut().now_or_never().is_none(), "all were handed over, and none is done");
            hold.send(()).unwrap();
            all.await
        };
        let (first, seen) = tokio::join!(first, others);
        first.unwrap();
        let seen: Vec<(u64, u64)> = seen.into_iter().map(Result::unwrap).collect();
        let expected: Vec<_> = (1..=20).map(|written| (written, 0)).collect();
        assert_eq!(seen, expected, "in order; and readers saw none of it before all of it was done");
        assert_eq!(turns.load(Ordering::Relaxed), 20, "nothing ran twice");
    }

    #[tokio::test]
    async fn a_write_happens_though_its_caller_went_away() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        assert_eq!(add(&database, 1, 7).now_or_never().map(|answered| answered.is_ok()), None, "polled once, dropped");
        add(&database, 2, 1).await.unwrap();
        assert_eq!(sum(&database), 8);
    }

    #[tokio::test]
    async fn a_rewrite_that_cannot_be_made_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path());
        add(&database, 1, 1).await.unwrap();
        // A folder that is not empty stands where the new file would be made.
        fs::create_dir_all(folder.path().join("numbers.rewrite/full")).unwrap();
        assert!(database.rewrite().await.is_err());
        add(&database, 2, 1).await.unwrap();
        fs::remove_dir_all(folder.path().join("numbers.rewrite")).unwrap();
        database.rewrite().await.unwrap();
        add(&database, 3, 1).await.unwrap();
        drop(database);
        assert_eq!(sum(&open(folder.path())), 3);
    }
}
