//! `loadtest storm`: everyone is cut off at once, and comes back.
//!
//! All sessions are connected, each as a device that follows its account, while money moves. Then
//! every connection is cut (or the server is killed and started again), and every device comes back
//! without a place of its own: the server must remember it. What counts is the time until the last
//! one is caught up, and that each heard every offset of its account.

mod senders;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use self::senders::Senders;
use crate::clock;
use crate::course::Course;
use crate::fleet::{self, Fleet, Step, resolve};
use crate::http::Target;
use crate::length::{duration, float, millis};
use crate::process::Server;
use crate::result::{Better, RunResult};
use crate::usage::listener;
use crate::who::Bearers;

/// How long all may take to connect at first.
const CONNECT_PATIENCE: Duration = Duration::from_mins(2);
/// How long all may take to come back, beyond the spread. Far above every goal: it bounds the run.
const RESUME_PATIENCE: Duration = Duration::from_mins(1);
/// How long all may take to hear what is left when no more money moves.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long closing may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// What to cut off.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    fleet: fleet::Options,
    /// How many sessions.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(fleet::SESSIONS_MAX)))]
    sessions: u32,
    /// Connects a second at first.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Each comes back at a random time in so long: `0s` is all at once.
    #[arg(long, default_value = "0s", value_parser = duration)]
    spread: Duration,
    /// How long all stay before the storm and after it, while money moves.
    #[arg(long, default_value = "3s", value_parser = duration)]
    calm: Duration,
    /// How many people send money to others all the time; 0 for none.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    senders: u16,
    /// Transfers a second, all senders together.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    transfers: u32,
    /// How to start the server, run by `sh -c exec`; it must print where it listens. Without it the
    /// one at --url is used.
    #[arg(long)]
    server: Option<String>,
    /// Kill the server of --server with SIGKILL and start it again, instead of cutting connections;
    /// time counts from when it is ready.
    #[arg(long, requires = "server")]
    kill: bool,
}

/// Lets a storm pass over a node. Fails if anything is lost.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut server = match &options.server {
        Some(command) => Some(Server::start(command).await?),
        None => None,
    };
    let url = server.as_ref().map_or(&options.fleet.url, |server| &server.url).clone();
    let target = Target::of(&url)?;
    let address = resolve(&target).await?;
    let run = format!("{:08x}", rand::random::<u32>());
    let sessions = options.sessions as usize;
    let bearers = options.fleet.who.bearers(&target, &run, sessions).await?;
    if options.senders > 0 && !options.fleet.who.has_file() {
        crate::transfers::fund(&target, &run, &bearers.all).await?;
    }
    let plan = options.fleet.plan(address, &run, sessions, &bearers, &["account".to_owned()], true)?;
    let workers = plan.jobs.len();

    let started_at = clock::stamp();
    let mut fleet = Fleet::start(plan.jobs, plan.server_pid).await?;
    let rate = Some(f64::from(options.rate) / float(workers as u64));
    let patience = CONNECT_PATIENCE + Duration::from_secs(u64::from(options.sessions / options.rate));
    fleet.step(&Step::Connect { rate }, patience).await?;
    let senders = Senders::start(&target, &run, &bearers, sessions, usize::from(options.senders), options.transfers);
    fleet.step(&Step::Hold { millis: millis(options.calm) }, options.calm).await?;

    let storm = if options.kill {
        kill(&mut fleet, &mut server, &options, &target).await?
    } else {
        Storm { server: address, ready_after: None }
    };
    let (began, before) = (fleet.course.elapsed(), fleet.course.look());
    let patience = options.spread + RESUME_PATIENCE;
    let resume =
        Step::Resume { server: storm.server, spread_ms: millis(options.spread), patience_ms: millis(patience) };
    fleet.step(&resume, patience).await?;
    let after = fleet.course.look();
    fleet.step(&Step::Hold { millis: millis(options.calm) }, options.calm).await?;
    senders.stop().await;
    let settle = Step::Settle { patience_ms: millis(SETTLE_PATIENCE), heads: std::collections::BTreeMap::new() };
    fleet.step(&settle, SETTLE_PATIENCE).await?;
    fleet.step(&Step::Close, CLOSE_PATIENCE).await?;
    let sent = senders.finish(&mut fleet.course).await?;
    let course = fleet.end().await?;
    let stopped = match server {
        Some(server) => server.stop().await.map(|_| ()),
        None => Ok(()),
    };

    let mut result = RunResult::of("storm", started_at, &course);
    settings(&mut result, &options, &url, workers, &bearers);
    result.figure("began", "the storm began after", began.as_secs_f64(), "s", None);
    if let Some(ready_after) = storm.ready_after {
        let seconds = ready_after.as_secs_f64();
        result.figure("ready", "server ready after its start", seconds, "s", Some(Better::Lower));
    }
    if let (Some(cores), _) = after.cores_since(&before) {
        result.figure("cpu", "server CPU in the storm", cores * 100.0, "% of a core", None);
    }
    if let Some(kib) = course.sampler.rss_most_kib() {
        result.figure("rss.most", "server memory, at most", float(kib) / 1024.0, "MiB", Some(Better::Lower));
    }
    result.figure("sent", "transfers made meanwhile", float(sent), "", None);
    tell(&mut result, &course, sessions as u64);
    if let Err(error) = stopped {
        result.fail(format!("the server did not stop as it should: {error:#}"));
    }
    result.finish(options.fleet.json.as_deref())
}

