//! The views against the replay: checkpoint rows, event rows and cells.

use bytes::Bytes;
use domain::ids::HoldId;
use domain::ledger::{Account, Change, Event, Purpose};
use serde::de::DeserializeOwned;
use storage::embedded::views::PayloadReader;
use storage::encoding::{self, Span};
use storage::journal::{Place, StoredRecord};
use storage::views::{Table, Views};
use uuid::Uuid;

use actors::projector::cells::{self, HoldOutcome, HoldRow, Pointer, Refunded, hold_sort};

use crate::command::verify::Finding;
use crate::command::verify::replay::{Known, Replay};

/// Event rows read at a time.
const ROWS: usize = 1_000;

/// Answers where a row points instead of what is there.
pub(crate) struct Places;

impl PayloadReader for Places {
    fn read_bytes(&self, place: Place, at: u32, len: u32) -> Result<Bytes, storage::Error> {
        let mut bytes = Vec::with_capacity(16);
        bytes.extend_from_slice(&place.0.to_le_bytes());
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        Ok(Bytes::from(bytes))
    }
}

/// By what an event row is known to be the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Where it points: the views were opened with [`Places`].
    Place,
    /// Its bytes, as a running node reads them.
    Bytes,
}

impl Evidence {
    /// As the replay knows it.
    pub(crate) fn of_replay(self, stored: &StoredRecord, span: Span) -> [u64; 2] {
        match self {
            Self::Place => [stored.place.0, u64::from(span.at) << 32 | u64::from(span.len)],
            Self::Bytes => {
                let start = usize::try_from(span.at).unwrap_or(usize::MAX);
                let end = start.saturating_add(usize::try_from(span.len).unwrap_or(usize::MAX));
                of_bytes(stored.record.payload.get(start..end).unwrap_or_default())
            }
        }
    }

    /// As the views answer it.
    fn of_row(self, bytes: &[u8]) -> [u64; 2] {
        let word = |range: std::ops::Range<usize>| {
            bytes.get(range).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        match self {
            Self::Place => {
                let place = u64::from(word(4..8)) << 32 | u64::from(word(0..4));
                [place, u64::from(word(8..12)) << 32 | u64::from(word(12..16))]
            }
            Self::Bytes => of_bytes(bytes),
        }
    }
}

/// Half a hash of the bytes.
fn of_bytes(bytes: &[u8]) -> [u64; 2] {
    let hash = blake3::hash(bytes);
    let (first, rest) = hash.as_bytes().split_at(8);
    let word = |part: &[u8]| part.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    [word(first), word(rest)]
}

/// What an account's event rows come to, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows(u64);

impl Rows {
    pub(crate) fn add(&mut self, offset: u64, evidence: [u64; 2]) {
        /// 2^64 divided by the golden ratio, odd.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        for word in [offset, evidence[0], evidence[1]] {
            self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(SPREAD);
        }
    }
}

/// Compares views with a replay.
pub(crate) struct ViewsCheck<'a> {
    views: &'a dyn Views,
    pub(crate) evidence: Evidence,
}

impl<'a> ViewsCheck<'a> {
    pub(crate) fn new(views: &'a dyn Views, evidence: Evidence) -> Self {
        Self { views, evidence }
    }

    /// The cells of an event that the views have.
    pub(crate) async fn event(&self, event: &Event, _: Span) -> Result<(), Finding> {
        let here = Pointer { account: event.account, offset: event.offset };
        let transfers = Table::Transfers;
        match &event.change {
            Change::Deposited { movement } | Change::Withdrawn { movement, .. } => {
                self.cell(event, transfers, movement.transfer.0, cells::EFFECT, &here).await
            }
            Change::Debited { movement, purpose, .. } => {
                self.cell(event, transfers, movement.transfer.0, cells::EFFECT, &here).await?;
                if let Purpose::Capture { hold, .. } = purpose {
                    let amount = movement.entry.amount;
                    self.outcome(event, *hold, HoldOutcome::Captured { transfer: movement.transfer, amount }).await?;
                }
                Ok(())
            }
            Change::Credited { movement, purpose, .. } => {
                self.cell(event, transfers, movement.transfer.0, cells::CREDIT, &here).await?;
                if let Purpose::Return { of, .. } = purpose {
                    self.cell(event, transfers, of.0, cells::RETURNED, &here).await?;
                }
                Ok(())
            }
            Change::Held { hold, payee, amount, .. } => {
                let row: HoldRow = self.get(event, Table::Holds, hold.0, &[]).await?;
                if (row.payer.account, row.offset, row.amount) != (event.account, event.offset, *amount) {
                    return Err(wrong(event, format!("the views' row of hold {hold} is another")));
                }
                let sort = hold_sort(event.meta.at, *hold);
                self.cell(event, transfers, hold.0, cells::EFFECT, &here).await?;
                self.cell(event, Table::HoldsOfAccount, event.account.0, &sort, hold).await?;
                self.cell(event, Table::HoldsOfAccount, payee.account.0, &sort, hold).await
            }
            Change::Released { hold, cause, .. } => self.outcome(event, *hold, HoldOutcome::Released(*cause)).await,
            _ => Ok(()),
        }
    }

