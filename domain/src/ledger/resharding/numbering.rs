//! New numbers for all credits, in the order in which they are given.

use std::collections::BTreeMap;

use crate::ids::{ShardCount, ShardId};
use crate::ledger::event::Event;
use crate::ledger::resharding::{Given, NewNumber, OldNumber, OldShards};
use crate::ledger::shard::{Broken, ShardEvent};

/// Gives each credit its number on the channel between its new shards, dense from 1.
#[derive(Debug)]
pub struct Numbering {
    to: ShardCount,
    old: OldShards,
    /// The last number given, by new channel.
    last: BTreeMap<(ShardId, ShardId), u64>,
}

impl Numbering {
    /// For this number of shards. Nothing is numbered yet.
    pub fn new(to: ShardCount) -> Self {
        Self { to, old: OldShards::default(), last: BTreeMap::new() }
    }

    /// Takes the next event of an account on an old shard. Answers the number of the credit that it gives.
    ///
    /// # Errors
    /// It does not follow.
    pub fn event(&mut self, home: ShardId, event: &Event) -> Result<Option<(OldNumber, NewNumber)>, Broken> {
        self.old.event(home, event)?;
        Given::by_account(event).map(|given| self.number(home, &given)).transpose()
    }

    /// Takes the next event of an old shard itself. Answers as [`Self::event`].
    ///
    /// # Errors
    /// It does not follow.
    pub fn own(&mut self, home: ShardId, event: &ShardEvent) -> Result<Option<(OldNumber, NewNumber)>, Broken> {
        let given = Given::by_shard(self.old.shard(home), event)?;
        self.old.own(home, event)?;
        given.map(|given| self.number(home, &given)).transpose()
    }

    fn number(&mut self, home: ShardId, given: &Given) -> Result<(OldNumber, NewNumber), Broken> {
        let (from, to) = (given.giver.route().shard(self.to), given.receiver.route().shard(self.to));
        let last = self.last.entry((from, to)).or_default();
        *last = last.checked_add(1).ok_or(Broken("a channel has no more numbers"))?;
        Ok((given.old(home), NewNumber { from, number: *last }))
    }
}
