//! `quickpe verify`: replays the whole journal and compares everything with it.
//!
//! What it checks: frames and their checksums, each shard's hash chain, dense slots; that every record and every
//! shard sums to zero per currency; dense offsets and entries, `balance_after` as the prefix sum, no account below
//! zero; one effect and one credit a transfer id; holds resolved once, captures within them; refunds within their
//! originals; that what channels gave, booked and have in transit agrees to the last credit; and that positions,
//! checkpoint rows, event rows and cells of the views are what the replay makes them. Of rooms: the chain, dense
//! offsets, snapshots, and the views' rows.
//!
//! Memory: about 200 bytes an account, 8 bytes an effect and 8 a credit, and what is open on the shards. Ids are kept as 64 bits; two that meet are told apart by a second reading.
//!
//! A running node verifies itself up to the record that is its last when it begins, and then asks its shards,
//! receivers before senders, so that what moves meanwhile looks like money in transit and never like money made.

mod channels;
mod ids;
mod live;
mod replay;
mod rooms;
mod rows;
mod second;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use domain::ids::ShardCount;
use domain::money::Currency;
use storage::embedded::journal::Scan;
use storage::embedded::views::{EmbeddedViews, Opening, ViewsConfig};
use storage::journal::{JournalKey, Space};
use storage::views::{Position, Views};
use tokio::time::Instant;

use crate::command::Context;
use crate::command::failure::{Exit, Failure};
use crate::command::output::Output;
use crate::command::verify::replay::Replay;
use crate::command::verify::rooms::Compared;
use crate::command::verify::rows::{Evidence, Places, ViewsCheck};
use crate::config::Config;
use crate::node::store::{Layout, Store};
use crate::node::stores::{Progress, Records, SpaceStores, now};

/// How often a replay says how far it is, in records.
const PROGRESS_RECORDS: u64 = 128;

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Finding {
    /// Bytes are not what they were.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// What the bytes say cannot be.
    #[error("an invariant is broken: {place}: {what}")]
    Broken {
        /// Where.
        place: String,
        /// What.
        what: String,
    },
    /// A store does not answer.
    #[error(transparent)]
    Store(storage::Error),
}

impl Finding {
    pub(crate) fn broken(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Broken { place: place.into(), what: what.into() }
    }
}

impl From<storage::Error> for Finding {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Damaged { .. } | storage::Error::Unknown(_) => Self::Damaged(error.to_string()),
            error => Self::Store(error),
        }
    }
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        let message = finding.to_string();
        match finding {
            Finding::Damaged(_) => Self { exit: Exit::Damaged, message },
            Finding::Broken { .. } => Self { exit: Exit::Failed, message },
            Finding::Store(error) => error.into(),
        }
    }
}

/// Where records are read from, more than once.
pub(crate) enum Source<'a> {
    /// The files of a stopped store.
    Files(&'a Path, Space, ShardCount),
    /// Stores that are open.
    Stores(&'a SpaceStores, &'a Store),
}

impl Source<'_> {
    /// All records that there are now.
    pub(crate) async fn records(&self) -> Result<Records, storage::Error> {
        match self {
            Self::Files(data, space, shards) => Ok(Records::Log(Box::new(Scan::of_files(data, *space, *shards)?))),
            Self::Stores(stores, store) => stores.records(store).await,
        }
    }
}

/// Verifies a stopped store.
///
/// # Errors
/// The store is in use, damaged, or an invariant is broken.
pub async fn stopped(config: &Arc<Config>, out: &Output) -> Result<(), Failure> {
    let store = Store::open(config, false, now()).await?;
    let begun = Instant::now();
    if store.cql.is_some() {
        let open = |space| SpaceStores::open(&store, config, space);
        return opened(&open(Space::Ledger)?, &open(Space::Rooms)?, &store, out).await;
    }
    let layout = Layout::of(&config.data);
    let views = open_views(&store, &layout, Space::Ledger, out).await?;
    let positions = views.as_ref().map_or_else(|| Ok(Vec::new()), EmbeddedViews::positions)?;
    let source = Source::Files(&config.data, Space::Ledger, store.shards);
    let check = views.as_ref().map(|views| ViewsCheck::new(views as &dyn Views, Evidence::Place));
    let mut verified = verify(&source, store.shards, check, positions, out).await?;
    drop(views);
    if Layout::of(&config.data).has_journal(Space::Rooms) {
        let views = open_views(&store, &layout, Space::Rooms, out).await?;
        let positions = views.as_ref().map_or_else(|| Ok(Vec::new()), EmbeddedViews::positions)?;
        let records = Source::Files(&config.data, Space::Rooms, store.shards).records().await?;
        let with = views.as_ref().map(|views| Compared { views: views as &dyn Views, positions, moving: false });
        verified.notes.push(rooms::verify(records, with, out).await?);
    }
    verified.print(begun, out).await;
    Ok(())
}

/// Verifies open stores that nobody writes to.
///
/// # Errors
/// The store is damaged, or an invariant is broken.
pub async fn opened(
    stores: &SpaceStores,
    room_stores: &SpaceStores,
    store: &Store,
    out: &Output,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut verified = of_stores(stores, store, out).await?;
    verified.notes.push(rooms_of_stores(room_stores, store, false, out).await?);
    verified.print(begun, out).await;
    Ok(())
}

/// Verifies the ledger of open stores.
async fn of_stores(stores: &SpaceStores, store: &Store, out: &Output) -> Result<Verified, Failure> {
    // Before the end of the reading is fixed: whatever views have by now, the journal has too.
    let positions = stores.positions(store).await?;
    let views = stores.views();
    let check = ViewsCheck::new(&*views, Evidence::Bytes);
    verify(&Source::Stores(stores, store), store.shards, Some(check), positions, out).await
}

