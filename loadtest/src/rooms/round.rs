//! Everybody connected, some publish, all hear: what `rooms` and `fanout` have in common.

use std::time::Duration;

use crate::clock;
use crate::course::Course;
use crate::crowd::{DELIVERY, DELIVERY_STALLED};
use crate::fleet::{self, Fleet, Step, resolve};
use crate::http::Target;
use crate::length::{float, millis};
use crate::result::{Better, RunResult};
use crate::who::Bearers;

/// Connects a second while everybody comes in.
const CONNECTS_PER_SECOND: f64 = 4_000.0;
/// How long all may take to connect.
const CONNECT_PATIENCE: Duration = Duration::from_mins(2);
/// How long all may take to hear what is left when nobody publishes any more.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long closing may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// What is published, and who hears it.
pub(crate) struct Round {
    /// The subcommand.
    pub(crate) command: &'static str,
    /// The run's name.
    pub(crate) run: String,
    /// Which room each session follows; one for all, or one each.
    pub(crate) streams: Vec<String>,
    /// How many sessions.
    pub(crate) sessions: usize,
    /// How many of them publish, from the first.
    pub(crate) publishers: usize,
    /// Publications a second.
    pub(crate) rate: f64,
    /// How long.
    pub(crate) length: Duration,
    /// Bytes of a message's text.
    pub(crate) bytes: usize,
    /// How many of the sessions, the last ones, read nothing in a second round that is then played.
    pub(crate) stalled: usize,
}

impl Round {
    /// Plays it. What was not heard is in the result.
    pub(crate) async fn play(
        self,
        options: &fleet::Options,
        target: &Target,
        bearers: &Bearers,
    ) -> anyhow::Result<RunResult> {
        anyhow::ensure!(self.rate > 0.0 && self.rate <= 1e6, "--publishes is above 0 and at most a million");
        let server = resolve(target).await?;
        let plan = options.plan(server, &self.run, self.sessions, bearers, &self.streams, true)?;
        let workers = plan.jobs.len();
        let started_at = clock::stamp();
        let mut fleet = Fleet::start(plan.jobs, plan.server_pid).await?;
        let connect = Step::Connect { rate: Some(CONNECTS_PER_SECOND / float(workers as u64)) };
        fleet.step(&connect, CONNECT_PATIENCE + Duration::from_millis(self.sessions as u64)).await?;
        let before = fleet.course.look();
        let publish = Step::Publish {
            rate: self.rate,
            millis: millis(self.length),
            bytes: self.bytes,
            publishers: self.publishers,
        };
        let mut heads = fleet.step(&publish, self.length + SETTLE_PATIENCE).await?;
        let mut after = fleet.course.look();
        if self.stalled > 0 {
            let settle = Step::Settle { patience_ms: millis(SETTLE_PATIENCE), heads };
            fleet.step(&settle, SETTLE_PATIENCE).await?;
            fleet.step(&Step::Stall { from: self.sessions.saturating_sub(self.stalled) }, CLOSE_PATIENCE).await?;
            heads = fleet.step(&publish, self.length + SETTLE_PATIENCE).await?;
            after = fleet.course.look();
        }
        let settle = Step::Settle { patience_ms: millis(SETTLE_PATIENCE), heads };
        fleet.step(&settle, SETTLE_PATIENCE).await?;
        fleet.step(&Step::Close, CLOSE_PATIENCE).await?;
        let course = fleet.end().await?;

        let mut result = RunResult::of(self.command, started_at, &course);
        result.setting("url", &options.url);
        result.setting("sessions", self.sessions);
        result.setting("publishes", format!("{}/s", self.rate));
        result.setting("for", format!("{:?}", self.length));
        result.setting("bytes", self.bytes);
        result.setting("workers", workers);
        result.setting("who", &bearers.way);
        let messages = course.whole().count("messages");
        let (cores, tool) = after.cores_since(&before);
        if let Some(cores) = cores {
            let each = cores * after.seconds_since(&before) * 1e6 / float(messages.max(1));
            result.figure("cpu.delivery", "server CPU a delivery", each, "µs", Some(Better::Lower));
        }
        result.figure("cpu.tool", "load tool CPU", tool * 100.0, "% of a core", None);
        self.tell(&mut result, &course);
        Ok(result)
    }

    fn tell(&self, result: &mut RunResult, course: &Course) {
        let whole = course.whole();
        let rounds = if self.stalled > 0 { 2 } else { 1 };
        let (higher, seconds) = (Some(Better::Higher), (self.length * rounds).as_secs_f64());
        let per_second = |name: &str| float(whole.count(name)) / seconds;
        let settles = self.sessions + self.sessions.saturating_sub(self.stalled) * (rounds as usize - 1);
        let settled = float(whole.count("settled")) / float(settles as u64) * 100.0;
        result.figure("publishes", "publications a second, durable", per_second("durable"), "/s", higher);
        result.figure("deliveries", "deliveries a second", per_second("messages"), "/s", higher);
        result.figure("repeated", "of them repeated", float(whole.count("repeated")), "", None);
        result.figure("settled", "sessions that heard everything", settled, "%", higher);
        result.latency(course, "publish", "from due to durable");
        result.latency(course, DELIVERY, "from due to heard");
        if self.stalled > 0 {
            result.setting("stalled", self.stalled);
            result.latency(course, DELIVERY_STALLED, "the same, of the others");
        }
        result.series.push(course.rate("messages", "deliveries"));
        if whole.count("durable") == 0 {
            result.fail("nothing was published");
        }
        let unanswered = whole.count("published").saturating_sub(whole.count("durable"));
        let faults = [
            (unanswered, "publications were not answered"),
            (whole.count("unpublished"), "publications could not be sent"),
            (whole.count("lost"), "times messages were lost"),
            (whole.count("gaps"), "gaps were said"),
            (whole.count("unsettled"), "sessions did not hear everything"),
            (whole.count("refused"), "sessions did not come in"),
            (whole.count("dropped"), "sessions did not stay"),
            (whole.count("foreign"), "times something came that is no frame"),
        ];
        for (count, what) in faults {
            if count > 0 {
                result.fail(format!("{count} {what}"));
            }
        }
        for (name, count) in whole.counts.iter().filter(|(name, _)| name.starts_with("error ")) {
            result.fail(format!("{count} times {name}"));
        }
    }
}
