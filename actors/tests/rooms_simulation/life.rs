//! One run: a node lives, crashes and lives again in a world made from a seed, until all clients know
//! what became of their errands; then everything must be in its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::clock::WallClock;
use actors::dead_letters::DeadLetterBox;
use actors::rooms::chat::{Chat, Fault};
use actors::rooms::config::RoomsConfig;
use actors::rooms::hall::{Hall, RoomPublisher, RoomStores};
use actors::rooms::{Rooms, RoomsArgs};
use domain::ids::{RoomId, ShardCount, ShardId};
use domain::room::RoomEvent;
use parking_lot::Mutex;
use ractor::Actor;
use storage::journal::Slot;
use uuid::Uuid;

use crate::clients::{Client, Known, serve};
use crate::end;
use crate::stores::{SimJournal, SimViews};
use crate::world::{Chance, World};

/// A life in which clients are not done for this long, in virtual time, has come to a stop.
const STUCK: Duration = Duration::from_mins(10);

/// How long shards may take to be open again after the last fault.
const QUIET: Duration = Duration::from_mins(1);

/// Faults of one room in one life: a third in a row would quarantine it.
const ROOM_FAULTS_MAX: u64 = 2;

/// What a run was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub trace: u64,
    pub crashes: u64,
    pub acknowledged: usize,
    pub replayed: u32,
    pub refused: u32,
    pub records: usize,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.trace ^= other.trace;
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.replayed += other.replayed;
        self.refused += other.refused;
        self.records += other.records;
    }
}

/// Hears what is published: each room's events in their order.
#[derive(Default)]
pub(crate) struct Ear {
    heard: Mutex<BTreeMap<RoomId, Vec<Arc<RoomEvent>>>>,
    wrong: Mutex<Vec<String>>,
}

impl Ear {
    /// A new life publishes what the last one did not, from where it is durable.
    fn begin(&self) -> BTreeMap<RoomId, Vec<Arc<RoomEvent>>> {
        std::mem::take(&mut *self.heard.lock())
    }
}

impl RoomPublisher for Ear {
    fn publish(&self, _: ShardId, _: Slot, events: &[Arc<RoomEvent>]) {
        let mut heard = self.heard.lock();
        for event in events {
            let of_room = heard.entry(event.room).or_default();
            // A shard that opens again says again what it may not have said; a hole there must not be.
            if of_room.iter().map(|event| event.offset).max().is_some_and(|last| event.offset > last + 1) {
                self.wrong
                    .lock()
                    .push(format!("{} of {} was published before the one before it", event.offset, event.room));
            }
            of_room.push(Arc::clone(event));
        }
    }
}

/// Starts a node in a world.
async fn start(world: &Arc<World>, shards: u16, config: &RoomsConfig, ear: &Arc<Ear>) -> Chat {
    let stores =
        RoomStores { journal: Arc::new(SimJournal(Arc::clone(world))), views: Arc::new(SimViews(Arc::clone(world))) };
    let shards = ShardCount::few(shards).unwrap();
    let clock: Arc<dyn WallClock> = Arc::clone(world) as _;
    let hall =
        Arc::new(Hall::new(shards, config.clone(), clock, stores, Arc::clone(ear) as _, DeadLetterBox::default()));
    let args = RoomsArgs { hall: Arc::clone(&hall), retention: None };
    Actor::spawn(None, Rooms, args).await.unwrap();
    Chat::new(hall)
}

/// Has rooms, shards and projectors fail now and then.
async fn faults(chat: Chat, mut chance: Chance, rooms: Vec<RoomId>, every_ms: u64) {
    let mut left: BTreeMap<RoomId, u64> = rooms.iter().map(|room| (*room, ROOM_FAULTS_MAX)).collect();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(1 + chance.below(every_ms))).await;
        let room = chance.pick(&rooms);
        match chance.below(4) {
            0 => chat.fail(room, Fault::Shard),
            1 => chat.fail(room, Fault::Projector),
            _ => {
                let left = left.get_mut(&room).unwrap();
                if *left > 0 {
                    *left -= 1;
                    chat.fail(room, Fault::Room);
                }
            }
        }
    }
}

/// Runs a seed.
pub(crate) fn run(seed: u64) -> Result<Summary, String> {
    let mut chance = Chance(seed);
    let shards = 1 + chance.below(3) as u16;
    let config = RoomsConfig {
        idle_ms: chance.pick(&[1, 1_000]),
        tail_records_max: chance.pick(&[24, 4_096]),
        projection_delay_ms: chance.pick(&[1, 50, 500]),
        projection_bytes: chance.pick(&[1, 2_000, 128 << 10]),
        commands_per_room_max: chance.pick(&[2, 1_024]),
        ..RoomsConfig::default()
    };
    let crashes = chance.below(6);
    let fault_ms = chance.pick(&[0, 60, 400]);
    let world = Arc::new(World::new(seed, shards));
    let rooms: Vec<_> =
        (0..=chance.below(4)).map(|number| RoomId::made(Uuid::from_u128(7), &number.to_string())).collect();
    let (number, errands) = (2 + chance.below(4), 8 + chance.below(12));
    let clients: Vec<_> = (0..number)
        .map(|number| Arc::new(tokio::sync::Mutex::new(Client::new(number, seed, &rooms, errands))))
        .collect();
    let known = Arc::new(Mutex::new(Known::default()));
    let ear = Arc::new(Ear::default());
    let mut heard = Vec::new();
    let mut crashed = 0;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let last = crashed >= crashes;
        let until = if last { STUCK } else { Duration::from_millis(1 + chance.below(900)) };
        let fault_chance = Chance(chance.draw());
        let life = async {
            world.begin();
            let chat = start(&world, shards, &config, &ear).await;
            let faults =
                (fault_ms > 0).then(|| tokio::spawn(faults(chat.clone(), fault_chance, rooms.clone(), fault_ms)));
            let tasks: Vec<_> = clients
                .iter()
                .map(|client| tokio::spawn(serve(Arc::clone(client), chat.clone(), Arc::clone(&known))))
                .collect();
            let done = async {
                for task in tasks {
                    task.await.unwrap();
                }
            };
            if tokio::time::timeout(until, done).await.is_err() {
                return Ok(false);
            }
            if let Some(faults) = faults {
                faults.abort();
                // What failed last is open again by then.
                tokio::time::sleep(QUIET).await;
            }
            // The stores are read as they are: what is unavailable now would only be asked again.
            world.lock().unavailable = 0;
            end::check(&world, &chat, &rooms, &known, shards).await.map(|()| true)
        };
        // The time is read where it stands still: outside of the runtime it is another.
        let (ended, now) = runtime.block_on(async { (life.await, world.now()) });
        drop(runtime);
        world.crash(now);
        heard.push(ear.begin());
        if ended? {
            break;
        }
        if last {
            return Err("the clients are never done".into());
        }
        crashed += 1;
    }
    end::check_heard(&world, &heard, &ear.wrong.lock())?;
    let state = world.lock();
    let known = known.lock();
    Ok(Summary {
        trace: state.trace,
        crashes: crashed,
        acknowledged: known.published.len(),
        replayed: known.replayed,
        refused: known.refused,
        records: state.logs.iter().map(|log| log.records.len()).sum(),
    })
}
