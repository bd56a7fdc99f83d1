//! `loadtest check`: move money and talk at random, kill the node, and judge the history of what was seen.
//!
//! People deposit, pay, hold, capture, release, refund and withdraw, over HTTP and WebSocket, each
//! under an idempotency key that is tried until its outcome is known; and say things in rooms, again,
//! otherwise, and take them back. Devices follow accounts, notices and rooms, answer late, in part or
//! never, refuse, go away and come back; an administrator redrives what was given up for them. At the
//! end every statement and every room is read, and the [judge] compares it with what was answered and
//! heard. Only what the API promises is judged; nothing of the inside is known.

mod collect;
mod device;
mod freezer;
mod history;
mod judge;
mod redriver;
mod report;
mod rooms;
mod submit;
mod talker;
mod visitor;
mod words;
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

use self::device::{Follower, Phase, Plan};
use self::freezer::{Administrator, Freezer};
use self::history::{Device, History, LetterSeen, Look, Operation, Talk, Visit};
use self::redriver::Redriver;
use self::report::{Report, Run};
use self::talker::Talker;
use self::visitor::Visitor;
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
    /// Lead most WebSocket connections of devices, and half of those on which things are said, through a proxy that
    /// delays, drops, repeats, cuts, truncates, half-closes and throttles them, by a plan that follows from the seed.
    #[arg(long, conflicts_with = "no_websocket")]
    proxy: bool,
    /// Use HTTP only.
    #[arg(long)]
    no_websocket: bool,
    /// How to make somebody an administrator, who then freezes people and redrives dead letters: run with `EMAIL admin`
    /// behind it. Without it, or a token, nobody is frozen, and no device refuses anything.
    #[arg(long, conflicts_with = "admin_token")]
    grant: Option<String>,
    /// A file with an administrator's access token, for freezes and dead letters.
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
    let rooms = rooms::make(&target, &run, &people, seed).await?;
    let proxy = if options.proxy { Some(Proxy::start(target.clone(), seed).await?) } else { None };
    let live = proxy.as_ref().map_or_else(|| target.clone(), |proxy| proxy.target.clone());
    let world = Arc::new(World::new(target, live, run, &people, rooms, options.operations_max));

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
    talkers: JoinSet<(Vec<Talk>, Vec<Look>)>,
    visitor: JoinSet<Vec<Visit>>,
    followers: JoinSet<Vec<Device>>,
    freezer: JoinSet<Vec<Operation>>,
    redriver: JoinSet<anyhow::Result<Vec<LetterSeen>>>,
    phase: watch::Sender<Phase>,
    settling: watch::Sender<bool>,
}

impl Crew {
    fn start(
        world: &Arc<World>,
        people: &[Person],
        options: &Options,
        seed: u64,
        admin: Option<Administrator>,
    ) -> Self {
        let mut crew = Self {
            workers: JoinSet::new(),
            talkers: JoinSet::new(),
            visitor: JoinSet::new(),
            followers: JoinSet::new(),
            freezer: JoinSet::new(),
            redriver: JoinSet::new(),
            phase: watch::channel(Phase::Working).0,
            settling: watch::channel(false).0,
        };
        let websocket = !options.no_websocket;
        let devices = if websocket { usize::from(options.devices) } else { 0 };
        for (number, person) in people.iter().enumerate() {
            let worker = Worker::new(Arc::clone(world), number, person.clone(), seed, websocket);
            crew.workers.spawn(async move { (number, worker.work().await) });
            crew.talkers.spawn(Talker::new(Arc::clone(world), number, person.clone(), seed, websocket).work());
            for device in 0..devices {
                let number_of_all = number * devices + device;
                let may_refuse = admin.is_some();
                let plan = Plan { who: number, number: number_of_all, seed, may_refuse, patience: SETTLE };
                let follower = Follower::new(Arc::clone(world), person.clone(), plan, crew.phase.subscribe());
                crew.followers.spawn(follower.follow());
            }
        }
        if let Some(visitor) = Visitor::of(world, people, seed).filter(|_| websocket) {
            crew.visitor.spawn(visitor.work());
        }
        if let Some(admin) = admin {
            let redriver = Redriver::new(Arc::clone(world), people.to_vec(), admin.clone(), seed);
            crew.redriver.spawn(redriver.work(crew.settling.subscribe(), SETTLE));
            crew.freezer.spawn(Freezer::new(Arc::clone(world), people.to_vec(), admin, seed).work());
        }
        crew
    }

    /// Waits until everyone has stopped, and reads what stands in the accounts and rooms.
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
        while let Some(talked) = self.talkers.join_next().await {
            let (talks, looks) = talked?;
            history.talks.extend(talks);
            history.looks.extend(looks);
        }
        while let Some(visits) = self.visitor.join_next().await {
            history.visits.extend(visits?);
        }
        history.people = collect::collect(world, people, SETTLE).await?;
        for (person, (reads, glances)) in history.people.iter_mut().zip(seen) {
            (person.reads, person.glances) = (reads, glances);
        }
        history.rooms = rooms::collect(world, people).await?;
        history.heads = collect::heads(world, people, &history).await?;
        let heads = Arc::new(history.heads.clone());
        self.phase.send_replace(Phase::Settling(Arc::clone(&heads)));
        self.settling.send_replace(true);
        while let Some(letters) = self.redriver.join_next().await {
            history.letters = Some(letters??);
        }
        self.phase.send_replace(Phase::Ending(heads));
        while let Some(devices) = self.followers.join_next().await {
            history.devices.extend(devices?);
        }
        history.short_holds.clone_from(&world.short_holds.lock());
        history.foreign = world.take_foreign();
        Ok(history)
    }
}
