//! Faults on demand, for the simulation: actors that fail, accounts that go at once.

use domain::ids::{AccountId, ShardId};

use crate::account::AccountMessage;
use crate::ledger::Ledger;
use crate::shard::ShardMessage;

impl Ledger {
    /// Has an account's actor panic when it has done what came before.
    pub fn panic_account(&self, account: AccountId) {
        if let Ok(shared) = self.shared(account) {
            shared.tell(account, AccountMessage::Panic).ok();
        }
    }

    /// Has a shard's actor panic.
    pub fn panic_shard(&self, shard: ShardId) {
        self.node.mail(shard, ShardMessage::Panic);
    }

    /// Has a shard's projector panic.
    pub fn panic_projector(&self, shard: ShardId) {
        self.node.mail(shard, ShardMessage::PanicProjector);
    }

    /// Lets every account go that may, as if it had been idle for long.
    pub fn passivate(&self) {
        for shared in self.node.shards.shards().filter_map(|shard| self.node.shard(shard)) {
            let durable = shared.durable_through();
            shared.directory(|directory| directory.passivate(u64::MAX, 0, durable));
        }
    }

    /// Has every projector run now.
    pub fn project(&self) {
        for shared in self.node.shards.shards().filter_map(|shard| self.node.shard(shard)) {
            shared.project_soon();
        }
    }

    /// Forgets the node's shards, which know the node: a simulated process that has crashed is freed.
    pub fn forget(&self) {
        for shard in self.node.shards.shards() {
            self.node.route(shard, None);
        }
    }
}
