//! How a shard is opened: its position, the records after it, and a term of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::ledger::{self, ShardEvent};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::encoding::{self, Item};
use storage::journal::{Append, Hash, JournalKey, Opened, Record, Slot, Space};
use storage::views::Position;
use tokio::time::Instant;

use crate::clock::ShardClock;
use crate::dead_letters::Failure;
use crate::metrics;
use crate::projector::{Projector, ProjectorArgs};
use crate::shard::appending::single;
use crate::shard::core::Shared;
use crate::shard::tail::{Tail, TailRecord};
use crate::shard::telling::publish;
use crate::shard::{Open, ShardArgs, ShardMessage};
use crate::shards::Impossible;

/// Bytes of payload in one reading of the journal.
const READ_BYTES: usize = 1 << 20;

/// What a shard is as of its journal.
pub(crate) struct Replayed {
    /// The fold of all that is durable.
    pub ledger: ledger::Shard,
    /// Records after the position.
    pub tail: Tail,
}

/// Makes the caller the shard's writer, and brings its state up to the journal's end.
pub(super) async fn open(me: &ActorRef<ShardMessage>, args: &ShardArgs) -> Result<Open, ActorProcessingErr> {
    let node = &args.node;
    let key = JournalKey { space: Space::Ledger, shard: args.id };
    let opened = node.stores.journal.open(key).await?;
    refuse_if_ahead(args, &opened)?;
    let Replayed { mut ledger, mut tail } = replay(args, key, &opened).await?;

    let clock = ShardClock::after(opened.at);
    let term = opened.term.max(ledger.term).saturating_add(1);
    let record = begin_term(args, key, &opened, &clock, term).await?;
    ledger.apply_own(&ShardEvent::TermBegan { term })?;
    let (last, last_hash, last_at) = (record.slot, record.hash, record.at);
    tail.push(record);

    let numbers = ledger.outgoing.iter().map(|(peer, outgoing)| (*peer, outgoing.last)).collect();
    let shared = Arc::new(Shared::new(args.id, Arc::clone(node), clock, me.clone(), tail, numbers));
    let projector_args = ProjectorArgs { shared: Arc::clone(&shared) };
    let (projector, _) = Actor::spawn_linked(None, Projector, projector_args, me.get_cell()).await?;
    shared.suspended.store(ledger.suspense.len(), std::sync::atomic::Ordering::Release);
    resume(&shared, &ledger);
    // What became durable as the last life ended may not have been published: a hole that would stay until the next
    // event.
    let unpublished = shared.unprojected(last);
    publish(&shared, last, unpublished.iter().flat_map(|record| record.items.iter().map(|(_, item)| item)));
    Ok(Open {
        shared,
        ledger,
        quarantining: std::collections::BTreeSet::new(),
        generation: opened.generation,
        term,
        began_at: last_at,
        last,
        last_hash,
        last_at,
        flight: None,
        failures: std::collections::HashMap::new(),
        resolving: std::collections::BTreeSet::new(),
        looked_at: Instant::now(),
        uses: VecDeque::new(),
        closing: Vec::new(),
        projector,
        projecting: false,
        wanted: false,
    })
}

/// A shard whose last stamp is far ahead of the clock would stamp all that is to come with it.
fn refuse_if_ahead(args: &ShardArgs, opened: &Opened) -> Result<(), ActorProcessingErr> {
    let config = &args.node.config;
    let ahead = opened.at.since(args.node.clock.now());
    if config.accept_clock || ahead.as_millis() <= u128::from(config.clock_ahead_max_ms) {
        return Ok(());
    }
    Err(format!(
        "shard {}: its last stamp is {ahead:?} ahead of the clock; set the clock, or start with --accept-clock",
        args.id
    )
    .into())
}

