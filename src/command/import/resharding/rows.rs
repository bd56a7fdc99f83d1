//! A file of rows of one length, each found by its number: what is known of each record, or of each credit, however many
//! there are. Of no use after its end, so nothing waits for the disk.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use storage::Error;

/// Rows of `WORDS` numbers. What was not put reads as zeros.
pub(super) struct Rows<const WORDS: usize> {
    path: PathBuf,
    file: File,
}

impl<const WORDS: usize> Rows<WORDS> {
    /// How long a row is.
    const BYTES: u64 = (WORDS * 8) as u64;

    /// A new file of so many rows, in place of one that is there.
    pub(super) fn make(path: &Path, rows: u64) -> Result<Self, Error> {
        let failed = |error| Error::io(format!("making {}", path.display()), error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        file.set_len(rows.saturating_mul(Self::BYTES)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Puts a row.
    pub(super) fn put(&self, row: u64, words: [u64; WORDS]) -> Result<(), Error> {
        let bytes = words.map(u64::to_le_bytes);
        let put = self.file.write_all_at(bytes.as_flattened(), row.saturating_mul(Self::BYTES));
        put.map_err(|error| Error::io(format!("writing {}", self.path.display()), error))
    }

    /// Gets a row.
    pub(super) fn get(&self, row: u64) -> Result<[u64; WORDS], Error> {
        let mut bytes = [[0; 8]; WORDS];
        let got = self.file.read_exact_at(bytes.as_flattened_mut(), row.saturating_mul(Self::BYTES));
        got.map_err(|error| Error::io(format!("reading {}", self.path.display()), error))?;
        Ok(bytes.map(u64::from_le_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_others_are_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows::<2>::make(&dir.path().join("rows"), 4).unwrap();
        rows.put(2, [1, u64::MAX]).unwrap();
        rows.put(0, [7, 8]).unwrap();
        let read: Vec<_> = (0..4).map(|row| rows.get(row).unwrap()).collect();
        assert_eq!(read, [[7, 8], [0, 0], [1, u64::MAX], [0, 0]]);
        assert!(rows.get(4).is_err());
    }
}
