//! `quickpe import`: an export made into a store of the configured kind.
//!
//! Streams stay what they are, offsets and epoch included: whoever followed an account goes on following it. So the
//! store that was exported must not be served again.
//!
//! Every file is compared with its hash before anything is written. Records go into the journals as they are, their
//! chain checked; where retention has let go of a journal's beginning its slots are counted anew from 1, and chained
//! anew. Into another number of shards all records are made anew: see [`resharding`]. Then people, then views, then a
//! verification of all of it; only then is it a store. An import that was cut short goes on: what the journals have is
//! compared, not written again.

mod people;
mod resharding;
mod target;
mod writing;

use std::path::Path;
use std::sync::Arc;

use domain::ids::ShardCount;
use storage::Error;
use storage::journal::Space;

use crate::command::export::contents::{Contents, Log};
use crate::command::export::parts::{self, PartReader, RecordItem};
use crate::command::failure::Failure;
use crate::command::output::Output;
use crate::command::verify;
use crate::config::{Config, Keys};
use crate::node::stores::{PeopleStores, Progress, SpaceStores};
use people::Noted;
use resharding::{Resharding, Survey};
use target::Target;
use writing::Writing;

/// Imports the export in `folder` into the store that is configured, in as many shards as it has or in `shards`.
///
/// # Errors
/// The store is not empty; `folder` holds no whole export, or a file of it is not what was written; or it cannot be
/// carried into another number of shards.
pub async fn run(config: &Arc<Config>, folder: &Path, shards: Option<u16>, out: &Output) -> Result<(), Failure> {
    let none = || Failure::failed(format!("there is no export in {}", folder.display()));
    let contents = Contents::read(folder)?.ok_or_else(none)?;
    if !contents.is_whole {
        let shown = folder.display();
        return Err(Failure::failed(format!("the export in {shown} was cut short: run `quickpe export` again")));
    }
    tokio::task::block_in_place(|| check(&contents, folder, out))?;
    let survey = match another_count(&contents, shards)? {
        Some(to) => Some(tokio::task::block_in_place(|| Survey::of(&contents, folder, to, out))?),
        None => None,
    };
    let count = survey.as_ref().map_or(contents.store.shards, |survey| survey.to().get());
    let target = Target::open(config, &contents, count).await?;
    let keys = Keys::load(&config.keys, config.profile, &target.layout().keys(), false)
        .map_err(|error| Failure::usage(format!("{error}; an import needs the keys of the store that was exported")))?;
    target.clear_views().await?;

    let open = |space| tokio::task::block_in_place(|| SpaceStores::open(&target.store, config, space));
    let (stores, room_stores) = (open(Space::Ledger)?, open(Space::Rooms)?);
    let journals = Journals { contents: &contents, folder, target: &target, out };
    let spaces = [(Space::Ledger, &stores), (Space::Rooms, &room_stores)];
    let Imported { records, found, noted } = match &survey {
        Some(survey) => journals.reshard(survey, spaces).await?,
        None => journals.copy(spaces).await?,
    };
    let people = tokio::task::block_in_place(|| PeopleStores::open(&target.store, &keys))?;
    let users = people::import(&people, &contents.people, folder, &noted, out).await?;
    tokio::task::block_in_place(|| drop(people));
    for stores in [&stores, &room_stores] {
        let all = stores.records(&target.store).await?;
        stores.replay(all, Vec::new(), &|at| out.progress(at)).await?;
    }
    verify::opened(&stores, &room_stores, &target.store, out).await?;
    // Closing writes what the views still hold in memory.
    tokio::task::block_in_place(|| drop((stores, room_stores)));
    target.found(config).await?;
    out.line(format!("{records} records and {users} people are imported; {found} records were there before")).await;
    if count != contents.store.shards {
        out.line(format!("{count} shards in place of {}", contents.store.shards)).await;
    }
    Ok(())
}

/// How many shards there shall be, if not as many as there were.
fn another_count(contents: &Contents, shards: Option<u16>) -> Result<Option<ShardCount>, Failure> {
    let Some(shards) = shards.filter(|shards| *shards != contents.store.shards) else { return Ok(None) };
    let count = ShardCount::new(shards).ok_or_else(|| Failure::usage("a store has 64 to 1024 shards"))?;
    Ok(Some(count))
}

/// Compares every file with what was written.
fn check(contents: &Contents, folder: &Path, out: &Output) -> Result<(), Error> {
    let of = contents.parts().map(|part| part.bytes).sum();
    let (mut done, mut records) = (0_u64, 0);
    for part in contents.parts() {
        parts::check(folder, part)?;
        done = done.saturating_add(part.bytes);
        records += 1;
        out.progress(Progress { done, of, records });
    }
    Ok(())
}

/// The journals that are imported, and where they go.
struct Journals<'a> {
    contents: &'a Contents,
    folder: &'a Path,
    target: &'a Target,
    out: &'a Output,
}

/// What was imported of them.
struct Imported {
    /// How many records were written.
    records: u64,
    /// How many were there.
    found: u64,
    noted: Noted,
}

impl Journals<'_> {
    /// Copies records as they are.
    async fn copy(&self, spaces: [(Space, &SpaceStores); 2]) -> Result<Imported, Failure> {
        let (mut records, mut found, mut moved) = (0, 0, Vec::new());
        for (space, stores) in spaces {
            let mut writing = self.begin(stores, self.contents.log(space), space).await?;
            self.copy_log(space, &mut writing).await?;
            writing.finish()?;
            records += writing.written();
            found += writing.found();
            moved.push((space, writing.moved()));
        }
        Ok(Imported { records, found, noted: Noted::Moved(moved) })
    }

    /// Carries them into another number of shards.
    async fn reshard(&self, survey: &Survey, spaces: [(Space, &SpaceStores); 2]) -> Result<Imported, Failure> {
        let scratch = self.target.layout().resharding();
        let resharding = Resharding::begin(self.contents, survey, self.folder, scratch)?;
        let (mut records, mut found, mut noted) = (0, 0, Vec::new());
        // Of the new journals no export says where they end.
        let any = Log::default();
        for (space, stores) in spaces {
            let mut writing = self.begin(stores, &any, space).await?;
            noted.extend(resharding.write(space, &mut writing, self.out).await?);
            records += writing.written();
            found += writing.found();
        }
        resharding.remove()?;
        Ok(Imported { records, found, noted: Noted::Here(noted) })
    }

    async fn begin<'b>(&self, stores: &SpaceStores, log: &'b Log, space: Space) -> Result<Writing<'b>, Failure> {
        let writing = Writing::begin(stores.journal(), &self.target.store, log, space).await?;
        if !self.target.is_begun && writing.has_records() {
            return Err(Failure::failed("the store is not empty: it has records already"));
        }
        Ok(writing)
    }

    /// Copies the journals of a space.
    async fn copy_log(&self, space: Space, writing: &mut Writing<'_>) -> Result<(), Error> {
        let log = self.contents.log(space);
        let of = log.parts.iter().map(|part| part.bytes).sum();
        let mut done = 0_u64;
        for part in &log.parts {
            let mut reader = PartReader::open(self.folder, part)?;
            while let Some(item) = reader.next::<RecordItem>()? {
                writing.push(item.into_record(space)).await?;
            }
            done = done.saturating_add(part.bytes);
            self.out.progress(Progress { done, of, records: writing.written() });
        }
        writing.flush().await
    }
}
