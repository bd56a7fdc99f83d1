//! One file of the log: its head, how it is made, and the mark in its head.
//!
//! A segment is written full of zeros and synced before its first frame: a sync of bytes that have a
//! place on the disk already takes a tenth of a sync that must give them one. It gets its name only
//! when it is whole, so a power cut leaves no half-made segment behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::frame::{Codec, Fields};
use crate::Error;

/// The head's bytes; the first frame comes after them. A page, so that no write of a frame touches it.
pub(super) const HEAD_BYTES: u64 = HEAD_LENGTH as u64;

/// The same, to index with.
const HEAD_LENGTH: usize = 4096;

/// The bytes of the head that hold something; the checksum is their last four.
pub(super) const HEAD_FIELDS: usize = 64;

/// Begins each segment.
const MAGIC: [u8; 8] = *b"QPjournl";

/// The format of a segment and its frames.
const FORMAT: u32 = 1;

/// Where the two marks are in the head. Each has a sector of its own; they are written in turn, so a
/// mark torn by a power cut leaves the one before it.
const MARKS: [u64; 2] = [1024, 2048];

/// The bytes of a mark.
const MARK_BYTES: usize = 24;

/// The zeros written at once while a segment is made.
const ZEROS_BYTES: usize = 1 << 20;

/// How many of those are written between two syncs: small enough that the syncs of appends, which
/// share the disk, do not wait long.
const ZEROS_A_SYNC: u64 = 4;

