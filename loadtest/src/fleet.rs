//! Many sessions over several worker processes, each bound to addresses of its own.
//!
//! One process holds a limited number of descriptors, one address a limited number of ports, and
//! servers limit both. The coordinator starts workers of its own program, gives each its share of
//! the sessions, tells all the steps at once and adds up what they say. Workers end with it: their
//! standard input ends then.

mod order;
mod plan;
mod worker;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

pub(crate) use self::order::{Job, Step, Word};
pub(crate) use self::plan::{Options, SESSIONS_MAX, resolve};
pub(crate) use self::worker::work;
use crate::course::Course;
use crate::meter::Delta;
use crate::usage::Sampler;

/// How long a worker may take to start and read its job.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a worker may take to end when it has nothing more to do.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked at what is used.
const SAMPLE: Duration = Duration::from_millis(500);
/// Words of workers that wait to be added up; a worker that says more waits.
const WORDS_MAX: usize = 1024;
/// A worker may take this much longer than a step is meant to before the run is given up.
const GRACE: Duration = Duration::from_secs(15);

/// The workers of a run.
pub(crate) struct Fleet {
    workers: Vec<Worker>,
    words: mpsc::Receiver<(usize, Option<Word>)>,
    /// What happened until now.
    pub(crate) course: Course,
    bar: ProgressBar,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
}

impl Fleet {
    /// Starts a worker for each job, and waits until all have theirs.
    pub(crate) async fn start(jobs: Vec<Job>, server: Option<u32>) -> anyhow::Result<Self> {
        let (sender, words) = mpsc::channel(WORDS_MAX);
        let program = std::env::current_exe().context("where this program is")?;
        let mut workers = Vec::with_capacity(jobs.len());
        for (number, job) in jobs.iter().enumerate() {
            let mut child = Command::new(&program)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("a worker does not start")?;
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            let (Some(stdin), Some(stdout)) = (stdin, stdout) else { bail!("a worker without pipes") };
            tokio::spawn(listen(number, stdout, sender.clone()));
            let mut worker = Worker { child, stdin };
            worker.say(job).await?;
            workers.push(worker);
        }
        let pids = workers.iter().filter_map(|worker| worker.child.id()).collect();
        let course = Course::start(Sampler::of(server, pids));
        let mut fleet = Self { workers, words, course, bar: bar() };
        timeout(START_PATIENCE, fleet.all_ready()).await.context("the workers are not ready in time")??;
        fleet.course.restart();
        fleet.course.look();
        Ok(fleet)
    }

    async fn all_ready(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.workers.len() {
            match self.words.recv().await {
                Some((_, Some(Word::Ready))) => {}
                _ => bail!("a worker ended before it began"),
            }
        }
        Ok(())
    }

    /// Has all workers take a step, and waits until they have; answers the newest offsets they know.
    ///
    /// # Errors
    /// A worker ended, or they take longer than the step is meant to.
    pub(crate) async fn step(&mut self, step: &Step, patience: Duration) -> anyhow::Result<BTreeMap<String, u64>> {
        for worker in &mut self.workers {
            worker.say(step).await?;
        }
        let deadline = Instant::now() + patience + GRACE;
        let mut ticks = interval(SAMPLE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut missing, mut newest) = (self.workers.len(), BTreeMap::new());
        while missing > 0 {
            tokio::select! {
                word = self.words.recv() => match word {
                    Some((_, Some(Word::Delta(delta)))) => {
                        self.course.add(&delta)?;
                        self.bar.set_message(told(self.course.whole()));
                    }
                    Some((_, Some(Word::Done { heads }))) => {
                        missing -= 1;
                        for (stream, head) in heads {
                            let known = newest.entry(stream).or_insert(0);
                            *known = head.max(*known);
                        }
                    }
                    Some((_, Some(Word::Ready))) => {}
                    Some((number, None)) => bail!("worker {number} has ended"),
                    None => bail!("the workers have ended"),
                },
                _ = ticks.tick() => {
                    self.course.look();
                    self.bar.tick();
                }
                () = sleep_until(deadline) => bail!("{step:?} takes longer than {:?}", patience + GRACE),
            }
        }
        self.course.look();
        Ok(newest)
    }

    /// Ends all workers.
    pub(crate) async fn end(mut self) -> anyhow::Result<Course> {
        self.bar.finish_and_clear();
        for worker in self.workers.drain(..) {
            let Worker { mut child, stdin } = worker;
            drop(stdin);
            let status = timeout(END_PATIENCE, child.wait()).await.context("a worker does not end")??;
            ensure!(status.success(), "a worker ended with {status}");
        }
        Ok(self.course)
    }
}

impl Worker {
    async fn say<T: serde::Serialize>(&mut self, what: &T) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await.context("a worker does not listen")
    }
}

/// Hands on what a worker says; `None` when it says no more.
async fn listen(number: usize, stdout: ChildStdout, words: mpsc::Sender<(usize, Option<Word>)>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(word) = serde_json::from_str(&line) else { break };
        if words.send((number, Some(word))).await.is_err() {
            return;
        }
    }
    _ = words.send((number, None)).await;
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// What was counted, for the progress.
fn told(delta: &Delta) -> String {
    let counts: Vec<_> = delta.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    counts.join(", ")
}
