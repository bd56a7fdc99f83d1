//! `loadtest check`: move money at random, kill the node, and judge the history of what was seen.
//!
//! People deposit, pay, hold, capture, release, refund and withdraw, over HTTP and WebSocket, each
//! under an idempotency key that is tried until its outcome is known. Devices follow accounts, go
//! away and come back. At the end every statement is read, and the [judge] compares it with what
//! was answered and heard. Only what the API promises is judged; nothing of the inside is known.

mod collect;
mod device;
mod freezer;
mod history;
mod judge;
mod report;
mod submit;
mod worker;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::device::Follower;
use self::freezer::{Administrator, Freezer};
use self::history::{History, Operation};
use self::report::{Report, Run};
use self::worker::Worker;
use self::world::World;
use crate::http::Target;
use crate::person::{self, Person};
use crate::process::Server;
use crate::proxy::Proxy;

/// How long outcomes, pending transfers and devices may take to settle at the end, each.
const SETTLE: Duration = Duration::from_mins(1);

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A server that runs already; nothing is started or killed.
    #[arg(long, conflicts_with_all = ["server", "kills"])]
    url: Option<String>,
    /// How to start a server, run by `sh -c exec`; it must print where it listens.
    #[arg(long, default_value = "target/release/quickpe --listen 127.0.0.1:0 --data target/check-data")]
    server: String,
    /// How often to end the server with SIGKILL and start it again.
    #[arg(long, default_value_t = 0)]
    kills: u32,
    /// The seed of everybody's plans; a random one if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// How many people take part.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=1000))]
    users: u16,
    /// How long they work; 2 seconds a kill and at least 20 if absent.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many devices follow each account.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=8))]
    devices: u16,
    /// Lead the WebSocket connections of devices through a proxy that delays, cuts, truncates, half-closes and
    /// throttles them, by a plan that follows from the seed.
    #[arg(long, conflicts_with = "no_websocket")]
    proxy: bool,
    /// Use HTTP only.
    #[arg(long)]
    no_websocket: bool,
    /// How to make somebody an administrator, who then freezes people: run with `EMAIL admin` behind it. Without it, or
    /// a token, nobody is frozen.
    #[arg(long, conflicts_with = "admin_token")]
    grant: Option<String>,
    /// A file with an administrator's access token, for freezes.
    #[arg(long)]
    admin_token: Option<PathBuf>,
    /// The most operations; bounds the memory of the history.
    #[arg(long, default_value_t = 300_000)]
    operations_max: usize,
    /// Write the report here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs the check. The exit code tells whether every promise was kept.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(rand::random);
    let run = format!("{:08x}", rand::random::<u32>());
    let token = options.admin_token.as_deref().map(token).transpose()?;
    let mut server = match options.url {
        Some(_) => None,
        None => Some(Server::start(&options.server).await?),
    };
    let url = options.url.clone().or_else(|| server.as_ref().map(|server| server.url.clone()));
    let target = Target::of(&url.context("no server")?)?;
    let mut people = person::sign_up(&target, &run, usize::from(options.users)).await?;
    let admin = match &options.grant {
        Some(grant) => Some(Administrator::granted(&target, &run, grant).await?),
        None => token.map(Administrator::of_token),
    };
    let freezes = admin.is_some();
    let handles = people.iter().map(|person| person.handle.clone()).collect();
    let proxy = if options.proxy { Some(Proxy::start(target.clone(), seed).await?) } else { None };
    let live = proxy.as_ref().map_or_else(|| target.clone(), |proxy| proxy.target.clone());
    let world = Arc::new(World::new(target, live, run, handles, options.operations_max));

    let crew = Crew::start(&world, &people, &options, seed, admin);
    let started = Instant::now();
    let mut restarts = Vec::new();
    let killed = work(&world, &options, seed, &mut server, &mut restarts).await;
    world.stop(SETTLE);
    // A server that does not come back ends the check, but not before everyone was told to stop.
    killed?;
    let worked = started.elapsed();
    let history = crew.finish(&world, &mut people).await?;
    let verdict = judge::judge(&history);
    let stopped = match server {
        None => None,
        Some(server) => Some(server.stop().await.map_err(|error| format!("{error:#}"))),
    };

    let run = Run {
        seed,
        users: options.users,
        seconds: worked.as_secs_f64(),
        kills: restarts.len(),
        restarts,
        websocket: !options.no_websocket,
        freezes,
        proxied: proxy.map(|proxy| proxy.made()),
        stopped,
    };
    let report = Report::of(run, &world, &history, verdict);
    report.print();
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first token of a file: alone on a line, or after a user's id and a tab.
fn token(path: &std::path::Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let token = line.rsplit('\t').next().unwrap_or_default().trim();
    ensure!(!token.is_empty(), "{} holds no token", path.display());
    Ok(token.to_owned())
}

