//! Commands and credits on their way to their accounts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::ids::AccountId;
use domain::ledger::{ChannelNumber, Credit};
use tokio::sync::oneshot;

use super::{Core, RETRY_SOON, Received, Shared};
use crate::account::AccountMessage;
use crate::call::{Answer, CommandError, Permit, Reply};
use crate::shard::ShardMessage;
use crate::shard::directory::Delivery;

impl Shared {
    /// Gives a command to its account, with a permit.
    pub(crate) fn command(
        &self,
        account: AccountId,
        message: impl FnOnce(Reply) -> AccountMessage,
    ) -> Result<oneshot::Receiver<Answer>, CommandError> {
        if !self.node.stores.journal.has_room() {
            return Err(CommandError::ReadOnly);
        }
        let busy = CommandError::Busy { retry_after: RETRY_SOON };
        let node = Arc::clone(&self.node.commands).try_acquire_owned().map_err(|_| busy)?;
        let places_max = self.node.config.commands_per_account_max;
        let mut receiver = None;
        let mut core = self.core.lock();
        if !core.open || self.is_full(&core) {
            return Err(busy);
        }
        if let Some(places) = core.directory.places(account)
            && places.load(Ordering::Acquire) >= places_max
        {
            return Err(busy);
        }
        let delivery = core.directory.deliver(account, |activation| {
            let permit = Permit::take(node, &activation.places, places_max);
            let (reply, answer) = Reply::new(permit);
            receiver = Some(answer);
            message(reply)
        });
        drop(core);
        self.activate_if_needed(account, &delivery);
        receiver.ok_or(busy)
    }

    /// Gives mail to an account that needs no permit: reads of its state, timers, the platform's own.
    pub(crate) fn tell(&self, account: AccountId, message: AccountMessage) -> Result<(), CommandError> {
        let mut core = self.core.lock();
        if !core.open {
            return Err(CommandError::Busy { retry_after: RETRY_SOON });
        }
        let delivery = core.directory.deliver(account, |_| message);
        drop(core);
        self.activate_if_needed(account, &delivery);
        Ok(())
    }

    /// Hands a credit to its account, once: a number that is handed or queued is not handed again.
    pub(crate) fn hand(&self, channel: ChannelNumber, credit: Arc<Credit>) {
        let mut core = self.core.lock();
        let handed = core.received.contains_key(&channel) && !crate::mutant::is(crate::mutant::Mutant::NoHandedState);
        if !core.open || handed {
            return;
        }
        let account = credit.payee.account;
        let delivery = core.directory.deliver(account, |activation| {
            activation.engage();
            AccountMessage::Credit { channel, credit }
        });
        let (Delivery::Delivered(activation) | Delivery::Activate(activation)) = &delivery;
        let number = activation.number;
        core.received.insert(channel, Received::Handed { activation: number });
        drop(core);
        self.activate_if_needed(account, &delivery);
    }

    /// A handed credit is unseen again: its account could do nothing with it.
    pub(crate) fn unhand(&self, channel: ChannelNumber) {
        self.core.lock().received.remove(&channel);
    }

    /// Whether no more credits may rest in suspense.
    pub(crate) fn suspense_is_full(&self) -> bool {
        self.suspended.load(Ordering::Acquire) >= domain::ledger::shard::SUSPENSE_MAX
    }

    /// Whether a credit is handed or queued.
    pub(crate) fn is_received(&self, channel: ChannelNumber) -> bool {
        self.core.lock().received.contains_key(&channel)
    }

    fn activate_if_needed(&self, account: AccountId, delivery: &Delivery) {
        if let Delivery::Activate(_) = delivery {
            // A shard that has stopped takes its entities with it; callers hear that nobody answered.
            self.actor.cast(ShardMessage::Activate { account }).ok();
        }
    }

    /// Whether the tail takes no new commands: what is left of it is for settling those that were taken.
    fn is_full(&self, core: &Core) -> bool {
        let config = &self.node.config;
        core.tail.bytes() >= config.tail_bytes_max / 4 * 3
            || core.tail.len() >= config.tail_records_max / 4 * 3
            || self.node.tail_bytes.load(Ordering::Acquire) >= config.tail_bytes_node_max / 4 * 3
    }
}
