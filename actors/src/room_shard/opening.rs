//! How a shard of rooms is opened: its position, the records after it, and a term of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::room::{RoomShard, RoomShardEvent};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::encoding::{self, RoomItem};
use storage::journal::{Append, Hash, JournalKey, Opened, Record, Slot, Space, StoredRecord};
use storage::views::Position;
use tokio::time::Instant;

use crate::clock::ShardClock;
use crate::room_projector::RoomProjector;
use crate::room_shard::appending::single;
use crate::room_shard::core::RoomShared;
use crate::room_shard::tail::{Tail, TailRecord};
use crate::room_shard::{Open, RoomShardArgs, RoomShardMessage};

/// Bytes of payload in one reading of the journal.
const READ_BYTES: usize = 1 << 20;

/// Makes the caller the shard's writer, and brings its state up to the journal's end.
pub(super) async fn open(me: &ActorRef<RoomShardMessage>, args: &RoomShardArgs) -> Result<Open, ActorProcessingErr> {
    let hall = &args.hall;
    let key = JournalKey { space: Space::Rooms, shard: args.id };
    let opened = hall.stores.journal.open(key).await?;
    refuse_if_ahead(args, &opened)?;
    let (mut fold, mut tail) = replay(args, key, &opened).await?;

    let clock = ShardClock::after(opened.at);
    let term = opened.term.max(fold.term).saturating_add(1);
    let record = begin_term(args, key, &opened, &clock, term).await?;
    fold.apply(&RoomShardEvent::TermBegan { term });
    let (last, last_hash, last_at) = (record.slot, record.hash, record.at);
    tail.push(record);

    let shared = Arc::new(RoomShared::new(args.id, Arc::clone(hall), clock, me.clone(), tail));
    // What became durable as the last life ended may not have been published: a hole that would stay until
    // the next message.
    let events = shared.unprojected().iter().flat_map(|record| record.events().cloned()).collect::<Vec<_>>();
    if !events.is_empty() {
        hall.publisher.publish(args.id, last, &events);
    }
    let (projector, _) = Actor::spawn_linked(None, RoomProjector, Arc::clone(&shared), me.get_cell()).await?;
    Ok(Open {
        shared,
        fold,
        generation: opened.generation,
        last,
        last_hash,
        last_at,
        flight: None,
        failures: HashMap::new(),
        looked_at: Instant::now(),
        uses: VecDeque::new(),
        closing: Vec::new(),
        projector,
    })
}

/// A shard whose last stamp is far ahead of the clock would stamp all that is to come with it.
fn refuse_if_ahead(args: &RoomShardArgs, opened: &Opened) -> Result<(), ActorProcessingErr> {
    let config = &args.hall.config;
    let ahead = opened.at.since(args.hall.clock.now());
    if config.accept_clock || ahead.as_millis() <= u128::from(config.clock_ahead_max_ms) {
        return Ok(());
    }
    Err(format!(
        "shard {} of rooms: its last stamp is {ahead:?} ahead of the clock; set the clock, or start with --accept-clock",
        args.id
    )
    .into())
}

/// Reads the position and the records after it.
async fn replay(
    args: &RoomShardArgs,
    key: JournalKey,
    opened: &Opened,
) -> Result<(RoomShard, Tail), ActorProcessingErr> {
    let stores = &args.hall.stores;
    let position = stores.views.position(key).await?;
    let (through, hash, mut fold) = match &position {
        Some(Position { through, hash, state, .. }) => (*through, *hash, encoding::read_state::<RoomShard>(state)?),
        None => (Slot::default(), Hash::default(), RoomShard::default()),
    };
    if through > opened.last {
        return Err(format!("shard {} of rooms: views are ahead of the journal; rebuild them", args.id).into());
    }
    let mut tail = Tail::after(through);
    let (mut next, mut previous) = (through.next(), hash);
    while next <= opened.last {
        let records = stores.journal.read(key, next, READ_BYTES).await?;
        if records.is_empty() {
            return Err(format!("shard {} of rooms: the journal ends before slot {}", args.id, opened.last.0).into());
        }
        for stored in records {
            if stored.record.slot != next || stored.record.previous != previous {
                let slot = next.0;
                let what = "does not follow from the one before";
                return Err(format!("shard {} of rooms: the record in slot {slot} {what}", args.id).into());
            }
            let record = tail_record(stored)?;
            fold_record(&mut fold, &record);
            (next, previous) = (record.slot.next(), record.hash);
            tail.push(record);
        }
    }
    Ok((fold, tail))
}

/// A record as it was read, its items decoded.
pub(crate) fn tail_record(stored: StoredRecord) -> Result<TailRecord, storage::Error> {
    Ok(TailRecord {
        slot: stored.record.slot,
        at: stored.record.at,
        hash: stored.hash,
        term: stored.record.term,
        place: stored.place,
        items: encoding::read_items(&stored.record.payload)?,
        payload: stored.record.payload,
        rooms: Vec::new(),
    })
}

/// Takes a record into a shard's fold.
pub(crate) fn fold_record(fold: &mut RoomShard, record: &TailRecord) {
    for (_, item) in &record.items {
        if let RoomItem::Shard(event) = item {
            fold.apply(event);
        }
    }
}

/// Wins the next slot with a term record: only then is the shard owned.
async fn begin_term(
    args: &RoomShardArgs,
    key: JournalKey,
    opened: &Opened,
    clock: &ShardClock,
    term: u64,
) -> Result<TailRecord, ActorProcessingErr> {
    let (payload, items) = single(RoomItem::Shard(Arc::new(RoomShardEvent::TermBegan { term })))?;
    let at = clock.tick(args.hall.clock.now());
    let record = Record { key, slot: opened.last.next(), term, at, previous: opened.hash, payload };
    match args.hall.stores.journal.append(opened.generation, record.clone()).await? {
        Append::Durable { place } => Ok(TailRecord {
            slot: record.slot,
            at,
            hash: record.hash(),
            term,
            place,
            payload: record.payload,
            items,
            rooms: Vec::new(),
        }),
        Append::Fenced | Append::Unknown => Err(format!("shard {} of rooms: another writer has it", args.id).into()),
    }
}