/// Verifies rooms of open stores.
async fn rooms_of_stores(stores: &SpaceStores, store: &Store, moving: bool, out: &Output) -> Result<String, Failure> {
    let positions = stores.positions(store).await?;
    let records = stores.records(store).await?;
    let views = stores.views();
    rooms::verify(records, Some(Compared { views: &*views, positions, moving }), out).await
}

/// The views, if there are any that open. None are no fault: they are derived, and the next start derives them.
async fn open_views(
    store: &Store,
    layout: &Layout,
    space: Space,
    out: &Output,
) -> Result<Option<EmbeddedViews>, Failure> {
    if !layout.views(space).exists() {
        out.line(format!("views of {}: none; the next start derives them", space.name())).await;
        return Ok(None);
    }
    let config = ViewsConfig::of(store.founding.id);
    // Rows are compared by where they point: what stands there was read from the journal itself.
    let opened = tokio::task::block_in_place(|| EmbeddedViews::open(&layout.views(space), &config, Arc::new(Places)))?;
    match opened {
        Opening::Ready(views) => Ok(Some(views)),
        Opening::Rebuild { reason, .. } => {
            let space = space.name();
            out.line(format!("views of {space}: of no use, the next start derives them: {reason}")).await;
            Ok(None)
        }
    }
}

/// Verifies the store of a running node, from inside it.
///
/// # Errors
/// The store is damaged, or an invariant is broken.
pub async fn running(context: &Context, out: &Output) -> Result<(), Failure> {
    let begun = Instant::now();
    let store = &*context.store;
    if !context.stores.reads_one_moment() {
        // One shard would be read later than another that it has paid, and what moved in between would look made.
        return Err(Failure::failed("a store on CQL is verified while no node serves it: stop them first"));
    }
    let mut verified = of_stores(&context.stores, store, out).await?;
    verified.notes.push(live::check(context).await?);
    verified.notes.push(rooms_of_stores(&context.room_stores, store, true, out).await?);
    verified.print(begun, out).await;
    Ok(())
}

/// Replays what a source holds, and compares.
async fn verify(
    source: &Source<'_>,
    shards: ShardCount,
    views: Option<ViewsCheck<'_>>,
    positions: Vec<(JournalKey, Position)>,
    out: &Output,
) -> Result<Verified, Failure> {
    let mut replay = Replay::new(shards, positions, views.as_ref().map_or(Evidence::Place, |views| views.evidence));
    let mut records = source.records().await?;
    let of = records.end();
    let mut count: u64 = 0;
    while let Some(stored) = records.next().await {
        let stored = stored?;
        let events = replay.record(&stored).map_err(Failure::from)?;
        if let Some(views) = &views {
            for (event, span) in events.iter().filter(|_| replay.is_in_views(&stored)) {
                views.event(event, *span).await.map_err(Failure::from)?;
            }
        }
        count += 1;
        if count.is_multiple_of(PROGRESS_RECORDS) {
            if out.is_closed() {
                return Err(Failure::failed("nobody listens any more"));
            }
            out.progress(Progress { done: records.position(), of, records: count });
            tokio::task::yield_now().await;
        }
    }
    let suspects = replay.finish()?;
    if !suspects.is_empty() {
        second::check(source.records().await?, suspects).await?;
    }
    let mut notes = Vec::new();
    if let Some(views) = &views {
        notes.push(views.finish(&replay).await.map_err(Failure::from)?);
    }
    Ok(Verified { figures: replay.figures(), totals: replay.totals(), notes })
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    records: u64,
    events: u64,
    accounts: u64,
    transfers: u64,
}

/// Where a currency's money is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    people: i128,
    world: i128,
    suspense: i128,
    transit: i128,
}

/// A store that was found to be whole.
struct Verified {
    figures: Figures,
    totals: BTreeMap<Currency, Total>,
    notes: Vec<String>,
}

impl Verified {
    async fn print(&self, begun: Instant, out: &Output) {
        let Figures { records, events, accounts, transfers } = self.figures;
        out.line(format!("records {records}, events {events}, accounts {accounts}, transfers {transfers}")).await;
        for (currency, Total { people, world, suspense, transit }) in &self.totals {
            let code = currency.code();
            out.line(format!(
                "{code}: people {}, in transit {}, in suspense {}, outside {}",
                money(*currency, *people),
                money(*currency, *transit),
                money(*currency, *suspense),
                money(*currency, *world)
            ))
            .await;
        }
        for note in &self.notes {
            out.line(note.clone()).await;
        }
        out.line(format!("every invariant holds; {:.1} s", begun.elapsed().as_secs_f64())).await;
    }
}

/// A total in the major unit: totals are wider than any one amount.
fn money(currency: Currency, minor: i128) -> String {
    let exponent = usize::try_from(currency.exponent()).unwrap_or(0);
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = exponent + 1);
    let (major, fraction) = digits.split_at(digits.len() - exponent);
    let (sign, point) = (if minor < 0 { "-" } else { "" }, if exponent > 0 { "." } else { "" });
    format!("{sign}{major}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_written_in_the_major_unit() {
        for (currency, minor, expected) in [
            (Currency::Inr, 0, "0.00"),
            (Currency::Inr, -5, "-0.05"),
            (Currency::Inr, 123_456, "1234.56"),
            (Currency::Jpy, 42, "42"),
            (Currency::Kwd, 1, "0.001"),
        ] {
            assert_eq!(money(currency, minor), expected);
        }
    }
}
