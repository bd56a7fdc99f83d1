//! `loadtest flood`: everyone comes at once.
//!
//! Sessions connect at a rate, say hello and follow their accounts; how long each takes counts from
//! when it was meant to begin (open loop, without coordinated omission). Then all stay, idle, and
//! what that costs the server is measured.

use std::process::ExitCode;
use std::time::Duration;

use crate::clock;
use crate::fleet::{self, Fleet, Step, resolve};
use crate::http::Target;
use crate::length::{duration, float, millis};
use crate::result::{Better, RunResult};

/// How long all connections may take in the end, beyond what the rate says.
const PATIENCE: Duration = Duration::from_secs(70);
/// How long closing may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the server has to come to rest before idling is measured.
const REST: Duration = Duration::from_secs(2);

/// What to connect, and how fast.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    fleet: fleet::Options,
    /// How many sessions.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(fleet::SESSIONS_MAX)))]
    sessions: u32,
    /// Connects a second, whatever becomes of them.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// As fast as --in-flight allows, instead of at a rate: for the most that can be had.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// How long all stay, idle: `60s`. Longer than the server's heartbeat, so that its cost is seen.
    #[arg(long, default_value = "30s", value_parser = duration)]
    hold: Duration,
    /// Have each session name a device, whose place the server keeps.
    #[arg(long)]
    devices: bool,
}

/// Floods a node. Fails if a session does not come in or does not stay.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let target = Target::of(&options.fleet.url)?;
    let server = resolve(&target).await?;
    let run = format!("{:08x}", rand::random::<u32>());
    let sessions = options.sessions as usize;
    let bearers = options.fleet.who.bearers(&target, &run, sessions).await?;
    let plan = options.fleet.plan(server, &run, sessions, &bearers, &["account".to_owned()], options.devices)?;
    let (workers, addresses) = (plan.jobs.len(), plan.jobs.first().map_or(0, |job| job.addresses.len()));

    let started_at = clock::stamp();
    let mut fleet = Fleet::start(plan.jobs, plan.server_pid).await?;
    let before = fleet.course.look();
    let share = f64::from(options.rate) / float(workers as u64);
    let rate = (!options.closed).then_some(share);
    let patience = PATIENCE + Duration::from_secs(u64::from(options.sessions / options.rate.max(1)));
    fleet.step(&Step::Connect { rate }, patience).await?;
    let connected = fleet.course.look();

    let rest = REST.min(options.hold);
    fleet.step(&Step::Hold { millis: millis(rest) }, rest).await?;
    let resting = fleet.course.look();
    let idle = options.hold.saturating_sub(rest);
    fleet.step(&Step::Hold { millis: millis(idle) }, idle).await?;
    let rested = fleet.course.look();
    fleet.step(&Step::Close, CLOSE_PATIENCE).await?;
    let course = fleet.end().await?;

    let mut result = RunResult::of("flood", started_at, &course);
    result.setting("url", &options.fleet.url);
    result.setting("sessions", sessions);
    result.setting("rate", if options.closed { "closed".to_owned() } else { format!("{}/s", options.rate) });
    result.setting("workers", workers);
    result.setting("addresses", addresses);
    result.setting("devices", options.devices);
    result.setting("hold", format!("{:?}", options.hold));
    result.setting("who", &bearers.way);
    let whole = course.whole();
    let (came_in, lower) = (whole.count("in"), Some(Better::Lower));
    let sum = float(came_in);
    // Of the worker that took longest, from its first to its last.
    let took = whole.timings.get("all in").map_or(0.0, |timing| timing.millis().max / 1000.0);
    result.figure("in", "sessions in", sum / float(sessions as u64) * 100.0, "%", Some(Better::Higher));
    result.figure("connects", "connects a second", sum / took, "/s", Some(Better::Higher));
    result.latency(&course, "welcome", "from due to welcome");
    result.latency(&course, "subscribed", "from due to subscribed");
    result.series.push(course.rate("in", "sessions in"));
    if let (Some(empty), Some(full)) = (before.server(), resting.server()) {
        let bytes = float(full.rss_kib.saturating_sub(empty.rss_kib)) * 1024.0 / sum.max(1.0);
        result.figure("rss.empty", "server memory before", float(empty.rss_kib) / 1024.0, "MiB", lower);
        result.figure("rss.full", "server memory, all in", float(full.rss_kib) / 1024.0, "MiB", lower);
        result.figure("rss.session", "server memory a session", bytes, "bytes", lower);
    }
    let (server_connecting, tool) = connected.cores_since(&before);
    if let Some(cores) = server_connecting {
        let each = cores * connected.seconds_since(&before) * 1e6 / sum.max(1.0);
        result.figure("cpu.connect", "server CPU a connect", each, "µs", lower);
    }
    result.figure("cpu.tool", "load tool CPU while connecting", tool * 100.0, "% of a core", None);
    if let (Some(cores), false) = (rested.cores_since(&resting).0, idle.is_zero()) {
        result.figure("cpu.idle", "server CPU, all idle", cores * 100.0, "% of a core", lower);
        result.figure("pings", "heartbeats answered while idle", float(whole.count("pings")), "", None);
    }
    let missing = sessions as u64 - came_in.min(sessions as u64);
    for (name, count) in [
        ("did not come in", missing),
        ("did not stay", whole.count("dropped")),
        ("heard what is no frame", whole.count("foreign")),
    ] {
        if count > 0 {
            result.fail(format!("{count} sessions {name}"));
        }
    }
    result.finish(options.fleet.json.as_deref())
}
