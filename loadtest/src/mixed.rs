//! `loadtest mixed`: scenarios in phases, as a file describes them, with limits that decide.
//!
//! Open loop: a scenario begins when it is due, whatever became of those before, and its first step's
//! latency counts from then.

mod play;
mod scenario;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use self::play::Player;
use self::scenario::{Mix, Phase, Step};
use crate::clock;
use crate::course::Course;
use crate::fleet::resolve;
use crate::http::Target;
use crate::length::{float, millis};
use crate::meter::Meter;
use crate::pace::Pace;
use crate::person::{self, Person};
use crate::result::{Better, RunResult};
use crate::usage::{Sampler, listener};
use crate::who::Bearer;

/// What to play.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the node is.
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    url: String,
    /// `wallet`, or a file like `loadtest/scenarios/wallet.toml`.
    #[arg(long, default_value = "wallet")]
    scenario: String,
    /// Scenarios begun a second at 100 %, instead of what the file says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// The server's process, to sample what it uses; found by its port if it is on this machine.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Write the result here, as JSON: for `report` and `compare`.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Plays a mix of scenarios. Fails if a limit of a step is not kept.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut mix = Mix::load(&options.scenario)?;
    mix.rate = options.rate.unwrap_or(mix.rate);
    let target = Target::of(&options.url)?;
    let server = resolve(&target).await?;
    let run = format!("{:08x}", rand::random::<u32>());
    let people: Arc<[Person]> = person::sign_up(&target, &run, usize::from(mix.people)).await?.into();
    let bearers: Vec<_> = people.iter().map(|it| Bearer { id: it.id, token: it.token.clone() }).collect();
    crate::transfers::fund(&target, &run, &bearers).await?;

    let started_at = clock::stamp();
    let mix = Arc::new(mix);
    let meter = Arc::new(Meter::default());
    let mut course = Course::start(Sampler::of(options.server_pid.or_else(|| listener(server)), Vec::new()));
    let before = course.look();
    let mut unsent = Vec::new();
    for phase in &mix.phases {
        let player = Player::of(&target, &run, &people, &mix, phase, &meter);
        let missed = play(&mut course, phase, player, &meter, usize::from(mix.connections)).await?;
        if missed > 0 {
            unsent.push(format!("phase {}: {missed} scenarios were never begun", phase.name));
        }
    }
    let after = course.look();

    let mut result = RunResult::of("mixed", started_at, &course);
    result.setting("url", &options.url);
    result.setting("scenario", &mix.name);
    result.setting("rate", format!("{}/s at 100 %", mix.rate));
    result.setting("people", mix.people);
    result.setting("connections", mix.connections);
    result.setting("who", format!("{} people who signed up", people.len()));
    tell(&mut result, &course, &mix);
    let (cores, tool) = after.cores_since(&before);
    if let Some(cores) = cores {
        result.figure("cpu", "server CPU", cores * 100.0, "% of a core", Some(Better::Lower));
    }
    result.figure("cpu.tool", "load tool CPU", tool * 100.0, "% of a core", None);
    for missed in unsent {
        result.fail(missed);
    }
    result.finish(options.json.as_deref())
}

/// Plays one phase; answers how many scenarios were due and never begun.
async fn play(
    course: &mut Course,
    phase: &Phase,
    player: Player,
    meter: &Meter,
    connections: usize,
) -> anyhow::Result<u64> {
    let pace = Arc::new(Pace::start(Some(player.rate()), std::time::Duration::ZERO, phase.length));
    let player = Arc::new(player);
    let mut playing = JoinSet::new();
    for _ in 0..connections {
        playing.spawn(Arc::clone(&player).play(Arc::clone(&pace)));
    }
    let bar = ProgressBar::new(millis(phase.length));
    if let Ok(style) = ProgressStyle::with_template("{prefix:>12} {elapsed_precise} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(phase.name.clone());
    let start = course.elapsed();
    course
        .note(meter, &mut playing, |delta, at| {
            bar.set_message(format!("{} steps", delta.count(play::STEPS)));
            bar.set_position(millis(at.saturating_sub(start)));
        })
        .await?;
    bar.finish_and_clear();
    Ok(pace.unsent())
}

fn tell(result: &mut RunResult, course: &Course, mix: &Mix) {
    let whole = course.whole();
    let (higher, lower) = (Some(Better::Higher), Some(Better::Lower));
    result.figure("steps", "steps", float(whole.count(play::STEPS)), "", higher);
    for step in mix.scenarios.iter().flat_map(|scenario| &scenario.steps) {
        let (done, failed) = (whole.count(&play::done(&step.name)), whole.count(&play::failed(&step.name)));
        let percent = float(failed) / float((done + failed).max(1)) * 100.0;
        result.figure(&format!("errors.{}", step.name), &format!("{}: errors", step.name), percent, "%", lower);
        result.latency(course, &play::timed(&step.name), &step.name);
        judge(result, course, step, done, percent);
    }
    for phase in mix.phases.iter().filter(|phase| phase.measured) {
        let name = play::phase(&phase.name);
        if let Some(timing) = whole.timings.get(name.as_str()) {
            result.distribution(&name, &format!("all, phase {}", phase.name), timing);
        }
    }
    result.series.push(course.rate(play::STEPS, "steps"));
}

/// Whether a step kept its limits.
fn judge(result: &mut RunResult, course: &Course, step: &Step, done: u64, percent: f64) {
    if percent > step.errors {
        result.fail(format!("{}: {percent:.2} % errors, at most {} % are allowed", step.name, step.errors));
    }
    let timing = course.whole().timings.get(play::timed(&step.name).as_str());
    let p99 = timing.map_or(0.0, |timing| timing.quantile(0.99));
    if p99 > step.p99.as_secs_f64() * 1000.0 {
        result.fail(format!("{}: p99 {p99:.1} ms, at most {:?} is allowed", step.name, step.p99));
    }
    if done == 0 {
        result.fail(format!("{}: never done", step.name));
    }
}
