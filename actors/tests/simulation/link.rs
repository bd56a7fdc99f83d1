//! The way between simulated shards: late, twice, out of order, or not at all.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use actors::ledger::Ledger;
use actors::node::{Link, LocalLink, Node};
use actors::shard::channels::Ack;
use domain::ids::ShardId;
use domain::ledger::Credit;

use crate::world::World;

/// The way.
pub(crate) struct SimLink {
    world: Arc<World>,
    /// Late messages need the node for longer than they are lent it.
    pub node: OnceLock<Weak<Node>>,
}

impl SimLink {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, node: OnceLock::new() }
    }

    /// When copies of a message arrive: none, one or two of them.
    fn arrivals(&self) -> Vec<Duration> {
        let mut state = self.world.lock();
        let weather = state.weather;
        if state.chance.happens(weather.lost) {
            return Vec::new();
        }
        let copies = if state.chance.happens(weather.lost) { 2 } else { 1 };
        (0..copies).map(|_| Duration::from_millis(state.chance.below(weather.late_ms + 1))).collect()
    }

    fn send(&self, message: impl Fn(&Node) + Clone + Send + 'static) {
        self.world.point();
        for late in self.arrivals() {
            let Some(node) = self.node.get().cloned() else { return };
            let message = message.clone();
            let world = Arc::clone(&self.world);
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                let Some(node) = node.upgrade() else { return };
                message(&node);
                let passivate = {
                    let mut state = world.lock();
                    let percent = state.weather.passivate;
                    state.chance.happens(percent)
                };
                if passivate {
                    // The shard finds accounts that are about to go when it looks at the message.
                    Ledger::new(node).passivate();
                }
            });
        }
    }
}

impl Link for SimLink {
    fn credits(&self, _: &Node, to: ShardId, from: ShardId, credits: Vec<(u64, Arc<Credit>)>) {
        for credit in credits {
            self.send(move |node| LocalLink.credits(node, to, from, vec![credit.clone()]));
        }
    }

    fn acks(&self, _: &Node, to: ShardId, from: ShardId, acks: Vec<Ack>) {
        for ack in acks {
            self.send(move |node| LocalLink.acks(node, to, from, vec![ack]));
        }
    }
}