/// Reads the position and the records after it.
async fn replay(args: &ShardArgs, key: JournalKey, opened: &Opened) -> Result<Replayed, ActorProcessingErr> {
    let stores = &args.node.stores;
    let position = stores.views.position(key).await?;
    let (through, hash, mut ledger) = match &position {
        Some(Position { through, hash, state, .. }) => (*through, *hash, encoding::read_state::<ledger::Shard>(state)?),
        None => (Slot::default(), Hash::default(), ledger::Shard::default()),
    };
    if through > opened.last {
        return Err(format!("shard {}: views are ahead of the journal; run `quickpe rebuild-views`", args.id).into());
    }
    let mut tail = Tail::after(through);
    let (mut next, mut previous) = (through.next(), hash);
    while next <= opened.last {
        let records = stores.journal.read(key, next, READ_BYTES).await?;
        if records.is_empty() {
            return Err(Impossible(format!("the journal ends before slot {}", opened.last.0)).into());
        }
        for stored in records {
            if stored.record.slot != next || stored.record.previous != previous {
                return Err(Impossible(format!("slot {}: it does not follow from the one before", next.0)).into());
            }
            let record = TailRecord {
                slot: stored.record.slot,
                at: stored.record.at,
                hash: stored.hash,
                term: stored.record.term,
                place: stored.place,
                items: encoding::read(&stored.record.payload)?,
                payload: stored.record.payload,
                accounts: Vec::new(),
            };
            fold_record(&mut ledger, &record)
                .map_err(|broken| Impossible(format!("slot {}: {broken}", record.slot.0)))?;
            (next, previous) = (record.slot.next(), record.hash);
            tail.push(record);
        }
    }
    metrics::replayed(&tail);
    Ok(Replayed { ledger, tail })
}

/// Takes a record into a shard's fold.
pub(crate) fn fold_record(ledger: &mut ledger::Shard, record: &TailRecord) -> Result<(), ledger::shard::Broken> {
    for (_, item) in &record.items {
        match item {
            Item::Event(event) => ledger.apply(event)?,
            Item::Shard(event) => ledger.apply_own(event)?,
        }
    }
    Ok(())
}

/// Wins the next slot with a term record: only then is the shard owned.
async fn begin_term(
    args: &ShardArgs,
    key: JournalKey,
    opened: &Opened,
    clock: &ShardClock,
    term: u64,
) -> Result<TailRecord, ActorProcessingErr> {
    let (payload, items) = single(Item::Shard(Arc::new(ShardEvent::TermBegan { term })))?;
    let at = clock.tick(args.node.clock.now());
    let record = Record { key, slot: opened.last.next(), term, at, previous: opened.hash, payload };
    match args.node.stores.journal.append(opened.generation, record.clone()).await? {
        Append::Durable { place } => Ok(TailRecord {
            slot: record.slot,
            at,
            hash: record.hash(),
            term,
            place,
            payload: record.payload,
            items,
            accounts: Vec::new(),
        }),
        Append::Fenced | Append::Unknown => Err(format!("shard {}: another writer has it", args.id).into()),
    }
}

/// Takes up what was under way: credits that nobody is known to have, and what rests in suspense.
fn resume(shared: &Arc<Shared>, ledger: &ledger::Shard) {
    let node = &shared.node;
    let mut channels = shared.channels.lock();
    for (peer, outgoing) in &ledger.outgoing {
        channels.last(*peer, outgoing.last);
        let now = Instant::now();
        for (number, credit) in &outgoing.unsettled {
            channels.begin(ledger::ChannelNumber { peer: *peer, number: *number }, credit.clone(), now);
        }
    }
    drop(channels);
    for (transfer, suspended) in &ledger.suspense {
        let account = suspended.credit.payee.account;
        let failure = Failure::Suspended { transfer: *transfer, account, reason: suspended.reason };
        node.dead_letters.report(failure, suspended.at);
    }
    for (peer, outgoing) in &ledger.outgoing {
        let credits: Vec<_> = outgoing.unsettled.iter().map(|(number, credit)| (*number, credit.clone())).collect();
        if !credits.is_empty() {
            node.link.credits(node, *peer, shared.id, credits);
        }
    }
}
