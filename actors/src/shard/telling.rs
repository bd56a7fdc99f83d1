//! What is told when a record is durable: credits and acknowledgements to peers, answers to callers,
//! events to who follows. Nothing is told before.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ids::ShardId;
use domain::ledger::{self, Change, ChannelNumber, Credit, DivertReason, Event, ShardEvent};
use domain::time::Timestamp;
use storage::encoding::Item;
use storage::journal::Slot;
use tokio::time::Instant;

use crate::call::{Effect, Status};
use crate::dead_letters::Failure;
use crate::shard::Open;
use crate::shard::channels::{Ack, Patient};
use crate::shard::core::{Queued, Shared, Subject, Waiter};

impl Open {
    /// What a durable event asks of the channels.
    pub(super) fn effect(&mut self, item: &Item, effects: &mut Effects) {
        match item {
            Item::Event(event) => match &event.change {
                Change::Debited { channel, .. } => self.begin(*channel, effects),
                Change::Credited { channel, .. } => effects.ack(*channel, false),
                Change::TransferUpdated { transfer, .. } => self.shared.channels.lock().told(*transfer),
                _ => {}
            },
            Item::Shard(event) => match &**event {
                ShardEvent::Diverted { credit, channel, reason, at, returned } => {
                    effects.ack(*channel, true);
                    match returned {
                        Some(back) => self.begin(back.channel, effects),
                        None => self.report(credit, *reason, *at),
                    }
                }
                ShardEvent::Quarantined { account, .. } => {
                    self.quarantining.remove(account);
                }
                ShardEvent::SuspenseResolved { transfer, resolution, .. } => {
                    self.resolving.remove(transfer);
                    match resolution {
                        ledger::Resolution::Released { channel } => self.begin(*channel, effects),
                        ledger::Resolution::Returned(back) => self.begin(back.channel, effects),
                    }
                }
                _ => {}
            },
        }
    }

    /// A credit is durable here: it is sent, until it is known to be there.
    pub(super) fn begin(&mut self, channel: ChannelNumber, effects: &mut Effects) {
        let outgoing = self.ledger.outgoing.get(&channel.peer);
        let Some(credit) = outgoing.and_then(|outgoing| outgoing.unsettled.get(&channel.number)).cloned() else {
            return;
        };
        self.shared.channels.lock().begin(channel, credit.clone(), Instant::now());
        effects.credits.entry(channel.peer).or_default().push((channel.number, credit));
    }

    pub(super) fn report(&self, credit: &Credit, reason: DivertReason, at: Timestamp) {
        let failure = Failure::Suspended { transfer: credit.transfer, account: credit.payee.account, reason };
        self.shared.node.dead_letters.report(failure, at);
    }

    /// Tells callers and peers what is durable.
    pub(super) fn tell(&self, pushes: Vec<Queued>, effects: Effects) {
        let node = &self.shared.node;
        for (peer, credits) in effects.credits {
            node.link.credits(node, peer, self.shared.id, credits);
        }
        for (peer, acks) in effects.acks {
            node.link.acks(node, peer, self.shared.id, acks);
        }
        for push in pushes {
            if let Some(waiter) = push.waiter {
                let last = push.items.iter().rev().find_map(|item| match item {
                    Item::Event(event) => Some(Arc::clone(event)),
                    Item::Shard(_) => None,
                });
                self.answer(waiter, last, push.account);
            }
        }
    }

    /// Answers a caller, or lets it wait for the payee's side.
    pub(super) fn answer(&self, waiter: Waiter, last: Option<Arc<Event>>, account: Option<Arc<ledger::Account>>) {
        let Waiter { reply, subject } = waiter;
        let (event, account, replayed, returned) = match subject {
            Subject::Last => (last, account, false, false),
            Subject::Unchanged => (None, account, false, false),
            Subject::Replayed { event, returned } => (Some(event), None, true, returned),
        };
        match event {
            Some(event) if !returned && let Change::Debited { channel, .. } = event.change => {
                let until = Instant::now() + self.shared.node.config.patience();
                self.shared.channels.lock().wait(channel, Patient { reply, event, account, replayed }, until);
            }
            event => {
                let status = if returned { Status::Returned } else { Status::Completed };
                reply.send(Ok(Effect { event, account, status, replayed }));
            }
        }
    }

    pub(super) fn publish(&self, items: &[Item]) {
        publish(&self.shared, self.last, items.iter());
    }
}

/// Has followers hear of events, the last of which is in `slot`.
pub(super) fn publish<'a>(shared: &Shared, slot: Slot, items: impl Iterator<Item = &'a Item>) {
    let events: Vec<_> = items
        .filter_map(|item| match item {
            Item::Event(event) => Some(Arc::clone(event)),
            Item::Shard(_) => None,
        })
        .collect();
    if !events.is_empty() {
        shared.node.publisher.publish(shared.id, slot, &events);
    }
}

/// What a durable record asks of the channels.
#[derive(Default)]
pub(super) struct Effects {
    credits: BTreeMap<ShardId, Vec<(u64, Arc<Credit>)>>,
    acks: BTreeMap<ShardId, Vec<Ack>>,
}

impl Effects {
    fn ack(&mut self, channel: ChannelNumber, diverted: bool) {
        self.acks.entry(channel.peer).or_default().push(Ack { number: channel.number, diverted });
    }
}
