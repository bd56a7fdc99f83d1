//! The thread that alone writes the views.
//!
//! It takes the batches that wait, in order, and commits up to [`COMMIT_ROWS_MAX`] rows of them at
//! once: all of a batch is in one commit. It ends when the adapter is dropped, after it has written
//! what waited. An error of the disk poisons the store until it is opened anew; every later batch is
//! answered with an error and nothing of it is visible.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc as threads;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::{Keyspace, OwnedWriteBatch, PersistMode, Slice};
use tokio::sync::{mpsc, oneshot};

use super::folder::{self, Database};
use super::rows::{self, Encoded, Row, Tree};
use crate::Error;
use crate::journal::{JournalKey, Slot};
use crate::metrics as names;
use crate::views::Gone;

/// How many batches wait: one of each of 256 shards, some 12 MB of them.
pub const QUEUE_BATCHES_MAX: usize = 256;

/// How many rows one commit merges. Larger ones cost no less a row (measured: 2.7 µs of CPU at 2,400
/// rows, 2.4 at 9,600) and make those at its front wait.
pub const COMMIT_ROWS_MAX: usize = 8_192;

/// How long a drop waits for the last commits, before it leaves the thread to the end of the process:
/// the store's own waits for room do not end if its background work has failed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

struct Job {
    work: Work,
    since: Instant,
    reply: oneshot::Sender<Result<(), Error>>,
}

enum Work {
    Apply(Encoded),
    Remove(Gone),
}

impl Work {
    fn rows(&self) -> usize {
        match self {
            Self::Apply(batch) => batch.rows.len(),
            Self::Remove(_) => 0,
        }
    }
}

/// The handle of the thread.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    ended: parking_lot::Mutex<threads::Receiver<()>>,
}

