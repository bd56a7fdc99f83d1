//! The second reading: settles what the first could only suspect, and compares refunds with their originals.

use std::collections::{HashMap, HashSet};

use domain::ids::TransferId;
use domain::ledger::{Change, Event, Resolution, ShardEvent};
use domain::money::Minor;
use storage::encoding::{self, Item};
use uuid::Uuid;

use crate::command::verify::Finding;
use crate::command::verify::ids::short;
use crate::command::verify::replay::{Refunds, ShortIds};
use crate::node::stores::Records;

/// How often other tasks get a turn, in records.
const TURN_RECORDS: u64 = 256;

/// What the second reading looks for.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    pub(crate) effects: ShortIds,
    pub(crate) credits: ShortIds,
    pub(crate) holds: ShortIds,
    pub(crate) refunds: HashMap<TransferId, Refunds>,
}

impl Suspects {
    pub(crate) fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.credits.is_empty() && self.holds.is_empty() && self.refunds.is_empty()
    }
}

/// Ids that were seen whole.
#[derive(Default)]
struct Seen {
    effects: HashSet<Uuid>,
    credits: HashSet<Uuid>,
    holds: HashSet<Uuid>,
    /// Originals of refunds, with their amounts.
    originals: HashMap<TransferId, Minor>,
}

/// Reads the log again.
pub(crate) async fn check(mut records: Records, suspects: Suspects) -> Result<(), Finding> {
    let mut seen = Seen::default();
    let mut count: u64 = 0;
    while let Some(stored) = records.next().await {
        let stored = stored?;
        let place = || format!("shard {}, slot {}", stored.record.key.shard, stored.record.slot.0);
        for (_, item) in encoding::read(&stored.record.payload)? {
            let fresh = match item {
                Item::Event(event) => seen.event(&event, &suspects),
                Item::Shard(event) => seen.own(&event, &suspects),
            };
            fresh.map_err(|what| Finding::broken(place(), what))?;
        }
        count += 1;
        if count.is_multiple_of(TURN_RECORDS) {
            tokio::task::yield_now().await;
        }
    }
    for (transfer, refunds) in &suspects.refunds {
        let original = seen.originals.get(transfer).copied().unwrap_or(Minor::ZERO);
        if refunds.most > original || refunds.sum.is_negative() {
            let what = format!("{} were given back of {}", refunds.most.get(), original.get());
            return Err(Finding::broken(format!("transfer {transfer}"), what));
        }
    }
    Ok(())
}

impl Seen {
    fn event(&mut self, event: &Event, suspects: &Suspects) -> Result<(), String> {
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } | Change::Debited { movement, .. } => {
                once(&mut self.effects, &suspects.effects, movement.transfer.0, "has two effects")
            }
            Change::Credited { movement, .. } => {
                let refunds = suspects.refunds.get(&movement.transfer);
                if refunds.is_some_and(|refunds| refunds.account == event.account) {
                    self.originals.insert(movement.transfer, movement.entry.amount);
                }
                once(&mut self.credits, &suspects.credits, movement.transfer.0, "is credited twice")
            }
            Change::Held { hold, .. } => once(&mut self.holds, &suspects.holds, hold.0, "is made twice"),
            _ => Ok(()),
        }
    }

    fn own(&mut self, event: &ShardEvent, suspects: &Suspects) -> Result<(), String> {
        match event {
            ShardEvent::Diverted { returned: Some(back), .. }
            | ShardEvent::SuspenseResolved { resolution: Resolution::Returned(back), .. } => {
                once(&mut self.effects, &suspects.effects, back.transfer.0, "has two effects")
            }
            _ => Ok(()),
        }
    }
}

fn once(seen: &mut HashSet<Uuid>, suspects: &ShortIds, id: Uuid, what: &str) -> Result<(), String> {
    if !suspects.contains(&short(id)) || seen.insert(id) { Ok(()) } else { Err(format!("{id} {what}")) }
}