/// Lets everyone work, and kills the server as often as it was asked for.
async fn work(
    world: &World,
    options: &Options,
    seed: u64,
    server: &mut Option<Server>,
    restarts: &mut Vec<Duration>,
) -> anyhow::Result<()> {
    let length = Duration::from_secs(options.seconds.unwrap_or_else(|| u64::from(options.kills) * 2).max(1));
    let length = if options.seconds.is_none() { length.max(Duration::from_secs(20)) } else { length };
    let bar = bar(length);
    let mut rng = StdRng::seed_from_u64(seed);
    let start = Instant::now();
    let rest = length / (options.kills + 1);
    let mut next_kill = (options.kills > 0).then(|| start + rest.mul_f64(rng.random_range(0.5..1.5)));
    while start.elapsed() < length || restarts.len() < options.kills as usize {
        sleep(Duration::from_millis(20)).await;
        let done = world.done.load(std::sync::atomic::Ordering::Relaxed);
        bar.set_position(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{done} operations, {} kills", restarts.len()));
        if next_kill.is_some_and(|at| Instant::now() >= at) {
            let Some(running) = server.take() else { break };
            running.kill().await?;
            let running = Server::start(&options.server).await.context("after a kill")?;
            world.target.moved(&running.url)?;
            restarts.push(running.ready_after);
            *server = Some(running);
            let more = restarts.len() < options.kills as usize;
            next_kill = more.then(|| Instant::now() + rest.mul_f64(rng.random_range(0.5..1.5)));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn bar(length: Duration) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Everyone who takes part.
struct Crew {
    workers: JoinSet<(usize, Worker)>,
    followers: JoinSet<history::Device>,
    freezer: JoinSet<Vec<Operation>>,
    heads: watch::Sender<Option<Arc<[u64]>>>,
}

impl Crew {
    fn start(
        world: &Arc<World>,
        people: &[Person],
        options: &Options,
        seed: u64,
        admin: Option<Administrator>,
    ) -> Self {
        let (heads, _) = watch::channel(None);
        let mut crew = Self { workers: JoinSet::new(), followers: JoinSet::new(), freezer: JoinSet::new(), heads };
        for (number, person) in people.iter().enumerate() {
            let worker = Worker::new(Arc::clone(world), number, person.clone(), seed, !options.no_websocket);
            crew.workers.spawn(async move { (number, worker.work().await) });
            let devices = if options.no_websocket { 0 } else { usize::from(options.devices) };
            for device in 0..devices {
                let heads = crew.heads.subscribe();
                let follower = Follower::new(Arc::clone(world), number, device, person.clone(), seed, heads, SETTLE);
                crew.followers.spawn(follower.follow());
            }
        }
        if let Some(admin) = admin {
            crew.freezer.spawn(Freezer::new(Arc::clone(world), people.to_vec(), admin, seed).work());
        }
        crew
    }

    /// Waits until everyone has stopped, and reads what stands in the accounts.
    async fn finish(mut self, world: &World, people: &mut [Person]) -> anyhow::Result<History> {
        let mut history = History::default();
        let mut seen = vec![(Vec::new(), Vec::new()); people.len()];
        while let Some(done) = self.workers.join_next().await {
            let (number, worker) = done?;
            let (person, operations, reads, glances) = worker.into_parts();
            history.operations.extend(operations);
            if let (Some(known), Some(seen)) = (people.get_mut(number), seen.get_mut(number)) {
                *known = person;
                *seen = (reads, glances);
            }
        }
        while let Some(operations) = self.freezer.join_next().await {
            history.operations.extend(operations?);
        }
        history.people = collect::collect(world, people, SETTLE).await?;
        for (person, (reads, glances)) in history.people.iter_mut().zip(seen) {
            (person.reads, person.glances) = (reads, glances);
        }
        let heads = history.people.iter().map(|person| person.balance.offset).collect();
        self.heads.send_replace(Some(heads));
        while let Some(device) = self.followers.join_next().await {
            history.devices.push(device?);
        }
        history.short_holds.clone_from(&world.short_holds.lock());
        history.foreign = world.take_foreign();
        Ok(history)
    }
}
