//! The same history in another number of shards.
//!
//! What an event says of its account has nothing to do with shards and stays as it is. What it says of a channel does
//! not: a channel is between two shards, and its numbers are those of the credits that the one gave the other.
//!
//! Numbers are dense, and when nothing is in transit each was given once and booked once. So both ends of a credit know
//! it by its channel and number, and nothing else is needed to find the one from the other. [`Numbering`] reads all that
//! happened, in the order in which it will stand in the new journals, and gives each credit its new number there;
//! [`Renumbering`] reads it again in that order, and says what stands where.
//!
//! What senders had noted as settled is carried as it was noted, and no more: of the others a sender will ask again, hear
//! that they are booked, and tell its accounts of those that ended late.

mod numbering;
mod renumbering;

use std::collections::BTreeMap;

use crate::ids::{AccountId, ShardCount, ShardId};
use crate::ledger::event::{Change, ChannelNumber, Event};
use crate::ledger::shard::{Broken, Resolution, SUSPENSE_MAX, Shard, ShardEvent};

pub use numbering::Numbering;
pub use renumbering::Renumbering;

/// The most numbers in one note of what is settled: below what an item of the journal may be.
const BEYOND_IN_NOTE_MAX: usize = 4_096;

/// A credit, as the old shards know it at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OldNumber {
    /// Who gave it.
    pub from: ShardId,
    /// Who got it.
    pub to: ShardId,
    /// Its number on the channel between them.
    pub number: u64,
}

/// The same credit, as the new shards know it. Who gets it is told by the account that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NewNumber {
    /// Who gives it.
    pub from: ShardId,
    /// Its number on the channel between them.
    pub number: u64,
}

/// Why a history cannot be carried into another number of shards, in the order in which it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCarried {
    /// Some numbers were given and not booked: what they are must be known at both ends.
    #[error(
        "{credits} credits are in transit between shards, and only a store without any can get another number of \
         shards: serve it until they have arrived (`quickpe export` says when), resolve what rests in suspense if they \
         do not, and export it again"
    )]
    InTransit {
        /// How many.
        credits: u64,
    },
    /// One of the new shards would begin with more in suspense than any may take, and take no credits.
    #[error(
        "{credits} credits would rest in the suspense of one shard, which takes {SUSPENSE_MAX}: serve the store, \
         resolve some of them (`quickpe admin suspense`), and export it again; or choose more shards"
    )]
    SuspenseFull {
        /// How many.
        credits: usize,
    },
}

/// The old shards: nothing but the folds of their journals, of which the order between shards does not matter.
#[derive(Debug, Default)]
pub struct OldShards(BTreeMap<ShardId, Shard>);

impl OldShards {
    /// Takes the next event of an account on the shard.
    ///
    /// # Errors
    /// It does not follow.
    pub fn event(&mut self, home: ShardId, event: &Event) -> Result<(), Broken> {
        self.0.entry(home).or_default().apply(event)
    }

    /// Takes the next event of the shard itself.
    ///
    /// # Errors
    /// It does not follow.
    pub fn own(&mut self, home: ShardId, event: &ShardEvent) -> Result<(), Broken> {
        self.0.entry(home).or_default().apply_own(event)
    }

    /// How many numbers were given on each channel that was used.
    pub fn given(&self) -> impl Iterator<Item = (ShardId, ShardId, u64)> {
        let channels = |(from, shard): (&ShardId, &Shard)| {
            let from = *from;
            let given: Vec<_> = shard.outgoing.iter().map(|(to, outgoing)| (from, *to, outgoing.last)).collect();
            given
        };
        self.0.iter().flat_map(channels)
    }

    /// Whether all of it, read to its end, can be carried into `to` shards.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, to: ShardCount) -> Result<(), NotCarried> {
        let credits = self.in_transit();
        if credits > 0 {
            return Err(NotCarried::InTransit { credits });
        }
        let mut resting: BTreeMap<ShardId, usize> = BTreeMap::new();
        for suspended in self.0.values().flat_map(|shard| shard.suspense.values()) {
            let count = resting.entry(suspended.credit.payee.account.route().shard(to)).or_default();
            *count = count.saturating_add(1);
        }
        match resting.into_values().max() {
            Some(credits) if credits > SUSPENSE_MAX => Err(NotCarried::SuspenseFull { credits }),
            _ => Ok(()),
        }
    }

    /// How many numbers were given and not booked, on all channels.
    fn in_transit(&self) -> u64 {
        let waiting = |(from, to, given): (ShardId, ShardId, u64)| {
            let booked = self.0.get(&to).and_then(|shard| shard.incoming.get(&from));
            let booked =
                booked.map_or(0, |end| end.through.saturating_add(u64::try_from(end.beyond.len()).unwrap_or(u64::MAX)));
            given.saturating_sub(booked)
        };
        self.given().map(waiting).fold(0, u64::saturating_add)
    }

    fn shard(&self, home: ShardId) -> Option<&Shard> {
        self.0.get(&home)
    }
}

/// A credit that an event gives to a channel.
#[derive(Clone, Copy, Debug)]
struct Given {
    /// Its number, as the old shard gave it.
    channel: ChannelNumber,
    /// The account on whose shard it is given.
    giver: AccountId,
    /// The account that gets it.
    receiver: AccountId,
}

impl Given {
    /// What an event of an account gives.
    fn by_account(event: &Event) -> Option<Self> {
        match &event.change {
            Change::Debited { payee, channel, .. } => {
                Some(Self { channel: *channel, giver: event.account, receiver: payee.account })
            }
            _ => None,
        }
    }

    /// What an event of a shard gives, which has not taken it yet.
    fn by_shard(shard: Option<&Shard>, event: &ShardEvent) -> Result<Option<Self>, Broken> {
        match event {
            ShardEvent::Diverted { credit, returned: Some(back), .. } => {
                let (giver, receiver) = (credit.payee.account, credit.payer.account);
                Ok(Some(Self { channel: back.channel, giver, receiver }))
            }
            ShardEvent::SuspenseResolved { transfer, resolution, .. } => {
                let suspended = shard.and_then(|shard| shard.suspense.get(transfer));
                let credit = &suspended.ok_or(Broken("nothing rests in suspense"))?.credit;
                let (giver, payer) = (credit.payee.account, credit.payer.account);
                Ok(Some(match resolution {
                    // It rests where its payee is, and is offered there again.
                    Resolution::Released { channel } => Self { channel: *channel, giver, receiver: giver },
                    Resolution::Returned(back) => Self { channel: back.channel, giver, receiver: payer },
                }))
            }
            _ => Ok(None),
        }
    }

    fn old(&self, home: ShardId) -> OldNumber {
        OldNumber { from: home, to: self.channel.peer, number: self.channel.number }
    }
}
