//! `quickpe export`: the whole of a store as files that any other store can be made from.
//!
//! What is in them is in [`contents`], how items stand in a file in [`parts`]. Journals are written record by record as
//! they are, people with their wrapped keys, sign-ins and places. Views are not among them: they are derived.
//!
//! Nobody serves the store meanwhile: its folder is locked; and a store on CQL, which other nodes could serve, must have
//! no more records at the end than at the beginning. An export that was cut short goes on in the same folder: what it
//! has of the journals is compared, not written again.

pub(super) mod contents;
pub(super) mod parts;
mod people;
mod transit;

use std::path::Path;
use std::sync::Arc;

use storage::Error;
use storage::embedded::lock::StoreLock;
use storage::journal::Space;

use crate::archive::{files, manifest};
use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::config::{Config, Keys};
use crate::node::store::{Layout, Store};
use crate::node::stores::{PeopleStores, Progress, SpaceStores, now};
use contents::{Contents, Log};
use parts::PartsWriter;
use transit::Transit;

/// How often an export says how far it is, in records.
const PROGRESS_RECORDS: u64 = 256;

/// Exports the store that is configured into `folder`.
///
/// # Errors
/// The store is served or damaged, or `folder` holds anything but an export of it.
pub async fn run(config: &Arc<Config>, folder: &Path, out: &Output) -> Result<(), Failure> {
    let store = Store::open(config, false, now()).await?;
    let keys = Keys::load(&config.keys, config.profile, &Layout::of(&config.data).keys(), false)?;
    files::make_folder(folder)?;
    let _lock = StoreLock::acquire(folder)
        .map_err(|_| Failure::failed(format!("{} is in use by another process", folder.display())))?;
    let mut contents = begin(folder, &store)?;
    contents.is_whole = false;

    let mut transit = Transit::default();
    let mut counted = 0;
    for space in Space::ALL {
        let stores = tokio::task::block_in_place(|| SpaceStores::open(&store, config, space))?;
        export_log(&stores, &store, &mut contents, space, folder, &mut transit, out).await?;
        let records = stores.records(&store).await?;
        counted += contents.log(space).records;
        if !stores.reads_one_moment() && records.end() != contents.log(space).records {
            return Err(Failure::failed(
                "the store has more records than when the export began: stop all its nodes, and run it again",
            ));
        }
        tokio::task::block_in_place(|| drop(stores));
    }
    let people = tokio::task::block_in_place(|| PeopleStores::open(&store, &keys))?;
    contents.people = people::export(&people, folder, out).await?;
    contents.in_transit = transit.credits();
    contents.is_whole = true;
    contents.write(folder)?;
    remove_others(&contents, folder)?;
    let (users, parts) = (contents.people.users, contents.parts().count());
    out.line(format!("{counted} records and {users} people are exported, {parts} files")).await;
    out.line(match contents.in_transit {
        0 => "nothing is in transit between shards".to_owned(),
        credits => format!("{credits} credits are in transit between shards"),
    })
    .await;
    Ok(())
}

/// What the folder holds of an export of this store; nothing yet if it is empty.
fn begin(folder: &Path, store: &Store) -> Result<Contents, Error> {
    files::remove_unfinished(folder)?;
    if let Some(contents) = Contents::read(folder)? {
        if contents.store != store.founding {
            return Err(Error::Unavailable(format!("{} holds an export of another store", folder.display())));
        }
        return Ok(contents);
    }
    if let Some(name) = files::names(folder)?.iter().find(|name| *name != "LOCK") {
        return Err(Error::Unavailable(format!(
            "{} has no {}, and is not empty: `{name}` is in it",
            folder.display(),
            manifest::NAME
        )));
    }
    let contents = Contents::new(store.founding.clone());
    contents.write(folder)?;
    Ok(contents)
}

/// Exports the journals of a space.
async fn export_log(
    stores: &SpaceStores,
    store: &Store,
    contents: &mut Contents,
    space: Space,
    folder: &Path,
    transit: &mut Transit,
    out: &Output,
) -> Result<(), Failure> {
    let had = contents.log(space).clone();
    let mut log = Log { records: 0, ends: Vec::new(), ..had.clone() };
    let mut writer = PartsWriter::new(folder, space.name(), had.parts.len());
    let mut records = stores.records(store).await?;
    let of = records.end();
    while let Some(stored) = records.next().await {
        let stored = stored?;
        log.take(&stored)?;
        if space == Space::Ledger {
            transit.take(&stored)?;
        }
        if !had.has(&stored)? {
            let full = writer.push(&parts::record(&stored))?;
            if let Some(part) = full {
                log.parts.push(part);
                *contents.log_mut(space) = log.clone();
                contents.write(folder)?;
            }
        }
        if log.records.is_multiple_of(PROGRESS_RECORDS) {
            out.progress(Progress { done: records.position(), of, records: log.records });
            tokio::task::yield_now().await;
        }
    }
    if !had.is_within(&log) {
        return Err(Failure::failed(format!(
            "{} holds records of {} that the store has not any more: export into another folder",
            folder.display(),
            space.name()
        )));
    }
    log.parts.extend(writer.finish()?);
    *contents.log_mut(space) = log;
    contents.write(folder)?;
    Ok(())
}

/// Removes files that are not part of the export: of runs that were cut short.
fn remove_others(contents: &Contents, folder: &Path) -> Result<(), Error> {
    for name in files::names(folder)? {
        let is_part = contents.parts().any(|part| part.file == name);
        if !is_part && name.ends_with(parts::EXTENSION) {
            let path = folder.join(&name);
            std::fs::remove_file(&path).map_err(|error| Error::io(format!("removing {}", path.display()), error))?;
        }
    }
    files::sync_folder(folder)
}
