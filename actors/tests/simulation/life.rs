//! One run: a node lives, crashes and lives again in a world made from a seed, until all clients know
//! what became of their errands; then everything must be in its place.

use std::sync::Arc;
use std::time::Duration;

use actors::clock::BusinessZone;
use actors::config::LedgerConfig;
use actors::dead_letters::DeadLetterBox;
use actors::ledger::{Ledger, system_origin};
use actors::node::{Node, Publisher, Stores};
use actors::shards::Shards;
use domain::ids::{OperationId, ShardCount, ShardId};
use domain::ledger::{DivertReason, Event, Party};
use parking_lot::Mutex;
use ractor::Actor;
use storage::journal::Slot;
use uuid::Uuid;

use crate::disk::SimJournal;
use crate::end;
use crate::link::SimLink;
use crate::people::{Client, Clients, Known, person, serve};
use crate::rows::SimViews;
use crate::world::{Chance, Weather, World};

/// A life in which nothing ends for this long, in virtual time, has come to a stop.
const STUCK: Duration = Duration::from_mins(5);

/// How long a node may take to put everything in its place.
const QUIET: Duration = Duration::from_secs(90);

/// Faults in one life, and those among them that take a whole shard along: each of these has it wait
/// longer before it opens again.
const FAULTS_MAX: u32 = 60;
const SHARD_FAULTS_MAX: u32 = 5;

/// What a seed makes.
struct Plan {
    shards: u16,
    people: u128,
    clients: u64,
    errands: u64,
    crashes: u64,
    /// A crash comes within so many points.
    crash_within: u64,
    /// A fault comes about so often, in ms; 0: never.
    fault_ms: u64,
    /// Accounts are let go about so often, in ms.
    passivate_ms: u64,
    config: LedgerConfig,
}

impl Plan {
    fn of(chance: &mut Chance) -> Self {
        let one = |chance: &mut Chance, of: &[u64]| chance.pick(of).copied().unwrap_or(1);
        let size = |chance: &mut Chance, of: &[u64]| usize::try_from(one(chance, of)).unwrap_or(1);
        let config = LedgerConfig {
            patience_ms: one(chance, &[30, 200, 2_000]),
            resend_ms: one(chance, &[30, 100, 500]),
            channel_credits_max: size(chance, &[3, 4_096]),
            channel_stalled_ms: one(chance, &[500, 5_000]),
            commands_per_account_max: if chance.happens(20) { 2 } else { 1_024 },
            idle_ms: one(chance, &[1, 1_000]),
            tail_records_max: size(chance, &[24, 4_096]),
            projection_delay_ms: one(chance, &[1, 50, 500]),
            projection_bytes: size(chance, &[1, 2_000, 128 << 10]),
            read_own_write_ms: one(chance, &[20, 500]),
            ..LedgerConfig::default()
        };
        Self {
            shards: u16::try_from(chance.between(1, 4)).unwrap_or(4),
            people: u128::from(chance.between(4, 8)),
            clients: chance.between(3, 6),
            errands: chance.between(6, 14),
            crashes: chance.below(6),
            crash_within: one(chance, &[40, 300, 1_000]),
            fault_ms: one(chance, &[0, 60, 400]),
            passivate_ms: one(chance, &[0, 1, 30]),
            config,
        }
    }
}

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub trace: u64,
    pub crashes: u64,
    pub done: u32,
    pub refused: u32,
    pub records: u64,
}

/// Nobody hears of events.
pub(crate) struct Deaf;

impl Publisher for Deaf {
    fn publish(&self, _: ShardId, _: Slot, _: &[Arc<Event>]) {}
}

/// Starts a node in a world.
pub(crate) async fn start(world: &Arc<World>, shards: u16, config: LedgerConfig) -> Ledger {
    let link = Arc::new(SimLink::new(Arc::clone(world)));
    let journal = Arc::new(SimJournal(Arc::clone(world)));
    let views = Arc::new(SimViews(Arc::clone(world)));
    let node = Arc::new(Node::new(
        ShardCount::few(shards).unwrap(),
        config,
        BusinessZone::new("Asia/Kolkata").unwrap(),
        Arc::clone(world) as _,
        Stores { journal, views },
        Arc::clone(&link) as _,
        Arc::new(Deaf),
        DeadLetterBox::default(),
    ));
    link.node.set(Arc::downgrade(&node)).unwrap();
    Actor::spawn(None, Shards, Arc::clone(&node)).await.unwrap();
    Ledger::new(node)
}

