//! Rooms, carried: what happened in a room goes where the room is. Who is quarantined is known for each new shard, because
//! an old one that wrote it down again knew of its own rooms only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::ids::{RoomId, ShardCount, ShardId};
use domain::room::{RoomShard, RoomShardEvent};
use domain::time::Timestamp;
use storage::Error;
use storage::encoding::{self, RoomItem};
use storage::journal::Record;

use super::Carry;
use super::drafts::{Drafts, Source};

/// Carries records of rooms.
pub(super) struct RoomCarry {
    to: ShardCount,
    old: BTreeMap<ShardId, RoomShard>,
    new: BTreeMap<ShardId, BTreeSet<RoomId>>,
}

impl RoomCarry {
    /// Into so many shards.
    pub(super) fn new(to: ShardCount) -> Self {
        Self { to, old: BTreeMap::new(), new: BTreeMap::new() }
    }

    /// What each new journal begins with.
    pub(super) fn began(term: u64) -> RoomItem {
        RoomItem::Shard(Arc::new(RoomShardEvent::TermBegan { term }))
    }

    /// What an event of an old shard comes to on the new ones.
    fn own(&mut self, home: ShardId, event: &RoomShardEvent) -> Vec<(ShardId, RoomShardEvent)> {
        let old = self.old.entry(home).or_default();
        let before = old.quarantined.clone();
        old.apply(event);
        let after = old.quarantined.clone();
        match event {
            RoomShardEvent::TermBegan { .. } => Vec::new(),
            RoomShardEvent::Quarantined { room, .. } => {
                let shard = room.route().shard(self.to);
                self.new.entry(shard).or_default().insert(*room);
                vec![(shard, event.clone())]
            }
            RoomShardEvent::QuarantineEnded { room, .. } => {
                let shard = room.route().shard(self.to);
                self.new.entry(shard).or_default().remove(room);
                vec![(shard, event.clone())]
            }
            RoomShardEvent::Kept { at, .. } => self.keep(&before, &after, *at),
        }
    }

    /// An old shard knows `after` where it knew `before`: news only if what it had known is gone with its beginning.
    fn keep(
        &mut self,
        before: &BTreeSet<RoomId>,
        after: &BTreeSet<RoomId>,
        at: Timestamp,
    ) -> Vec<(ShardId, RoomShardEvent)> {
        let mut changed = BTreeSet::new();
        for room in before.symmetric_difference(after) {
            let shard = room.route().shard(self.to);
            let known = self.new.entry(shard).or_default();
            let _: bool = if after.contains(room) { known.insert(*room) } else { known.remove(room) };
            changed.insert(shard);
        }
        let kept = |shard: ShardId| {
            let quarantined = self.new.get(&shard).cloned().unwrap_or_default();
            (shard, RoomShardEvent::Kept { quarantined, at })
        };
        changed.into_iter().map(kept).collect()
    }
}

impl Carry for RoomCarry {
    type Item = RoomItem;

    fn record(&mut self, record: &Record, source: Source, drafts: &mut Drafts<RoomItem>) -> Result<(), Error> {
        for (_, item) in encoding::read_items::<RoomItem>(&record.payload)? {
            let room = match &item {
                RoomItem::Event(event) => event.room,
                RoomItem::Snapshot(room) => room.id,
                RoomItem::Shard(event) => {
                    for (shard, event) in self.own(record.key.shard, event) {
                        drafts.push(shard, &RoomItem::Shard(Arc::new(event)), source)?;
                    }
                    continue;
                }
            };
            drafts.push(room.route().shard(self.to), &item, source)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::ledger::{By, Meta, Origin};
    use uuid::Uuid;

    use super::*;

    fn room(route: u16, number: u8) -> RoomId {
        let mut bytes = [number; 16];
        bytes[..2].copy_from_slice(&route.to_be_bytes());
        RoomId(Uuid::new_v8(bytes))
    }

    fn quarantined(room: RoomId) -> RoomShardEvent {
        RoomShardEvent::Quarantined { room, at: Timestamp(1) }
    }

    fn kept(rooms: &[RoomId]) -> RoomShardEvent {
        RoomShardEvent::Kept { quarantined: rooms.iter().copied().collect(), at: Timestamp(2) }
    }

    #[test]
    fn who_is_quarantined_stays_so_wherever_the_old_shards_knew_it_from() {
        // Routes 0 and 64 are two shards of 128 and one of 64.
        let (one, other, third) = (room(0, 1), room(64, 2), room(0, 3));
        let mut carry = RoomCarry::new(ShardCount::new(64).unwrap());
        let mut fold = RoomShard::default();
        let meta = Meta {
            at: Timestamp(3),
            origin: Origin { operation: domain::ids::OperationId(Uuid::nil()), by: By::SYSTEM, trace: None },
        };
        let history = [
            (0, RoomShardEvent::TermBegan { term: 1 }, vec![]),
            (0, quarantined(one), vec![one]),
            // The beginning of this shard's journal is gone.
            (64, kept(&[other]), vec![one, other]),
            // Written again, nothing is news.
            (0, kept(&[one]), vec![one, other]),
            (0, quarantined(third), vec![one, other, third]),
            (64, RoomShardEvent::QuarantineEnded { room: other, meta }, vec![one, third]),
            (0, kept(&[third]), vec![third]),
        ];
        for (home, event, expected) in history {
            for (shard, event) in carry.own(ShardId(home), &event) {
                assert_eq!(shard, ShardId(0));
                fold.apply(&event);
            }
            assert_eq!(fold.quarantined, expected.into_iter().collect(), "{event:?}");
        }
    }
}
