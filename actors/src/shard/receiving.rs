//! Credits and acknowledgements from peers.

use std::sync::Arc;

use domain::ids::ShardId;
use domain::ledger::{self, ChannelNumber, Credit, DivertReason};
use storage::encoding::Item;

use crate::account::AccountMessage;
use crate::call::Reply;
use crate::shard::Open;
use crate::shard::channels::{Ack, Acknowledged};
use crate::shard::core::Push;

impl Open {
    /// Credits from a peer: each is booked once. Only what is durable is acknowledged.
    pub(super) fn credits(&mut self, from: ShardId, credits: Vec<(u64, Arc<Credit>)>) {
        let mut acks = Vec::new();
        for (number, credit) in credits {
            let channel = ChannelNumber { peer: from, number };
            let incoming = self.ledger.incoming.get(&from);
            let booked = incoming.is_some_and(|incoming| incoming.has(number));
            if booked && !crate::mutant::is(crate::mutant::Mutant::NoWatermark) {
                acks.push(Ack { number, diverted: false });
            } else if incoming.is_some_and(|incoming| {
                incoming.beyond.len() >= ledger::shard::BEYOND_MAX && Some(number) != incoming.through.checked_add(1)
            }) {
                // Its sender keeps it and sends it again, when the numbers before it are booked. The next
                // of them is never turned away: it is what all others wait for.
            } else if self.is_quarantined(credit.payee.account) {
                self.divert(channel, &credit);
            } else {
                self.shared.hand(channel, credit);
            }
        }
        if !acks.is_empty() {
            let node = &self.shared.node;
            node.link.acks(node, from, self.shared.id, acks);
        }
    }

    /// Books a credit to suspense for an account that nothing is asked of.
    pub(super) fn divert(&self, channel: ChannelNumber, credit: &Credit) {
        if self.shared.suspense_is_full() || self.shared.is_received(channel) {
            return;
        }
        let at = self.shared.now().at;
        let event = crate::account::diverted(&self.shared, credit, channel, DivertReason::Quarantined, at);
        let push =
            Push { items: vec![Item::Shard(Arc::new(event))], account: None, waiter: None, credit: Some(channel) };
        // A shard that is stopping leaves the credit with its sender.
        self.shared.push_own(push).ok();
    }

    /// A peer has credits of this shard for good.
    pub(super) fn acks(&mut self, from: ShardId, acks: &[Ack]) {
        let patience = self.shared.node.config.patience();
        let now = self.shared.node.clock.now();
        let began_at = self.began_at;
        let on_time = |credit: &Credit| now.since(credit.debited_at) <= patience && credit.debited_at >= began_at;
        for ack in acks {
            let acknowledged = self.shared.channels.lock().acknowledge(from, *ack, on_time);
            if let Some(Acknowledged::Late(credit)) = acknowledged {
                self.say_late(&credit);
            }
        }
    }

    /// Has an account say that a transfer answered as pending came to its end.
    pub(super) fn say_late(&self, credit: &Arc<Credit>) {
        let returns = matches!(credit.purpose, ledger::Purpose::Return { .. });
        // What was released from suspense is on the payee's shard, which has no say for the payer.
        let elsewhere = self.shared.node.shard_of(credit.payer.account) != self.shared.id;
        if returns || elsewhere || self.is_quarantined(credit.payer.account) {
            // A return is nobody's answer, and a quarantined account says nothing.
            self.shared.channels.lock().told(credit.transfer);
            return;
        }
        let (reply, _) = Reply::new(None);
        let message = AccountMessage::Late { credit: Arc::clone(credit), reply };
        self.shared.tell(credit.payer.account, message).ok();
    }
}
