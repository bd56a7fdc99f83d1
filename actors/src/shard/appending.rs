//! Group commit: what queued during the last append becomes the next record.
//!
//! There is no timer. A record holds whatever is queued when the one before it is durable, up to
//! 256 KiB; under load records grow by themselves, and a lone command waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ledger::ShardEvent;
use domain::time::Timestamp;
use ractor::ActorRef;
use storage::Error;
use storage::encoding::{Item, Span, Writer};
use storage::journal::{Append, Generation, Journal, PAYLOAD_BYTES_MAX, Place, Record};
use tokio::time::Instant;

use crate::shard::tail::TailRecord;
use crate::shard::{Effects, Open, ShardMessage};

/// The most pushes in one record. Bounds the pause that folding one makes.
const PUSHES_MAX: usize = 1_024;

/// Below this much payload a record takes along what is settled.
const NOTES_BELOW_BYTES: usize = 128 << 10;

/// How often an append with an unknown outcome is offered again before the shard gives up.
const OFFERS_MAX: u32 = 10;

/// How an append ended.
pub type Offered = Result<Append, Arc<Error>>;

/// The append in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    record: Record,
    items: Vec<(Span, Item)>,
    /// When it was begun.
    pub since: Instant,
}

impl Flight {
    /// Bytes of payload.
    pub(crate) fn bytes(&self) -> usize {
        self.record.payload.len()
    }

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
            accounts: Vec::new(),
        }
    }
}

impl Open {
    /// Appends what is queued, if no append is in flight.
    pub(super) fn append(&mut self, me: &ActorRef<ShardMessage>) -> Result<(), Error> {
        while self.flight.is_none() {
            let batch = self.shared.take(PUSHES_MAX);
            let mut draft = Draft::default();
            let mut took = 0;
            for (_, items) in batch {
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
            if crate::mutant::is(crate::mutant::Mutant::AcknowledgeEarly) {
                self.answer_early();
            }
            if took == 0 && self.closing.is_empty() {
                return Ok(());
            }
            if draft.writer.len() < NOTES_BELOW_BYTES && (!draft.items.is_empty() || !self.closing.is_empty()) {
                for note in self.shared.channels.lock().notes() {
                    draft.push(Item::Shard(Arc::new(note)))?;
                }
            }
            if draft.items.is_empty() && took == 0 {
                return Ok(());
            }
            if draft.items.is_empty() {
                // Only answers wait, and all that came before them is durable.
                let (pushes, _) = self.shared.durable(None);
                self.tell(pushes, Effects::default());
                continue;
            }
            self.offer(me, draft);
        }
        Ok(())
    }

    /// Appends what is settled, though nothing else is to be.
    pub(super) fn append_notes(&mut self, me: &ActorRef<ShardMessage>) -> Result<(), Error> {
        if self.flight.is_some() || self.shared.has_queued() {
            return Ok(());
        }
        let mut draft = Draft::default();
        for note in self.shared.channels.lock().notes() {
            draft.push(Item::Shard(Arc::new(note)))?;
        }
        if !draft.items.is_empty() {
            self.shared.took(0);
            self.offer(me, draft);
        }
        Ok(())
    }

    fn offer(&mut self, me: &ActorRef<ShardMessage>, draft: Draft) {
        let at = draft.at.max(self.last_at.next());
        let record = Record {
            key: self.shared.key(),
            slot: self.last.next(),
            term: self.term,
            at,
            previous: self.last_hash,
            payload: draft.writer.finish(),
        };
        if crate::mutant::is(crate::mutant::Mutant::CreditBeforeDebitDurable) {
            self.send_early(&draft.items);
        }
        let journal = Arc::clone(&self.shared.node.stores.journal);
        let generation = self.generation;
        let offered = record.clone();
        self.flight = Some(Flight { record, items: draft.items, since: Instant::now() });
        let me = me.clone();
        tokio::spawn(async move {
            let offered = offer_until_known(&*journal, generation, offered).await.map_err(Arc::new);
            // A shard that has gone meanwhile is opened again from the journal, which knows.
            me.cast(ShardMessage::Appended { offered }).ok();
        });
    }

    /// A mutant: answers before anything is durable.
    fn answer_early(&self) {
        for (reply, effect) in self.shared.taken_waiters() {
            reply.send(Ok(effect));
        }
    }

    /// A mutant: sends credits whose debits are not durable.
    fn send_early(&self, items: &[(Span, Item)]) {
        let mut fold = self.ledger.clone();
        for (_, item) in items {
            if let Item::Event(event) = item
                && fold.apply(event).is_ok()
                && let domain::ledger::Change::Debited { channel, .. } = event.change
                && let Some(credit) =
                    fold.outgoing.get(&channel.peer).and_then(|out| out.unsettled.get(&channel.number))
            {
                let node = &self.shared.node;
                node.link.credits(node, channel.peer, self.shared.id, vec![(channel.number, credit.clone())]);
            }
        }
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
    items: Vec<(Span, Item)>,
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
    fn push(&mut self, item: Item) -> Result<(), Error> {
        let span = self.writer.push(&item)?;
        self.at = self.at.max(at_of(&item));
        self.items.push((span, item));
        Ok(())
    }
}

/// When an item was decided.
fn at_of(item: &Item) -> Timestamp {
    match item {
        Item::Event(event) => event.meta.at,
        Item::Shard(event) => match &**event {
            ShardEvent::Diverted { at, .. } | ShardEvent::Quarantined { at, .. } => *at,
            ShardEvent::SuspenseResolved { meta, .. } | ShardEvent::QuarantineEnded { meta, .. } => meta.at,
            ShardEvent::TermBegan { .. } | ShardEvent::Settled { .. } => Timestamp::EPOCH,
        },
    }
}

/// The payload of a record with one item.
pub(super) fn single(item: Item) -> Result<(Bytes, Vec<(Span, Item)>), Error> {
    let mut writer = Writer::default();
    let span = writer.push(&item)?;
    Ok((writer.finish(), vec![(span, item)]))
}
