//! A database of the embedded store as of one moment, copied into a file of its own while it goes on.

use std::path::Path;

use redb::{ReadTransaction, WriteTransaction};

use crate::Error;
use crate::embedded::database::Failed;

/// Committed state as of the moment at which this was made.
///
/// The engine keeps what it needs of that moment as long as this lives; it is to be copied soon.
pub struct Snapshot {
    transaction: ReadTransaction,
    cache_bytes: usize,
    copy: fn(&ReadTransaction, &WriteTransaction) -> Result<(), Failed>,
    create: fn(&WriteTransaction) -> Result<(), Failed>,
}

impl Snapshot {
    pub(crate) fn new(
        transaction: ReadTransaction,
        cache_bytes: usize,
        copy: fn(&ReadTransaction, &WriteTransaction) -> Result<(), Failed>,
        create: fn(&WriteTransaction) -> Result<(), Failed>,
    ) -> Self {
        Self { transaction, cache_bytes, copy, create }
    }

    /// Makes a database at `path`, where there is none, with every row of the snapshot: durable when this returns, and
    /// without what was erased before, which freed pages of the original may still hold. Blocks on the disk.
    ///
    /// # Errors
    /// The disk, or a row that this build does not understand.
    pub fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let copy = || -> Result<(), Failed> {
            let database = redb::Builder::new().set_cache_size(self.cache_bytes).create(path)?;
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            (self.create)(&transaction)?;
            (self.copy)(&self.transaction, &transaction)?;
            Ok(transaction.commit()?)
        };
        copy().map_err(|failed| failed.of(path))
    }
}
