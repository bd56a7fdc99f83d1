//! `loadtest transfers`: send transfers at a rate and measure how long each takes.
//!
//! Open loop, without coordinated omission: each transfer has a time at which it is meant to be
//! sent, and its latency counts from there, however late a connection was free for it. `--closed`
//! sends as fast as the connections allow instead, for the most that can be had.

mod follow;
mod fund;
mod send;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::follow::Followers;
pub(crate) use self::fund::fund;
use self::send::Load;
pub(crate) use self::send::{Sent, transfer};
use crate::clock;
use crate::course::Course;
use crate::fleet::resolve;
use crate::http::Target;
use crate::length::{duration, float, millis};
use crate::meter::Meter;
use crate::pace::Pace;
use crate::result::{Better, RunResult};
use crate::usage::{Sample, Sampler, listener};
use crate::who;

/// How long messages may trail behind the last answer.
const TRAIL: Duration = Duration::from_secs(2);

/// What to send, and how fast.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the node is.
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    url: String,
    /// Transfers a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// As fast as the connections allow, instead of at a rate.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// How long to measure: `500ms`, `60s`, `5m`.
    #[arg(long = "for", default_value = "60s", value_parser = duration)]
    length: Duration,
    /// How long to send before measuring.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// How many connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    #[command(flatten)]
    who: who::Options,
    /// How many payees follow their accounts live; all transfers then go to them.
    #[arg(long, default_value_t = 0)]
    followers: u16,
    /// The server's process, to sample what it uses; found by its port if it is on this machine.
    #[arg(long, alias = "pid")]
    server_pid: Option<u32>,
    /// Write the result here, as JSON: for `report` and `compare`.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Sends transfers and tells how they fared. Fails if some were not answered, or none was.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let target = Target::of(&options.url)?;
    let server = resolve(&target).await?;
    let run = format!("{:08x}", rand::random::<u32>());
    // As many people as connections, at least two: a payer and a payee.
    let bearers = options.who.bearers(&target, &run, usize::from(options.connections).max(2)).await?;
    ensure!(bearers.all.len() >= 2, "transfers need two people");
    if !options.who.has_file() {
        fund(&target, &run, &bearers.all).await?;
    }
    let people: Arc<[_]> = bearers.all.into();
    let meter = Arc::new(Meter::default());
    let followers = Followers::start(&target, &people, usize::from(options.followers)).await?;
    let payees = if followers.count() == 0 { people.len() } else { followers.count() };

    let started_at = clock::stamp();
    let pace = Arc::new(Pace::start((!options.closed).then_some(options.rate), options.warm_up, options.length));
    let load = Arc::new(Load {
        target,
        run,
        people,
        payees,
        pace: Arc::clone(&pace),
        meter: Arc::clone(&meter),
        sent: (followers.count() > 0).then(parking_lot::Mutex::default),
    });
    let mut connections = JoinSet::new();
    for _ in 0..options.connections {
        connections.spawn(Arc::clone(&load).send_on_one_connection());
    }
    let sampler = Sampler::of(options.server_pid.or_else(|| listener(server)), Vec::new());
    let (mut course, before) = warm_up(&options, sampler).await;
    let measuring = Instant::now();
    note(&meter, &mut course, &options, &mut connections).await?;
    let seconds = measuring.elapsed().as_secs_f64();
    let after = course.look();
    if followers.count() > 0 {
        sleep(TRAIL).await;
    }
    let heard = followers.finish(load.sent.as_ref(), &meter)?;
    course.add(&meter.take())?;

    let mut result = RunResult::of("transfers", started_at, &course);
    result.setting("url", &options.url);
    result.setting("rate", if options.closed { "closed".to_owned() } else { format!("{}/s", options.rate) });
    result.setting("connections", options.connections);
    result.setting("followers", options.followers);
    result.setting("for", format!("{:?}", options.length));
    result.setting("who", &bearers.way);
    tell(&mut result, &course, seconds, &before, &after);
    if pace.unsent() > 0 {
        result.fail(format!("{} transfers were never sent", pace.unsent()));
    }
    for ended in heard {
        result.fail(format!("a follower's connection ended: {ended}"));
    }
    result.finish(options.json.as_deref())
}

/// Lets what is sent before anything is measured pass; the meter takes none of it.
async fn warm_up(options: &Options, sampler: Sampler) -> (Course, Sample) {
    sleep(options.warm_up).await;
    let mut course = Course::start(sampler);
    let before = course.look();
    (course, before)
}

/// Notes what happens, and shows it, until every connection is done.
async fn note(
    meter: &Meter,
    course: &mut Course,
    options: &Options,
    connections: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new(millis(options.length));
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    let mut done = 0;
    let mut last = Duration::ZERO;
    course
        .note(meter, connections, |delta, at| {
            let more = delta.count("completed") + delta.count("pending");
            done += more;
            let rate = float(more) / at.saturating_sub(std::mem::replace(&mut last, at)).as_secs_f64();
            bar.set_message(format!("{done} done, {rate:.0}/s"));
            bar.set_position(millis(at));
        })
        .await?;
    bar.finish_and_clear();
    Ok(())
}

fn tell(result: &mut RunResult, course: &Course, seconds: f64, before: &Sample, after: &Sample) {
    let whole = course.whole();
    let (higher, lower) = (Some(Better::Higher), Some(Better::Lower));
    let done = whole.count("completed") + whole.count("pending");
    result.figure("transfers", "transfers a second", float(done) / seconds.max(f64::MIN_POSITIVE), "/s", higher);
    result.figure("completed", "completed", float(whole.count("completed")), "", None);
    result.figure("pending", "pending", float(whole.count("pending")), "", None);
    for (name, count) in &whole.counts {
        if let Some(code) = name.strip_prefix("refused ") {
            result.figure(name, &format!("refused: {code}"), float(*count), "", None);
        }
    }
    result.latency(course, "answer", "from due to the answer");
    result.latency(course, "message", "from due to the message");
    result.latency(course, "late", "sent late by");
    result.series.push(course.rate("completed", "transfers"));
    let (server, tool) = after.cores_since(before);
    if let (Some(cores), Some(process)) = (server, after.server()) {
        let each = cores * after.seconds_since(before) * 1e6 / float(done.max(1));
        result.figure("cpu.transfer", "server CPU a transfer", each, "µs", lower);
        result.figure("rss", "server memory", float(process.rss_kib) / 1024.0, "MiB", lower);
        result.figure("rss.peak", "server memory, at most", float(process.rss_peak_kib) / 1024.0, "MiB", lower);
    }
    result.figure("cpu.tool", "load tool CPU", tool * 100.0, "% of a core", None);
    if whole.count("completed") == 0 {
        result.fail("no transfer was completed");
    }
    for (name, what) in [("unanswered", "transfers were not answered"), ("missing", "messages are missing")] {
        if whole.count(name) > 0 {
            result.fail(format!("{} {what}", whole.count(name)));
        }
    }
}
