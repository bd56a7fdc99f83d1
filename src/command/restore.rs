//! `quickpe restore`: a backup put into an empty data folder, as a new life of its store.
//!
//! What clients heard after the backup is not there any more, so the store's streams get a new epoch, by which every
//! client learns that its places count no more. Every journal gets a term far above any that the old life may have
//! begun since, so that nothing that was written then follows from what is here.
//!
//! Until all of it is verified the folder says that it is unfinished, and nobody serves it. A restore that was cut short
//! begins again from the start.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::ids::ShardId;
use domain::ledger::ShardEvent;
use domain::room::RoomShardEvent;
use domain::time::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::Error;
use storage::embedded::journal;
use storage::embedded::lock::StoreLock;
use storage::encoding::{Item, RoomItem, Writer};
use storage::journal::{Append, Journal, JournalKey, Record, Space};

use crate::archive::files;
use crate::command::backup::contents::{Contents, Name};
use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::command::verify;
use crate::config::{Config, Keys, StoreKind};
use crate::node::store::{Founding, Layout, Store, draw_epoch};
use crate::node::stores::{PeopleStores, Progress, SpaceStores, now};
use crate::node::unfinished::Unfinished;

/// By how much terms are raised: more than a shard is ever taken over between a backup and the end of the life that it
/// is of.
const TERMS_RAISED: u64 = 1 << 20;

/// Shards that begin a term together: they share their waiting for the disk.
const RAISING_MAX: usize = 64;

/// Restores the backup in `folder` into the data folder.
///
/// # Errors
/// The data folder is in use or not empty; there is no whole backup in `folder`, or a file of it is not what was
/// written.
pub async fn run(config: &Arc<Config>, folder: &Path, out: &Output) -> Result<(), Failure> {
    if config.storage.kind != StoreKind::Embedded {
        return Err(Failure::usage("a backup is of a store in a data folder: set `storage.kind` to `embedded`"));
    }
    let contents = Contents::read(folder)?.filter(|contents| contents.number > 0);
    let contents =
        contents.ok_or_else(|| Failure::failed(format!("there is no whole backup in {}", folder.display())))?;
    let lock = Arc::new(StoreLock::acquire(&config.data)?);
    let layout = Layout::of(&config.data);
    let of = format!("{} {}", contents.store.id, contents.store.epoch);
    let (_, begun) = Unfinished::claim(&layout, "restore", of)?;
    let founding = Founding { epoch: draw_epoch(), ..contents.store.clone() };
    let store = Store::of(lock, founding, false, None, &layout.founding())?;

    tokio::task::block_in_place(|| {
        if begun {
            clear(&layout)?;
        }
        copy(&contents, folder, &layout, out)
    })?;
    let keys = Keys::load(&config.keys, config.profile, &layout.keys(), false)?;
    drop(tokio::task::block_in_place(|| PeopleStores::open(&store, &keys))?);
    let open = |space| tokio::task::block_in_place(|| SpaceStores::open(&store, config, space));
    let (stores, room_stores) = (open(Space::Ledger)?, open(Space::Rooms)?);
    for (space, stores) in [(Space::Ledger, &stores), (Space::Rooms, &room_stores)] {
        raise_terms(&*stores.journal(), &store, space, now()).await?;
        let records = stores.records(&store).await?;
        stores.replay(records, Vec::new(), &|at| out.progress(at)).await?;
    }
    verify::opened(&stores, &room_stores, &store, out).await?;
    tokio::task::block_in_place(|| {
        // Closing writes what the views still hold in memory.
        drop((stores, room_stores));
        store.founding.write(&layout)?;
        Unfinished::remove(&layout)
    })?;
    let (number, data, epoch) = (contents.number, layout.data().display(), &store.founding.epoch);
    out.line(format!("backup {number} is restored into {data}, and its streams have the epoch {epoch}")).await;
    Ok(())
}

/// Removes what an earlier run put there.
fn clear(layout: &Layout) -> Result<(), Error> {
    let failed = |path: &Path, error| Error::io(format!("removing {}", path.display()), error);
    for path in [layout.journal(), layout.views(Space::Ledger), layout.views(Space::Rooms)] {
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| failed(&path, error))?;
        }
    }
    for path in [layout.identity(), layout.deliveries(), layout.founding()] {
        if path.exists() {
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}

/// Copies all files to their places, and compares each with what was written.
fn copy(contents: &Contents, folder: &Path, layout: &Layout, out: &Output) -> Result<(), Error> {
    let of = contents.parts().map(|part| part.bytes).sum();
    let (mut done, mut records) = (0_u64, 0);
    let mut said = |bytes: u64| {
        done = done.saturating_add(bytes);
        records += 1;
        out.progress(Progress { done, of, records });
    };
    for log in &contents.logs {
        let Some(first) = log.segments.first() else { continue };
        let journal = journal::folder(layout.data(), log.space);
        files::make_folder(&journal)?;
        for segment in &log.segments {
            segment.part.copy_out(folder, &journal.join(journal::file_name(segment.number)))?;
            said(segment.part.bytes);
        }
        if !log.space.is_kept_for_ever() {
            journal::begin_with(layout.data(), log.space, contents.store.id, first.number, first.start)?;
        }
        files::sync_folder(&journal)?;
        files::sync_folder(&layout.journal())?;
    }
    for named in &contents.files {
        let to = match named.name {
            Name::Identity => layout.identity(),
            Name::Deliveries => layout.deliveries(),
            Name::Keys => {
                files::make_folder(&layout.keys())?;
                layout.keys().join("keys.json")
            }
        };
        named.part.copy_out(folder, &to)?;
        said(named.part.bytes);
    }
    if layout.keys().exists() {
        files::sync_folder(&layout.keys())?;
    }
    files::sync_folder(layout.data())
}

/// Begins a term in every journal of a space.
async fn raise_terms(journal: &dyn Journal, store: &Store, space: Space, now: Timestamp) -> Result<(), Error> {
    let raising = store.shards.shards().map(|shard| raise_term(journal, space, shard, now));
    stream::iter(raising).buffer_unordered(RAISING_MAX).try_collect().await
}

async fn raise_term(journal: &dyn Journal, space: Space, shard: ShardId, now: Timestamp) -> Result<(), Error> {
    let key = JournalKey { space, shard };
    let opened = journal.open(key).await?;
    let term = opened.term.saturating_add(TERMS_RAISED);
    let mut payload = Writer::default();
    match space {
        Space::Ledger => payload.push(&Item::Shard(Arc::new(ShardEvent::TermBegan { term })))?,
        Space::Rooms => payload.push(&RoomItem::Shard(Arc::new(RoomShardEvent::TermBegan { term })))?,
    };
    let (slot, at, payload) = (opened.last.next(), now.max(opened.at.next()), payload.finish());
    let record = Record { key, slot, term, at, previous: opened.hash, payload };
    match journal.append(opened.generation, record).await? {
        Append::Durable { .. } => Ok(()),
        Append::Fenced | Append::Unknown => {
            Err(Error::Unavailable(format!("shard {shard} did not take its new term: another writer has it")))
        }
    }
}
