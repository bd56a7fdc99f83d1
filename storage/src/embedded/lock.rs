//! The lock of a data directory: one process at a time.
//!
//! Who holds a [`StoreLock`] may write. The system gives it up when the process ends, however it
//! ends, so a stale file never locks anybody out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;

/// The right of this process to write under one data directory, until it is dropped.
#[derive(Debug)]
pub struct StoreLock {
    dir: PathBuf,
    _file: File,
}

impl StoreLock {
    /// Takes the lock of `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process, or another handle of this one, holds it.
    pub fn acquire(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|error| Error::io(format!("making {}", dir.display()), error))?;
        let path = dir.join("LOCK");
        let failed = |error| Error::io(format!("locking {}", path.display()), error);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // For whoever looks who it is; nothing reads it.
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), _file: file })
    }

    /// The directory that is locked.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_handle_is_refused_until_the_first_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StoreLock::acquire(dir.path()).unwrap();
        assert!(matches!(StoreLock::acquire(dir.path()), Err(Error::Locked(path)) if path == dir.path()));
        assert_eq!(fs::read_to_string(dir.path().join("LOCK")).unwrap().trim(), std::process::id().to_string());
        drop(lock);
        assert!(StoreLock::acquire(dir.path()).is_ok());
    }
}