impl Writer {
    /// Starts the thread; `through` is what the database holds of each journal.
    pub(super) fn start(dir: &Path, database: Database, through: HashMap<JournalKey, Slot>) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (end, ended) = threads::channel();
        let state = State { dir: dir.to_owned(), database, through };
        let thread = std::thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || {
                state.run(queue);
                // Nobody listens if the adapter was leaked; the thread ends all the same.
                drop(end);
            })
            .map_err(|e| Error::io("starting the thread that writes the views", e))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), ended: parking_lot::Mutex::new(ended) })
    }

    /// Writes a batch and answers when reads see it.
    pub(super) async fn apply(&self, batch: Encoded) -> Result<(), Error> {
        self.ask(Work::Apply(batch)).await
    }

    /// Removes rows and answers when reads are without them.
    pub(super) async fn remove(&self, gone: Gone) -> Result<(), Error> {
        self.ask(Work::Remove(gone)).await
    }

    async fn ask(&self, work: Work) -> Result<(), Error> {
        let gone = || Error::Unavailable("the views are closed".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        let (reply, answer) = oneshot::channel();
        jobs.send(Job { work, since: Instant::now(), reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        let Some(thread) = self.thread.take() else { return };
        match self.ended.lock().recv_timeout(CLOSE_WAIT) {
            Err(threads::RecvTimeoutError::Timeout) => {
                tracing::warn!("the views did not close in {CLOSE_WAIT:?}; what they miss is projected again");
            }
            Ok(()) | Err(threads::RecvTimeoutError::Disconnected) => {
                if thread.join().is_err() {
                    tracing::error!("the thread that writes the views panicked");
                }
            }
        }
    }
}

/// What the thread owns.
struct State {
    dir: PathBuf,
    database: Database,
    through: HashMap<JournalKey, Slot>,
}

impl State {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let depth = metrics::gauge!(names::VIEWS_QUEUE_BATCHES);
        let apply_seconds = metrics::histogram!(names::VIEWS_APPLY_SECONDS);
        let commit_rows = metrics::histogram!(names::VIEWS_COMMIT_ROWS);
        let mut held: Option<Job> = None;
        while let Some(first) = held.take().or_else(|| queue.blocking_recv()) {
            #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
            depth.set(queue.len() as f64);
            let mut rows = 0;
            let mut jobs = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next.take() {
                rows += job.work.rows();
                // What is removed is so in a commit of its own: a key may be in one only once.
                let alone = matches!(job.work, Work::Remove(_));
                jobs.push(job);
                if alone {
                    break;
                }
                match queue.try_recv() {
                    Ok(job) if matches!(job.work, Work::Apply(_)) && rows + job.work.rows() <= COMMIT_ROWS_MAX => {
                        next = Some(job);
                    }
                    Ok(job) => held = Some(job),
                    Err(_) => {}
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            commit_rows.record(rows as f64);
            let outcome = self.commit(&mut jobs);
            for Job { since, reply, .. } in jobs {
                apply_seconds.record(since.elapsed());
                // A caller that no longer waits has its batch written all the same.
                drop(reply.send(outcome.clone().map_err(Error::Unavailable)));
            }
        }
    }

    /// Commits the rows of the batches that are newer than what is stored; an error says why not.
    fn commit(&mut self, jobs: &mut [Job]) -> Result<(), String> {
        let mut reached: HashMap<JournalKey, Slot> = HashMap::new();
        let mut rows = Vec::new();
        for Job { work, .. } in jobs {
            let batch = match work {
                Work::Apply(batch) => batch,
                Work::Remove(gone) => {
                    return self.remove(gone).map_err(|error| {
                        let error = folder::failed(&self.dir, "removing rows of the views", error);
                        tracing::error!(%error, "rows whose time is over cannot be removed");
                        error.to_string()
                    });
                }
            };
            let stored = reached.get(&batch.key).or_else(|| self.through.get(&batch.key));
            if stored.is_none_or(|stored| batch.through > *stored) {
                reached.insert(batch.key, batch.through);
                rows.append(&mut batch.rows);
            }
        }
        self.write(rows).map_err(|error| {
            let error = folder::failed(&self.dir, "writing the views", error);
            tracing::error!(%error, "the views cannot be written until the process is started anew");
            error.to_string()
        })?;
        self.through.extend(reached);
        Ok(())
    }

    /// Removes rows, at most [`COMMIT_ROWS_MAX`] in one commit: it is done again if it is cut short.
    fn remove(&self, gone: &Gone) -> fjall::Result<()> {
        let mut removal = Removal::new(&self.database);
        for (stream, through) in &gone.events {
            let range = rows::event_key(*stream, 0)..=rows::event_key(*stream, *through);
            for guard in self.database.events.range(range) {
                let key = guard.key()?;
                removal.add(&self.database.events, key)?;
            }
        }
        for (table, partition, sort) in &gone.cells {
            let key = rows::cell_key(*table, *partition, sort);
            removal.add(&self.database.rows, Slice::from(key.as_slice()))?;
        }
        removal.commit()
    }

    /// Writes rows in one commit, the last of each key.
    ///
    /// All rows of a commit have one version in the store, so a key may be in it only once.
    fn write(&self, mut rows: Vec<Row>) -> fjall::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by(|a, b| (a.tree, &a.key).cmp(&(b.tree, &b.key)));
        rows.dedup_by(|later, earlier| {
            let same = later.tree == earlier.tree && later.key == earlier.key;
            if same {
                std::mem::swap(&mut later.value, &mut earlier.value);
            }
            same
        });
        let mut batch = OwnedWriteBatch::with_capacity(self.database.store.clone(), rows.len())
            .durability(Some(PersistMode::Buffer));
        for Row { tree, key, value } in rows {
            let tree = match tree {
                Tree::Events => &self.database.events,
                Tree::Rows => &self.database.rows,
            };
            batch.insert(tree, key, value);
        }
        batch.commit()
    }
}

/// Removals in the making, a commit after another.
struct Removal<'a> {
    database: &'a Database,
    batch: OwnedWriteBatch,
}

impl<'a> Removal<'a> {
    fn new(database: &'a Database) -> Self {
        Self { database, batch: Self::batch(database) }
    }

    fn batch(database: &Database) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(database.store.clone(), COMMIT_ROWS_MAX).durability(Some(PersistMode::Buffer))
    }

    fn add(&mut self, tree: &Keyspace, key: Slice) -> fjall::Result<()> {
        self.batch.remove(tree, key);
        if self.batch.len() >= COMMIT_ROWS_MAX {
            std::mem::replace(&mut self.batch, Self::batch(self.database)).commit()?;
        }
        Ok(())
    }

    fn commit(self) -> fjall::Result<()> {
        self.batch.commit()
    }
}