/// A part of the log, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// From 1, dense.
    pub(super) number: u64,
    /// The log position of the file's first byte.
    pub(super) start: u64,
    /// The file's length.
    pub(super) bytes: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    /// The position of the first frame.
    pub(super) fn first(&self) -> u64 {
        self.start + HEAD_BYTES
    }

    /// The position after the file's last byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes
    }

    /// Where `position` is in the file.
    pub(super) fn offset(&self, position: u64) -> u64 {
        position.saturating_sub(self.start)
    }

    /// That the bytes at `position` are not what they were.
    pub(super) fn damaged(&self, position: u64, what: impl Into<String>) -> Error {
        Error::Damaged { file: self.path.clone(), offset: self.offset(position), what: what.into() }
    }

    /// Opens the file to read it and, if asked, to write it.
    pub(super) fn open(&self, write: bool) -> Result<File, Error> {
        OpenOptions::new()
            .read(true)
            .write(write)
            .open(&self.path)
            .map_err(|error| Error::io(format!("opening {}", self.path.display()), error))
    }

    /// The name of the segment with this number.
    pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:06}.log"))
    }

    /// Makes a segment of zeros with its head, durably. Takes as long as the disk needs to write it.
    pub(super) fn make(dir: &Path, number: u64, start: u64, bytes: u64, codec: &Codec) -> io::Result<Self> {
        let path = Self::path(dir, number);
        let unfinished = path.with_extension("new");
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&unfinished)?;
        let segment = Self { number, start, bytes, path };
        let made = segment.fill(&file, codec).and_then(|()| fs::rename(&unfinished, &segment.path));
        if let Err(error) = made {
            // Whatever is left of it is in the way of nobody; it is removed so that its room is free.
            if let Err(error) = fs::remove_file(&unfinished) {
                tracing::warn!(file = %unfinished.display(), %error, "an unfinished segment stays");
            }
            return Err(error);
        }
        sync_directory(dir)?;
        Ok(segment)
    }

    /// Writes zeros and the head, and syncs them.
    fn fill(&self, file: &File, codec: &Codec) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES];
        let mut offset = 0;
        while offset < self.bytes {
            let length = (self.bytes - offset).min(ZEROS_BYTES as u64);
            file.write_all_at(zeros.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default(), offset)?;
            offset += length;
            if (offset / ZEROS_BYTES as u64).is_multiple_of(ZEROS_A_SYNC) {
                file.sync_data()?;
            }
        }
        file.write_all_at(&self.head(codec), 0)?;
        file.sync_all()
    }

    /// The head's fields.
    fn head(&self, codec: &Codec) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEAD_FIELDS);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&[codec.space.number(), 0, 0, 0]);
        head.extend_from_slice(codec.store.as_bytes());
        for number in [self.number, self.start, self.bytes] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.resize(HEAD_FIELDS - 4, 0);
        let checksum = crc32fast::hash(&head);
        head.extend_from_slice(&checksum.to_le_bytes());
        head
    }

    /// Reads the head of the file at `path`: the segment and its store's id. `None` if it is no head.
    pub(super) fn read(path: &Path, space: u8) -> Result<Option<(Self, Uuid)>, Error> {
        let failed = |error| Error::io(format!("reading {}", path.display()), error);
        let file = File::open(path).map_err(failed)?;
        // A file without its whole head has lost its marks too, whatever its fields say.
        let mut head = [0; HEAD_LENGTH];
        match file.read_exact_at(&mut head, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let (bytes, _) = head.split_at(HEAD_FIELDS);
        let (fields, checksum) = bytes.split_at(HEAD_FIELDS - 4);
        if checksum != crc32fast::hash(fields).to_le_bytes() {
            return Ok(None);
        }
        let mut fields = Fields(fields);
        if fields.take() != MAGIC {
            return Ok(None);
        }
        let format = u32::from_le_bytes(fields.take());
        if format != FORMAT {
            return Err(Error::Unknown(format!("{} has format {format}; this build knows {FORMAT}", path.display())));
        }
        let [its_space, ..] = fields.take::<4>();
        if its_space != space {
            return Err(Error::Unknown(format!("{} belongs to another space", path.display())));
        }
        let store = Uuid::from_bytes(fields.take());
        let [number, start, bytes] = [(); 3].map(|()| u64::from_le_bytes(fields.take()));
        Ok(Some((Self { number, start, bytes, path: path.to_owned() }, store)))
    }

    /// Writes in the head that all before `durable` is on the disk. The `turn`s alternate. Not synced.
    pub(super) fn mark(&self, file: &File, codec: &Codec, durable: u64, turn: u64) -> io::Result<()> {
        let mut covered = [0; MARK_BYTES - 4];
        covered[4..12].copy_from_slice(&self.number.to_le_bytes());
        covered[12..].copy_from_slice(&durable.to_le_bytes());
        let mut mark = [0; MARK_BYTES];
        mark[..4].copy_from_slice(&codec.checksum(&covered).to_le_bytes());
        mark[4..].copy_from_slice(&covered);
        let [even, odd] = MARKS;
        file.write_all_at(&mark, if turn.is_multiple_of(2) { even } else { odd })
    }

    /// The larger of the marks in the head; 0 if there is none.
    pub(super) fn marked(&self, file: &File, codec: &Codec) -> u64 {
        let read = |offset| {
            let mut mark = [0; MARK_BYTES];
            file.read_exact_at(&mut mark, offset).ok()?;
            let (checksum, covered) = mark.split_at(4);
            let mut fields = Fields(covered);
            let _: [u8; 4] = fields.take();
            let number = u64::from_le_bytes(fields.take());
            let durable = u64::from_le_bytes(fields.take());
            (checksum == codec.checksum(covered).to_le_bytes() && number == self.number).then_some(durable)
        };
        MARKS.into_iter().filter_map(read).max().unwrap_or(0)
    }
}

/// Makes what was created, renamed or removed in `dir` durable.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Space;

    #[test]
    fn a_segment_reads_back_and_marks_survive_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let codec = Codec::new(Uuid::from_u128(7), Space::Ledger);
        let segment = Segment::make(dir.path(), 3, 1 << 20, 1 << 19, &codec).unwrap();
        assert_eq!(segment.path, dir.path().join("000003.log"));
        assert_eq!(fs::metadata(&segment.path).unwrap().len(), 1 << 19);
        assert_eq!(Segment::read(&segment.path, 0).unwrap(), Some((segment.clone(), Uuid::from_u128(7))));
        assert!(matches!(Segment::read(&segment.path, 1), Err(Error::Unknown(_))));

        let file = segment.open(true).unwrap();
        assert_eq!(segment.marked(&file, &codec), 0);
        segment.mark(&file, &codec, 5000, 0).unwrap();
        segment.mark(&file, &codec, 6000, 1).unwrap();
        assert_eq!(segment.marked(&file, &codec), 6000);
        file.write_all_at(b"torn", MARKS[1] + 10).unwrap();
        assert_eq!(segment.marked(&file, &codec), 5000);
        file.write_all_at(b"x", 20).unwrap();
        assert_eq!(Segment::read(&segment.path, 0).unwrap(), None);
    }
}