    async fn outcome(&self, event: &Event, hold: HoldId, outcome: HoldOutcome) -> Result<(), Finding> {
        let row: HoldRow = self.get(event, Table::Holds, hold.0, &[]).await?;
        if row.outcome == outcome {
            Ok(())
        } else {
            Err(wrong(event, format!("the views' row of hold {hold} says another outcome")))
        }
    }

    async fn cell<T: DeserializeOwned + PartialEq>(
        &self,
        event: &Event,
        table: Table,
        partition: Uuid,
        sort: &[u8],
        expected: &T,
    ) -> Result<(), Finding> {
        let found: T = self.get(event, table, partition, sort).await?;
        if found == *expected {
            Ok(())
        } else {
            Err(wrong(event, format!("the views' cell of {partition} in {table:?} is another")))
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        event: &Event,
        table: Table,
        partition: Uuid,
        sort: &[u8],
    ) -> Result<T, Finding> {
        let found = self.views.cell(table, partition, sort).await?;
        let found = found.ok_or_else(|| wrong(event, format!("the views have no cell of {partition} in {table:?}")))?;
        Ok(encoding::read_state(&found)?)
    }

    /// Every account's checkpoint and event rows, and what was refunded. Says what it compared.
    pub(crate) async fn finish(&self, replay: &Replay) -> Result<String, Finding> {
        let (mut compared, mut moved): (u64, u64) = (0, 0);
        for (_, shard) in replay.each() {
            for (account, known) in shard.accounts_in_views() {
                let place = || format!("account {account}");
                let checkpoint = self.views.checkpoint(account.0).await?;
                let checkpoint =
                    checkpoint.ok_or_else(|| Finding::broken(place(), "the views have no checkpoint of it"))?;
                let state: Account = encoding::read_state(&checkpoint.state)?;
                if state.head != checkpoint.head || checkpoint.head < known.state.head {
                    let what = format!("its checkpoint is at {}, it was at {}", checkpoint.head, known.state.head);
                    return Err(Finding::broken(place(), what));
                }
                if checkpoint.head > known.state.head {
                    // A running node goes on; what it is at now was verified when it was decided.
                    moved += 1;
                } else if state != known.state {
                    return Err(Finding::broken(place(), "its checkpoint is not what its events come to"));
                }
                self.rows(known).await?;
                compared += 1;
                if compared.is_multiple_of(256) {
                    tokio::task::yield_now().await;
                }
            }
        }
        self.refunds(replay).await?;
        let note = if moved > 0 { format!(", {moved} of which went on meanwhile") } else { String::new() };
        Ok(format!("views: {compared} accounts compared{note}"))
    }

    /// An account's event rows.
    async fn rows(&self, known: &Known) -> Result<(), Finding> {
        let (stream, head) = (known.state.id.0, known.state.head);
        let (mut rows, mut next) = (Rows::default(), 1);
        while next <= head {
            let page = self.views.events_after(stream, next - 1, ROWS).await?;
            if page.is_empty() {
                break;
            }
            for row in page.iter().take_while(|row| row.offset <= head) {
                if row.offset != next {
                    break;
                }
                rows.add(row.offset, self.evidence.of_row(&row.bytes));
                next += 1;
            }
            if page.last().is_none_or(|last| last.offset + 1 != next && next <= head) {
                break;
            }
        }
        if next == head + 1 && rows == known.rows {
            Ok(())
        } else {
            let what = format!("its event rows in the views are not its events, at or before offset {next}");
            Err(Finding::broken(format!("account {}", known.state.id), what))
        }
    }

    /// What the views say was given back, for transfers whose last refund they have.
    async fn refunds(&self, replay: &Replay) -> Result<(), Finding> {
        for (transfer, refunds) in replay.refunds() {
            let cell = self.views.cell(Table::Transfers, transfer.0, cells::REFUNDED).await?;
            let cell: Refunded = cell.map_or_else(|| Ok(Refunded::default()), |cell| encoding::read_state(&cell))?;
            if cell.through == refunds.through && cell.sum != refunds.sum {
                let what = format!("the views say {} were given back, it was {}", cell.sum.get(), refunds.sum.get());
                return Err(Finding::broken(format!("transfer {transfer}"), what));
            }
        }
        Ok(())
    }
}

fn wrong(event: &Event, what: String) -> Finding {
    Finding::broken(format!("account {}, offset {}", event.account, event.offset), what)
}
