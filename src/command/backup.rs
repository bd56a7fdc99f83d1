//! `quickpe backup`: a copy of the embedded store, taken while its node serves.
//!
//! What is in it is in [`contents`], how it is taken in [`taking`]. Taken again into the same folder it copies what is
//! new: a segment of the journal that is full never changes again.

pub(super) mod contents;
mod taking;

use std::path::Path;
use std::sync::Arc;

use crate::command::Context;
use crate::command::failure::Failure;
use crate::command::output::Output;
use taking::{Sources, Taken, Taking};

/// Takes a backup of an open store into `folder`. With `check_all` what was copied before is read again too.
///
/// # Errors
/// The store is not in a data folder, `folder` is no place for its backup, or a file is not what was written.
pub async fn run(context: &Context, folder: &Path, check_all: bool, out: &Output) -> Result<(), Failure> {
    let (Some(ledger), Some(rooms), Some(people)) =
        (context.stores.log(), context.room_stores.log(), context.people.files.clone())
    else {
        return Err(Failure::usage("a store on CQL is backed up by its own means, such as snapshots of its nodes"));
    };
    let store = Arc::clone(&context.store);
    let sources = Sources { store, ledger, rooms, people, taken_at: context.app.clock.now() };
    let (folder, progress) = (folder.to_owned(), out.clone());
    let taken = tokio::task::spawn_blocking(move || Taking::begin(&folder, sources, &progress)?.run(check_all));
    let Taken { number, copied, kept, bytes } =
        taken.await.map_err(|error| Failure::failed(format!("the backup did not end: {error}")))??;
    out.line(format!("backup {number} is whole: {copied} files copied, {bytes} bytes, {kept} kept as they were")).await;
    Ok(())
}
