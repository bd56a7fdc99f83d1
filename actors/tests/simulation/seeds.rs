//! Which seeds are run, and by how many threads.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::life::{Summary, run};

/// The seeds that the environment asks for (`SEED=n` for one, `SEEDS=n` for the first `n`), or the
/// first `default`.
pub(crate) fn asked_for(default: u64) -> (RangeInclusive<u64>, usize) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => (seed..=seed, 1),
        (None, seeds) => (1..=seeds.unwrap_or(default), workers),
    }
}

/// Runs all seeds. Answers the sum of what they did, or the first that failed. With `KEEP_GOING` in the
/// environment it prints what failed and goes on: what goes wrong often shows what is wrong.
pub(crate) fn run_all(seeds: RangeInclusive<u64>, workers: usize) -> Result<Summary, (u64, String)> {
    let keep_going = std::env::var_os("KEEP_GOING").is_some();
    let next = AtomicU64::new(*seeds.start());
    let result: Mutex<Result<Summary, (u64, String)>> = Mutex::new(Ok(Summary::default()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > *seeds.end() || result.lock().is_err() {
                        return;
                    }
                    let ran = run(seed);
                    if let (Err(wrong), true) = (&ran, keep_going) {
                        println!("SEED={seed}: {wrong}");
                        continue;
                    }
                    let mut result = result.lock();
                    match (ran, &mut *result) {
                        (Ok(ran), Ok(sum)) => sum.add(&ran),
                        (Err(wrong), Ok(_)) => *result = Err((seed, wrong)),
                        (_, Err(_)) => {}
                    }
                }
            });
        }
    });
    result.into_inner()
}

impl Summary {
    fn add(&mut self, other: &Self) {
        self.trace ^= other.trace;
        self.crashes += other.crashes;
        self.done += other.done;
        self.refused += other.refused;
        self.records += other.records;
    }
}

/// Keeps the faults that are put in on purpose out of the output.
pub(crate) fn silence_faults() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let on_purpose = panic.payload().downcast_ref::<&str>().is_some_and(|text| *text == "a fault was put in");
            if !on_purpose {
                before(panic);
            }
        }));
    });
}