/// The storm's other side.
struct Storm {
    server: SocketAddr,
    ready_after: Option<Duration>,
}

/// Kills the server and starts it again.
async fn kill(
    fleet: &mut Fleet,
    server: &mut Option<Server>,
    options: &Options,
    target: &Target,
) -> anyhow::Result<Storm> {
    let (running, command) = (server.take().context("no server")?, options.server.as_deref().unwrap_or_default());
    fleet.step(&Step::Brace, Duration::ZERO).await?;
    running.kill().await?;
    let started = Instant::now();
    let again = Server::start(command).await.context("after the kill")?;
    let ready_after = Some(started.elapsed());
    target.moved(&again.url)?;
    *server = Some(again);
    let address = resolve(target).await?;
    fleet.course.sampler.moved(listener(address));
    Ok(Storm { server: address, ready_after })
}

fn settings(result: &mut RunResult, options: &Options, url: &str, workers: usize, bearers: &Bearers) {
    result.setting("url", url);
    result.setting("sessions", options.sessions);
    result.setting("spread", format!("{} s", options.spread.as_secs_f64()));
    result.setting("end", if options.kill { "kill -9 of the server" } else { "all connections cut" });
    result.setting("senders", options.senders);
    result.setting("transfers", format!("{}/s", options.transfers));
    result.setting("workers", workers);
    result.setting("who", &bearers.way);
}

fn tell(result: &mut RunResult, course: &Course, sessions: u64) {
    let whole = course.whole();
    let (higher, lower) = (Some(Better::Higher), Some(Better::Lower));
    let share = |count: u64| float(count) / float(sessions) * 100.0;
    let caught_up = whole.count("caught up");
    result.figure("resumed", "sessions resumed", share(whole.count("resumed")), "%", higher);
    result.figure("caughtUp", "sessions caught up", share(caught_up), "%", higher);
    if let Some(timing) = whole.timings.get("caught up") {
        result.figure("all", "until all were caught up", timing.millis().max / 1000.0, "s", lower);
    }
    result.latency(course, "resumed", "from the cut to resumed");
    result.latency(course, "caught up", "from the cut to caught up");
    result.series.push(course.rate("caught up", "sessions caught up"));
    result.series.push(course.rate("messages", "messages"));
    result.figure("messages", "messages heard", float(whole.count("messages")), "", None);
    result.figure("repeated", "of them heard before", float(whole.count("repeated")), "", None);
    result.figure("again", "attempts that were refused", float(whole.count("again")), "", lower);
    result.figure("settled", "sessions that heard everything", share(whole.count("settled")), "%", higher);
    let faults = [
        ("lost", "times messages were lost"),
        ("gaps", "gaps where there must be none"),
        ("unsettled", "sessions did not hear everything"),
        ("refused", "sessions did not come in"),
        ("dropped", "sessions did not stay"),
        ("foreign", "times something came that is no frame"),
        ("overdue", "workers were not through in time"),
    ];
    for (name, what) in faults {
        if whole.count(name) > 0 {
            result.fail(format!("{} {what}", whole.count(name)));
        }
    }
    if caught_up < sessions {
        result.fail(format!("{} of {sessions} sessions were not caught up", sessions - caught_up));
    }
}
