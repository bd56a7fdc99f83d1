//! What happened, as it stands in the journals of the new shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{AccountId, ShardCount, ShardId};
use crate::ledger::event::{Change, ChannelNumber, Event};
use crate::ledger::resharding::{BEYOND_IN_NOTE_MAX, Given, NewNumber, OldNumber, OldShards};
use crate::ledger::shard::{Broken, Resolution, Return, ShardEvent};

/// Carries events into new shards, each with the new numbers of the credits that it gives and books.
///
/// New numbers are asked of the caller, who has them of a [`super::Numbering`] that read the same in the same order.
#[derive(Debug)]
pub struct Renumbering {
    to: ShardCount,
    old: OldShards,
    /// New channels on which anything was given.
    channels: BTreeMap<(ShardId, ShardId), Sent>,
}

/// The sending end of a new channel.
#[derive(Debug, Default)]
struct Sent {
    last: u64,
    unsettled: BTreeSet<u64>,
}

impl Renumbering {
    /// For this number of shards. Nothing is carried yet.
    pub fn new(to: ShardCount) -> Self {
        Self { to, old: OldShards::default(), channels: BTreeMap::new() }
    }

    /// Carries the next event of an account on an old shard.
    ///
    /// # Errors
    /// It does not follow, or a number is not known.
    pub fn event<E: From<Broken>>(
        &mut self,
        home: ShardId,
        event: &Arc<Event>,
        numbers: impl Fn(OldNumber) -> Result<NewNumber, E>,
    ) -> Result<(ShardId, Arc<Event>), E> {
        let mut carried = Arc::clone(event);
        match &event.change {
            Change::Debited { .. } => {
                if let Some(given) = Given::by_account(event) {
                    let new = self.give(numbers(given.old(home))?, &given);
                    set_channel(&mut Arc::make_mut(&mut carried).change, new);
                }
            }
            Change::Credited { channel, .. } => {
                let new = booked(home, *channel, &numbers)?;
                set_channel(&mut Arc::make_mut(&mut carried).change, new);
            }
            _ => {}
        }
        self.old.event(home, event)?;
        Ok((self.shard_of(event.account), carried))
    }

    /// Carries the next event of an old shard itself: what it comes to on the new ones.
    ///
    /// Terms are not carried: they are ownerships of shards that are no more.
    ///
    /// # Errors
    /// As [`Self::event`].
    pub fn own<E: From<Broken>>(
        &mut self,
        home: ShardId,
        event: &ShardEvent,
        numbers: impl Fn(OldNumber) -> Result<NewNumber, E>,
    ) -> Result<Vec<(ShardId, ShardEvent)>, E> {
        let given = Given::by_shard(self.old.shard(home), event)?;
        let here = given.as_ref().map(|given| self.shard_of(given.giver));
        let given = match &given {
            Some(given) => Some(self.give(numbers(given.old(home))?, given)),
            None => None,
        };
        let carried = match event {
            ShardEvent::TermBegan { .. } => Vec::new(),
            ShardEvent::Settled { peer, through, beyond } => self.settle(home, *peer, *through, beyond, &numbers)?,
            ShardEvent::Diverted { credit, channel, reason, at, returned } => {
                let back = |back: &Return| given.map(|channel| Return { channel, ..*back });
                let diverted = ShardEvent::Diverted {
                    credit: credit.clone(),
                    channel: booked(home, *channel, &numbers)?,
                    reason: *reason,
                    at: *at,
                    returned: returned.as_ref().and_then(back),
                };
                vec![(self.shard_of(credit.payee.account), diverted)]
            }
            ShardEvent::SuspenseResolved { transfer, resolution, meta } => {
                let resolved = |channel| ShardEvent::SuspenseResolved {
                    transfer: *transfer,
                    resolution: match resolution {
                        Resolution::Released { .. } => Resolution::Released { channel },
                        Resolution::Returned(back) => Resolution::Returned(Return { channel, ..*back }),
                    },
                    meta: meta.clone(),
                };
                here.zip(given.map(resolved)).into_iter().collect()
            }
            ShardEvent::Quarantined { account, .. } | ShardEvent::QuarantineEnded { account, .. } => {
                vec![(self.shard_of(*account), event.clone())]
            }
        };
        self.old.own(home, event)?;
        Ok(carried)
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        account.route().shard(self.to)
    }

    /// Notes a credit as given. Answers its number as the giving end writes it.
    fn give(&mut self, new: NewNumber, given: &Given) -> ChannelNumber {
        let peer = self.shard_of(given.receiver);
        let sent = self.channels.entry((new.from, peer)).or_default();
        sent.last = new.number;
        sent.unsettled.insert(new.number);
        ChannelNumber { peer, number: new.number }
    }

    /// What an old shard noted as settled, as the new ones note it: one or more notes for each channel that it touches.
    fn settle<E: From<Broken>>(
        &mut self,
        home: ShardId,
        peer: ShardId,
        through: u64,
        beyond: &[u64],
        numbers: impl Fn(OldNumber) -> Result<NewNumber, E>,
    ) -> Result<Vec<(ShardId, ShardEvent)>, E> {
        let outgoing = self.old.shard(home).and_then(|shard| shard.outgoing.get(&peer));
        let outgoing = outgoing.ok_or(Broken("a channel settles that was never used"))?;
        let above = beyond.iter().filter(|number| **number > through);
        let above = above.filter_map(|number| outgoing.unsettled.get_key_value(number));
        let mut settled: BTreeMap<(ShardId, ShardId), BTreeSet<u64>> = BTreeMap::new();
        for (number, credit) in outgoing.unsettled.range(..=through).chain(above) {
            let new = numbers(OldNumber { from: home, to: peer, number: *number })?;
            let to = credit.payee.account.route().shard(self.to);
            settled.entry((new.from, to)).or_default().insert(new.number);
        }
        let mut notes = Vec::new();
        for ((from, to), mut numbers) in settled {
            let sent = self.channels.get_mut(&(from, to)).ok_or(Broken("a channel settles that was never used"))?;
            sent.unsettled.retain(|number| !numbers.contains(number));
            let through = sent.unsettled.first().map_or(sent.last, |first| first.saturating_sub(1));
            numbers.retain(|number| *number > through);
            let numbers: Vec<_> = numbers.into_iter().collect();
            let (first, rest) = numbers.split_at_checked(BEYOND_IN_NOTE_MAX).unwrap_or((&numbers, &[]));
            for beyond in std::iter::once(first).chain(rest.chunks(BEYOND_IN_NOTE_MAX)) {
                notes.push((from, ShardEvent::Settled { peer: to, through, beyond: beyond.to_vec() }));
            }
        }
        Ok(notes)
    }
}

/// A credit's number as the receiving end writes it.
fn booked<E>(
    home: ShardId,
    channel: ChannelNumber,
    numbers: impl Fn(OldNumber) -> Result<NewNumber, E>,
) -> Result<ChannelNumber, E> {
    let NewNumber { from, number } = numbers(OldNumber { from: channel.peer, to: home, number: channel.number })?;
    Ok(ChannelNumber { peer: from, number })
}

fn set_channel(change: &mut Change, new: ChannelNumber) {
    if let Change::Debited { channel, .. } | Change::Credited { channel, .. } = change {
        *channel = new;
    }
}
