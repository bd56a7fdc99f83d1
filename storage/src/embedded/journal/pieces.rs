//! A log as of one moment, piece by piece: what a backup copies while the log goes on.
//!
//! A piece that is full never changes again, so it is copied once. Of the one that is written now its frames up to the
//! moment are taken, and not the marks in its head: they speak of what came later, and a log that ends before its own
//! mark is damaged.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::EmbeddedJournal;
use super::floor::Floor;
use super::segment::{HEAD_BYTES, HEAD_FIELDS, Segment};
use crate::Error;
use crate::journal::Space;

/// A segment, as far as it was on the disk at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The segment's number.
    pub number: u64,
    /// The log position of its first byte.
    pub start: u64,
    /// How many of its bytes, from the first, hold something.
    pub used: u64,
    /// Nothing is written in it any more: all of its bytes count.
    pub is_full: bool,
    /// Where it is.
    pub path: PathBuf,
}

impl EmbeddedJournal {
    /// What the log is made of now, in order, without a gap. Segments made ahead of use are not among them.
    pub fn pieces(&self) -> Vec<Piece> {
        // Before the list: all that is durable now is in a segment of the list, unless retention removes it.
        let durable = self.durable();
        let list = self.shared.segments.list();
        let used = list.iter().filter(|segment| segment.first() < durable);
        used.map(|segment| Piece {
            number: segment.number,
            start: segment.start,
            used: durable.min(segment.end()) - segment.start,
            is_full: segment.end() <= durable,
            path: segment.path.clone(),
        })
        .collect()
    }
}

impl Piece {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        file_name(self.number)
    }

    /// Opens it to be copied.
    ///
    /// # Errors
    /// It cannot be opened; `NotFound` if retention has removed it.
    pub fn open(&self) -> io::Result<PieceReader> {
        Ok(PieceReader { file: File::open(&self.path)?, at: 0, used: self.used, is_full: self.is_full })
    }
}

/// The bytes of a piece, from the first.
#[derive(Debug)]
pub struct PieceReader {
    file: File,
    at: u64,
    used: u64,
    is_full: bool,
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.used.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = into.len().min(left);
        let Some(into) = into.get_mut(..most).filter(|into| !into.is_empty()) else { return Ok(0) };
        let read = self.file.read_at(into, self.at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.is_full && self.at < HEAD_BYTES {
            for (at, byte) in (self.at..).zip(into.iter_mut()) {
                if (HEAD_FIELDS as u64..HEAD_BYTES).contains(&at) {
                    *byte = 0;
                }
            }
        }
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

/// The name of the file of the segment with this number.
pub fn file_name(number: u64) -> String {
    let path = Segment::path(Path::new(""), number);
    path.display().to_string()
}

/// The folder of the log of a space under a data folder.
pub fn folder(data: &Path, space: Space) -> PathBuf {
    super::directory(data, space)
}

/// Says of a log that is put together from pieces that it begins with this one, if it is not the first of all. The
/// folder is there, and the piece will be before the log is opened.
///
/// # Errors
/// The disk.
pub fn begin_with(data: &Path, space: Space, store: Uuid, number: u64, start: u64) -> Result<(), Error> {
    if number <= 1 {
        return Ok(());
    }
    Floor { store, segment: number, start }.write(&super::directory(data, space))
}