/// Runs `life` as a process of its own that ends with it, or at a crash. Whether it came to its end.
pub(crate) fn process<T>(world: &Arc<World>, crash_in: Option<u64>, life: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let ended = runtime.block_on(async {
        world.begin(crash_in);
        let ended = tokio::select! {
            biased;
            () = world.ended() => None,
            ended = life => Some(ended),
        };
        world.end();
        ended
    });
    drop(runtime);
    ended
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Result<Summary, String> {
    let mut chance = Chance::new(seed);
    let plan = Plan::of(&mut chance);
    let world = Arc::new(World::new(chance.draw(), plan.shards, Weather::of(&mut chance)));
    let people: Vec<Party> = (0..plan.people).map(person).collect();
    let clients: Clients = (0..plan.clients)
        .map(|number| Arc::new(Mutex::new(Client::new(seed, number, people.clone(), plan.errands))))
        .collect();
    let known = Arc::new(Mutex::new(Known::default()));
    let mut crashes = 0;
    loop {
        let crash_in = (crashes < plan.crashes).then(|| chance.between(1, plan.crash_within));
        let ended = process(&world, crash_in, async {
            let ledger = start(&world, plan.shards, plan.config.clone()).await;
            let ended = live(&world, &ledger, &plan, &people, &clients, &known).await;
            ledger.forget();
            ended
        });
        if let Some(wrong) = world.lock().wrong.first() {
            return Err(wrong.clone());
        }
        match ended {
            Some(Ok(())) => break,
            Some(Err(stuck)) => return Err(stuck),
            None => crashes += 1,
        }
    }
    let state = world.lock();
    let (done, refused) = known.lock().done;
    let records = (0..plan.shards).map(|shard| state.disk.last(ShardId(shard)).0).sum();
    Ok(Summary { trace: state.trace, crashes, done, refused, records })
}

/// One life of the node, to its end if no crash comes.
async fn live(
    world: &Arc<World>,
    ledger: &Ledger,
    plan: &Plan,
    people: &[Party],
    clients: &Clients,
    known: &Arc<Mutex<Known>>,
) -> Result<(), String> {
    let faults = tokio::spawn(put_in_faults(Arc::clone(world), ledger.clone(), people.to_vec(), plan.fault_ms));
    let passivating = tokio::spawn(passivate(Arc::clone(world), ledger.clone(), plan.passivate_ms));
    let serving: Vec<_> = (clients.iter())
        .map(|client| {
            let (world, ledger) = (Arc::clone(world), ledger.clone());
            let (client, known) = (Arc::clone(client), Arc::clone(known));
            tokio::spawn(async move { serve(&world, &ledger, &client, &known).await })
        })
        .collect();
    let served = tokio::time::timeout(STUCK, futures_util::future::join_all(serving)).await;
    faults.abort();
    world.clear_up();
    match served {
        Ok(ended) if ended.iter().all(Result::is_ok) => {}
        Ok(_) => return Err("a client failed".into()),
        Err(_) => {
            let waits: Vec<_> = clients.iter().filter_map(|client| client.lock().waits()).collect();
            let opening = ledger.node().opening.borrow().clone();
            return Err(format!("the clients' errands come to no end: {opening:?}, {waits:?}"));
        }
    }
    let quiet = tokio::time::timeout(QUIET, settle(world, ledger, plan.shards)).await;
    passivating.abort();
    quiet.map_err(|_| end::unquiet(world, plan.shards))?;
    end::judge(world, ledger, plan.shards).await
}

/// Fails an actor now and then.
async fn put_in_faults(world: Arc<World>, ledger: Ledger, people: Vec<Party>, every_ms: u64) {
    if every_ms == 0 {
        return;
    }
    let mut shards_left = SHARD_FAULTS_MAX;
    for _ in 0..FAULTS_MAX {
        tokio::time::sleep(world.some_ms(every_ms * 2)).await;
        let (what, whom, shard) = {
            let mut state = world.lock();
            let whom = *state.chance.pick(&people).unwrap();
            let shards = u64::from(ledger.node().shards.get());
            let shard = ShardId(u16::try_from(state.chance.below(shards)).unwrap());
            (state.chance.below(100), whom, shard)
        };
        match what {
            0..20 if shards_left > 0 => {
                shards_left -= 1;
                if what < 10 { ledger.panic_shard(shard) } else { ledger.panic_projector(shard) }
            }
            0..40 => ledger.project(),
            _ => {
                *world.lock().model.failures.entry(whom.account).or_default() += 1;
                ledger.panic_account(whom.account);
            }
        }
    }
}

async fn passivate(world: Arc<World>, ledger: Ledger, every_ms: u64) {
    if every_ms == 0 {
        return;
    }
    loop {
        tokio::time::sleep(world.some_ms(every_ms * 2).max(Duration::from_millis(1))).await;
        ledger.passivate();
    }
}

/// Waits until nothing is on its way and views have everything; an operator helps where one must.
pub(crate) async fn settle(world: &Arc<World>, ledger: &Ledger, shards: u16) {
    let origin = || system_origin(OperationId(Uuid::nil()));
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let quarantined: Vec<_> =
            world.lock().model.shards.iter().flat_map(|shard| shard.quarantined.iter().copied()).collect();
        for account in quarantined {
            ledger.end_quarantine(account, origin()).await.ok();
        }
        let resting = ledger.suspense().await.unwrap_or_default();
        for suspended in resting.iter().filter(|suspended| suspended.reason == DivertReason::Quarantined) {
            ledger.release_suspense(suspended.credit.transfer, origin()).await.ok();
        }
        ledger.project();
        if end::is_quiet(world, shards) && all_open(ledger, shards).await {
            return;
        }
    }
}

async fn all_open(ledger: &Ledger, shards: u16) -> bool {
    for shard in (0..shards).map(ShardId) {
        if ledger.inspect(shard).await.is_err() {
            return false;
        }
    }
    true
}
