//! Redriving many dead letters: by a filter, at a rate, with progress that can be asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::OperationId;
use parking_lot::Mutex;
use storage::deliveries::{DeadLetterFilter, Deliveries, PAGE_MAX};

use super::DeadLetterBox;
use super::undelivered::RedriveError;

/// The most jobs that are remembered; the oldest goes first.
const JOBS_MAX: usize = 16;

/// How long a job waits when the store or the actor does not answer, and how often it does.
const RETRY: Duration = Duration::from_millis(500);
const RETRIES_MAX: u32 = 20;

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Letters that were offered again.
    pub redriven: u64,
    /// Letters that could not be: resolved meanwhile, or of another kind.
    pub skipped: u64,
    /// Whether all were looked at.
    pub done: bool,
    /// Whether the job gave up because the store did not answer.
    pub failed: bool,
}

/// Jobs of a node since it began.
#[derive(Clone, Default)]
pub(super) struct Jobs {
    all: Arc<Mutex<VecDeque<(OperationId, Progress)>>>,
}

impl Jobs {
    pub(super) fn get(&self, id: OperationId) -> Option<Progress> {
        self.all.lock().iter().find(|(other, _)| *other == id).map(|(_, progress)| *progress)
    }

    /// Begins a job.
    pub(super) fn start(
        &self,
        id: OperationId,
        letters: DeadLetterBox,
        deliveries: Arc<dyn Deliveries>,
        filter: DeadLetterFilter,
        per_second: u32,
    ) {
        let mut all = self.all.lock();
        if all.len() >= JOBS_MAX {
            all.pop_front();
        }
        all.push_back((id, Progress::default()));
        drop(all);
        let jobs = self.clone();
        tokio::spawn(async move { jobs.run(id, &letters, &*deliveries, filter, per_second.max(1)).await });
    }

    fn change(&self, id: OperationId, change: impl FnOnce(&mut Progress)) {
        if let Some((_, progress)) = self.all.lock().iter_mut().find(|(other, _)| *other == id) {
            change(progress);
        }
    }

    async fn run(
        &self,
        id: OperationId,
        letters: &DeadLetterBox,
        deliveries: &dyn Deliveries,
        filter: DeadLetterFilter,
        per_second: u32,
    ) {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut before = None;
        let mut failures = 0;
        loop {
            let Ok(page) = deliveries.dead_letters(filter, before, PAGE_MAX).await else {
                failures += 1;
                if failures > RETRIES_MAX {
                    self.change(id, |progress| progress.failed = true);
                    return;
                }
                tokio::time::sleep(RETRY).await;
                continue;
            };
            for letter in page.letters {
                pace.tick().await;
                let mut outcome = letters.redrive(letter.id).await;
                for _ in 0..RETRIES_MAX {
                    if !matches!(outcome, Err(RedriveError::Away | RedriveError::Store(_))) {
                        break;
                    }
                    tokio::time::sleep(RETRY).await;
                    outcome = letters.redrive(letter.id).await;
                }
                self.change(id, |progress| match outcome {
                    Ok(_) => progress.redriven += 1,
                    Err(_) => progress.skipped += 1,
                });
            }
            before = page.next;
            if before.is_none() {
                self.change(id, |progress| progress.done = true);
                return;
            }
        }
    }
}
