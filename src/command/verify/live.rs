//! The shards of a running node, asked while they work.

use domain::ids::ShardId;
use domain::ledger::Shard;
use domain::money::Currency;

use crate::command::Context;
use crate::command::failure::Failure;
use crate::command::verify::Finding;

/// Asks all shards twice: as receivers first, then as senders. What moves in between is in transit. Says what it saw.
pub(super) async fn check(context: &Context) -> Result<String, Failure> {
    let receivers = ask(context).await?;
    let senders = ask(context).await?;
    let mut in_transit: u64 = 0;
    for (from, sender) in &senders {
        if !sender.sums_to_zero() {
            return Err(Finding::broken(format!("shard {from}, live"), "its accounts do not sum to zero").into());
        }
        for (to, receiver) in &receivers {
            in_transit = in_transit.saturating_add(channel(*from, sender, *to, receiver)?);
        }
    }
    Ok(format!("live: {} shards sum to zero, {in_transit} credits in transit at most", senders.len()))
}

async fn ask(context: &Context) -> Result<Vec<(ShardId, Shard)>, Failure> {
    let mut shards = Vec::with_capacity(usize::from(context.store.shards.get()));
    for shard in context.store.shards.shards() {
        let inspected = context.app.ledger.inspect(shard).await;
        let (_, state) = inspected.map_err(|error| Failure::failed(format!("shard {shard}: {error}")))?;
        shards.push((shard, *state));
    }
    Ok(shards)
}

/// A receiver of before against a sender of now: all that it booked was given. Answers how many may be in transit.
fn channel(from: ShardId, sender: &Shard, to: ShardId, receiver: &Shard) -> Result<u64, Finding> {
    let place = || format!("the channel from shard {from} to shard {to}, live");
    let given = sender.outgoing.get(&to).map_or(0, |outgoing| outgoing.last);
    let Some(incoming) = receiver.incoming.get(&from) else { return Ok(given) };
    let last = incoming.beyond.last().copied().unwrap_or(incoming.through);
    if last > given {
        return Err(Finding::broken(place(), format!("number {last} is booked, and the last one given is {given}")));
    }
    for currency in Currency::ALL {
        let sent = sender.system.get(&currency).and_then(|system| system.sent.get(&to)).copied().unwrap_or_default();
        let received = receiver.system.get(&currency).and_then(|system| system.received.get(&from)).copied();
        let received = received.unwrap_or_default();
        if received > sent {
            let code = currency.code();
            return Err(Finding::broken(place(), format!("{received} {code} were received, and {sent} sent")));
        }
    }
    Ok(given.saturating_sub(incoming.through).saturating_sub(incoming.beyond.len() as u64))
}
