//! Group commit: what queued during the last append becomes the next record.
//!
//! There is no timer. A record holds whatever is queued when the one before it is durable, up to
//! 256 KiB; under load records grow by themselves, and a lone message waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::room::RoomShardEvent;
use domain::time::Timestamp;
use ractor::ActorRef;
use storage::Error;
use storage::encoding::{RoomItem, Span, Writer};
use storage::journal::{Append, Generation, Journal, PAYLOAD_BYTES_MAX, Place, Record};
use tokio::time::Instant;

use crate::room_shard::tail::TailRecord;
use crate::room_shard::{Open, RoomShardMessage};

/// The most pushes in one record. Bounds the pause that telling of one makes.
const PUSHES_MAX: usize = 1_024;

/// How often an append with an unknown outcome is offered again before the shard gives up.
const OFFERS_MAX: u32 = 10;

/// How an append ended.
pub(crate) type Offered = Result<Append, Arc<Error>>;

/// The append in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    record: Record,
    items: Vec<(Span, RoomItem)>,
    /// When it was begun.
    pub since: Instant,
}

impl Flight {
    /// The record, now that it is durable.
    pub(crate) fn into_record(self, place: Place) -> TailRecord {
        TailRecord {
            slot: self.record.slot,
            at: self.record.at,
            hash: self.record.hash(),
            term: self.record.term,
            place,
            payload: self.record.payload,
            items: self.items,
            rooms: Vec::new(),
        }
    }
}

impl Open {
    /// Appends what is queued, if no append is in flight.
    pub(super) fn append(&mut self, me: &ActorRef<RoomShardMessage>) -> Result<(), Error> {
        while self.flight.is_none() {
            let batch = self.shared.take(PUSHES_MAX);
            let mut draft = Draft::default();
            let mut took = 0;
            for items in batch {
                // A decision is whole in one record: half of it must never be durable.
                let before = draft.mark();
                items.into_iter().try_for_each(|item| draft.push(item))?;
                if draft.writer.len() > PAYLOAD_BYTES_MAX && took > 0 {
                    draft.back_to(before);
                    break;
                }
                took += 1;
            }
            self.shared.took(took);
            if took == 0 {
                return Ok(());
            }
            if draft.items.is_empty() {
                // Only answers wait, and all that came before them is durable.
                let (pushes, _) = self.shared.durable(None);
                Self::tell(pushes);
                continue;
            }
            self.offer(me, draft);
        }
        Ok(())
    }

    fn offer(&mut self, me: &ActorRef<RoomShardMessage>, draft: Draft) {
        let record = Record {
            key: self.shared.key(),
            slot: self.last.next(),
            term: self.fold.term,
            at: draft.at.max(self.last_at.next()),
            previous: self.last_hash,
            payload: draft.writer.finish(),
        };
        let journal = Arc::clone(&self.shared.hall.stores.journal);
        let generation = self.generation;
        let offered = record.clone();
        self.flight = Some(Flight { record, items: draft.items, since: Instant::now() });
        let me = me.clone();
        tokio::spawn(async move {
            let offered = offer_until_known(&*journal, generation, offered).await.map_err(Arc::new);
            // A shard that has gone meanwhile is opened again from the journal, which knows.
            me.cast(RoomShardMessage::Appended { offered }).ok();
        });
    }
}

/// Offers a record until its outcome is known. Only ever the same record: another in its place could
/// undo one that is there.
async fn offer_until_known(journal: &dyn Journal, generation: Generation, record: Record) -> Result<Append, Error> {
    let mut wait = Duration::from_millis(10);
    for _ in 0..OFFERS_MAX {
        match journal.append(generation, record.clone()).await {
            Ok(Append::Unknown) | Err(Error::Unavailable(_)) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            known => return known,
        }
    }
    Ok(Append::Unknown)
}

/// A record in the making.
#[derive(Default)]
struct Draft {
    writer: Writer,
    items: Vec<(Span, RoomItem)>,
    /// The latest of its events.
    at: Timestamp,
}

impl Draft {
    /// The draft as it is now.
    fn mark(&self) -> (usize, usize, Timestamp) {
        (self.writer.len(), self.items.len(), self.at)
    }

    /// The draft as it was.
    fn back_to(&mut self, (bytes, items, at): (usize, usize, Timestamp)) {
        self.writer.truncate(bytes);
        self.items.truncate(items);
        self.at = at;
    }

    /// Adds an item. Texts are bounded where they come in, so an item that does not fit is a fault of
    /// ours: the shard fails and opens again without the decision.
    fn push(&mut self, item: RoomItem) -> Result<(), Error> {
        let span = self.writer.push(&item)?;
        self.at = self.at.max(at_of(&item));
        self.items.push((span, item));
        Ok(())
    }
}

/// When an item was decided.
fn at_of(item: &RoomItem) -> Timestamp {
    match item {
        RoomItem::Event(event) => event.meta.at,
        RoomItem::Shard(event) => match &**event {
            RoomShardEvent::Quarantined { at, .. } | RoomShardEvent::Kept { at, .. } => *at,
            RoomShardEvent::QuarantineEnded { meta, .. } => meta.at,
            RoomShardEvent::TermBegan { .. } => Timestamp::EPOCH,
        },
        RoomItem::Snapshot(_) => Timestamp::EPOCH,
    }
}

/// The payload of a record with one item.
pub(super) fn single(item: RoomItem) -> Result<(Bytes, Vec<(Span, RoomItem)>), Error> {
    let mut writer = Writer::default();
    let span = writer.push(&item)?;
    Ok((writer.finish(), vec![(span, item)]))
}
