//! The judgement at the end of a run: the node, its views and a replay of its journals agree, and no
//! money was made or lost.

use std::sync::Arc;

use actors::ledger::Ledger;
use actors::projector::cells::{self, HoldOutcome, HoldRow, Pointer, Refunded};
use bytes::Bytes;
use domain::ids::ShardId;
use domain::ledger::{self, Change, Purpose};
use serde::de::DeserializeOwned;
use storage::encoding;
use storage::journal::{JournalKey, Space};
use storage::views::Table;
use uuid::Uuid;

use crate::world::{State, World};

/// Whether nothing is on its way, nothing waits for an operator, and views have everything.
pub(crate) fn is_quiet(world: &World, shards: u16) -> bool {
    let state = world.lock();
    state.model.unsettled() == 0
        && state.model.shards.iter().all(|shard| shard.quarantined.is_empty())
        && (0..shards).map(ShardId).all(|shard| behind(&state, shard) == 0)
}

/// How many records views lack.
fn behind(state: &State, shard: ShardId) -> u64 {
    let position = state.rows.positions.get(&JournalKey { space: Space::Ledger, shard });
    state.disk.last(shard).0 - position.map_or(0, |position| position.through.0)
}

/// Why a run does not come to rest.
pub(crate) fn unquiet(world: &World, shards: u16) -> String {
    let state = world.lock();
    let behind: Vec<_> = (0..shards).map(|shard| behind(&state, ShardId(shard))).collect();
    format!("does not come to rest: {} credits on their way, views lack {behind:?} records", state.model.unsettled())
}

/// Compares what there is with what there must be.
pub(crate) async fn judge(world: &Arc<World>, ledger: &Ledger, shards: u16) -> Result<(), String> {
    for shard in (0..shards).map(ShardId) {
        let (_, inspected) = ledger.inspect(shard).await.map_err(|error| error.to_string())?;
        if *inspected != world.lock().model.shards[usize::from(shard.0)] {
            return Err(format!("shard {shard} is not what its journal says"));
        }
    }
    let accounts: Vec<_> = world.lock().model.accounts.values().cloned().collect();
    for expected in &accounts {
        let account = ledger.account(expected.id).await.map_err(|error| error.to_string())?;
        if *account != *expected {
            return Err(format!("account {} is {account:?}, its journal says {expected:?}", expected.id));
        }
    }
    let state = world.lock();
    money(&state)?;
    views(&state)
}

/// What came in and did not go out is in accounts or in suspense.
fn money(state: &State) -> Result<(), String> {
    let people: i128 = state.model.accounts.values().map(|account| i128::from(account.balances.posted.get())).sum();
    let systems = || state.model.shards.iter().flat_map(|shard| shard.system.values());
    let suspense: i128 = systems().map(|system| system.suspense).sum();
    if people + suspense != state.model.inside {
        return Err(format!("{people} in accounts and {suspense} in suspense of {}", state.model.inside));
    }
    if systems().map(|system| system.people).sum::<i128>() != people {
        return Err("the shards' sums of people are not those of the accounts".into());
    }
    for (from, sender) in state.model.shards.iter().enumerate() {
        for (to, receiver) in state.model.shards.iter().enumerate() {
            let [from, to] = [from, to].map(|shard| ShardId(u16::try_from(shard).unwrap()));
            let sent: i128 = sender.system.values().filter_map(|system| system.sent.get(&to)).sum();
            let received: i128 = receiver.system.values().filter_map(|system| system.received.get(&from)).sum();
            if sent != received {
                return Err(format!("{sent} went from shard {from} to {to}, {received} came"));
            }
        }
    }
    Ok(())
}

/// Views say what the journals say.
fn views(state: &State) -> Result<(), String> {
    for account in state.model.accounts.values() {
        let row = state.rows.checkpoints.get(&account.id.0).ok_or("a checkpoint is missing")?;
        let checkpoint: ledger::Account = encoding::read_state(&row.state).map_err(|error| error.to_string())?;
        if checkpoint != *account || row.head != account.head {
            return Err(format!("the checkpoint of {} is at {}, not {}", account.id, row.head, account.head));
        }
    }
    if state.rows.events.len() != state.model.events.len() {
        return Err(format!("{} event rows for {} events", state.rows.events.len(), state.model.events.len()));
    }
    for ((account, offset), event) in &state.model.events {
        let row = state.rows.events.get(&(account.0, *offset)).ok_or("an event row is missing")?;
        if encoding::read_event(&row.bytes).ok().as_ref() != Some(event) {
            return Err(format!("the row of {event:?} is another"));
        }
        if row.entries != state.model.entries(*account, *offset) {
            let entries = state.model.entries(*account, *offset);
            return Err(format!("row {offset} of {account} counts {} entries, not {entries}", row.entries));
        }
    }
    for (id, (account, offset)) in &state.model.effects {
        let here = Pointer { account: *account, offset: *offset };
        let event = &state.model.events[&(*account, *offset)];
        if !matches!(event.change, Change::Held { .. }) {
            same(&read(state, Table::Transfers, *id, cells::EFFECT)?, &Some(here), "effect")?;
        }
    }
    for (transfer, credit) in &state.model.credits {
        let here = Pointer { account: credit.account, offset: credit.offset };
        same(&read(state, Table::Transfers, transfer.0, cells::CREDIT)?, &Some(here), "credit")?;
    }
    for (transfer, (sum, through)) in &state.model.refunded {
        let here = Refunded { sum: *sum, through: *through };
        same(&read(state, Table::Transfers, transfer.0, cells::REFUNDED)?, &Some(here), "refund")?;
    }
    for transfer in &state.model.returned {
        if read::<Pointer>(state, Table::Transfers, transfer.0, cells::RETURNED)?.is_none() {
            return Err(format!("the return of {transfer} is in no view"));
        }
    }
    holds(state)
}

/// Every hold is as its last event left it.
fn holds(state: &State) -> Result<(), String> {
    let mut outcomes = std::collections::BTreeMap::new();
    for event in state.model.events.values() {
        match &event.change {
            Change::Held { hold, .. } => {
                outcomes.entry(*hold).or_insert(HoldOutcome::Held);
            }
            Change::Released { hold, cause, .. } => {
                outcomes.insert(*hold, HoldOutcome::Released(*cause));
            }
            Change::Debited { movement, purpose: Purpose::Capture { hold, .. }, .. } => {
                let captured = HoldOutcome::Captured { transfer: movement.transfer, amount: movement.entry.amount };
                outcomes.insert(*hold, captured);
            }
            _ => {}
        }
    }
    for (hold, outcome) in outcomes {
        let row: Option<HoldRow> = read(state, Table::Holds, hold.0, &[])?;
        same(&row.map(|row| row.outcome), &Some(outcome), "hold")?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(state: &State, table: Table, id: Uuid, sort: &[u8]) -> Result<Option<T>, String> {
    let cell: Option<&Bytes> = state.rows.cells.get(&(table, id, sort.to_vec())).map(|(_, value)| value);
    cell.map(|value| encoding::read_state(value).map_err(|error| error.to_string())).transpose()
}

fn same<T: PartialEq + std::fmt::Debug>(is: &T, must_be: &T, what: &str) -> Result<(), String> {
    if is == must_be { Ok(()) } else { Err(format!("a {what} cell is {is:?}, not {must_be:?}")) }
}
