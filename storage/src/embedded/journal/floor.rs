//! Where a log with retention begins: which segment is its first.
//!
//! A log of money begins at its first segment for ever. Of a log with retention old segments go, and
//! then a file says where it begins now, so that a segment that retention removed is told from one that
//! is lost. It is written before the first of them goes: a crash between the two leaves files before
//! the floor, which the next opening removes.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use uuid::Uuid;

use super::frame::Fields;
use super::segment::sync_directory;
use crate::Error;

/// The file's name.
const FILE: &str = "floor";

/// Begins the file. The last byte is the format.
const MAGIC: [u8; 8] = *b"QPfloor\x01";

/// Magic, store, segment, position, checksum.
const BYTES: usize = 8 + 16 + 8 + 8 + 4;

/// The first segment that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// The store that the log is of.
    pub(super) store: Uuid,
    /// The segment's number.
    pub(super) segment: u64,
    /// The log position of its first byte.
    pub(super) start: u64,
}

impl Floor {
    /// The floor of the log in `dir`; `None` if nothing ever went.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("reading {}", path.display()), error)),
        };
        let damaged = |what: &str| Error::Damaged { file: path.clone(), offset: 0, what: what.to_owned() };
        let Some((covered, checksum)) = bytes.split_at_checked(BYTES - 4).filter(|_| bytes.len() == BYTES) else {
            return Err(damaged("the floor has another length"));
        };
        if checksum != crc32fast::hash(covered).to_le_bytes() {
            return Err(damaged("the floor's checksum does not fit"));
        }
        let mut fields = Fields(covered);
        if fields.take() != MAGIC {
            return Err(Error::Unknown(format!("{} is of a format that this build does not know", path.display())));
        }
        let store = Uuid::from_bytes(fields.take());
        let [segment, start] = [(); 2].map(|()| u64::from_le_bytes(fields.take()));
        Ok(Some(Self { store, segment, start }))
    }

    /// Says where the log in `dir` begins, whole or not at all, durably.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(FILE);
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(self.store.as_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.start.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let write = || -> io::Result<()> {
            // Removed by the next opening if it stays: see `Listing::remove_unfinished`.
            let unfinished = path.with_extension("new");
            let mut file = File::create(&unfinished)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            sync_directory(dir)
        };
        write().map_err(|error| Error::io(format!("writing {}", path.display()), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_reads_back_and_every_flipped_bit_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Floor::read(dir.path()).unwrap(), None);
        let floor = Floor { store: Uuid::from_u128(7), segment: 9, start: 8 << 20 };
        floor.write(dir.path()).unwrap();
        assert_eq!(Floor::read(dir.path()).unwrap(), Some(floor));
        let path = dir.path().join(FILE);
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, wrong).unwrap();
            assert!(Floor::read(dir.path()).is_err(), "bit {bit}");
        }
        fs::write(&path, &bytes[1..]).unwrap();
        assert!(matches!(Floor::read(dir.path()), Err(Error::Damaged { .. })));
    }
}
