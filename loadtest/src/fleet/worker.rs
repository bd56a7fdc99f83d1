//! A worker: does what it is told on standard input, says what happens on standard output.
//!
//! One thread: thousands of sessions share its buffers without a lock.

use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Job, Step, Word};
use crate::crowd::Crowd;

/// How often it says what happened.
const SAY: Duration = Duration::from_millis(250);

/// Works until standard input ends.
pub(crate) fn work() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, follow())?;
    // Reading standard input may still block a thread that nobody waits for.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn follow() -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin());
    let job: Job = next(&mut lines).await?.context("no job")?;
    let crowd = Rc::new(Crowd::of(job));
    say(&Word::Ready)?;
    // Read beside the work: that there will be no more ends it in the middle of a step.
    let (sender, mut steps) = mpsc::channel::<Step>(1);
    let reading = async move {
        while let Some(step) = next(&mut lines).await? {
            sender.send(step).await.ok();
        }
        anyhow::Ok(())
    };
    let working = async {
        while let Some(step) = steps.recv().await {
            take(&crowd, step).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = reading => ended,
        failed = working => failed,
    }
}

async fn next<T: serde::de::DeserializeOwned>(lines: &mut BufReader<Stdin>) -> anyhow::Result<Option<T>> {
    let mut line = String::new();
    if lines.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

/// Takes a step, and says every now and then what happens.
async fn take(crowd: &Rc<Crowd>, step: Step) -> anyhow::Result<()> {
    let mut ticks = interval(SAY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taking = std::pin::pin!(crowd.step(step));
    loop {
        tokio::select! {
            () = &mut taking => break,
            _ = ticks.tick() => say(&Word::Delta(crowd.take()))?,
        }
    }
    say(&Word::Delta(crowd.take()))?;
    say(&Word::Done { heads: crowd.heads() })
}

fn say(word: &Word) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    Ok(stdout.flush()?)
}
