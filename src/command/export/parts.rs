//! Files of items: each its length and its checksum (CRC-32, both little-endian `u32`), then its bytes in postcard.
//!
//! The manifest has a hash of each file; the checksums say where in it something is wrong.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::ids::ShardId;
use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::Error;
use storage::deliveries::DeadLetterId;
use storage::journal::{Hash, JournalKey, Record, Slot, Space, StoredRecord};
use storage::moving::{MovedDevices, MovedPerson};
use storage::watches::{Subscriber, TimelineWrite, Watch};
use uuid::Uuid;

use crate::archive::{FilePart, files};

/// How the files' names end.
pub(in crate::command) const EXTENSION: &str = ".part";

/// From how many bytes on a file is full: what is written again at most when an export is cut short.
const PART_BYTES: usize = 64 << 20;

/// The longest item: of a person with the most devices, places and marks there may be it is a tenth.
const ITEM_BYTES_MAX: usize = 32 << 20;

/// Bytes before each item.
const HEAD: usize = 8;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) struct RecordItem {
    shard: ShardId,
    slot: Slot,
    term: u64,
    at: Timestamp,
    previous: Hash,
    payload: Bytes,
}

/// What is kept beside the journals.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) enum PeopleItem {
    /// Somebody, and what is kept of them.
    Person(Box<PersonItem>),
    /// What could not be delivered, as stores keep it.
    Letter {
        /// Its id.
        id: DeadLetterId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Up to which slot all messages of a journal have been looked at.
    Noted {
        /// The journal.
        key: JournalKey,
        /// The slot.
        slot: Slot,
    },
    /// What became of some of somebody's messages.
    Timelines {
        /// The steps.
        steps: Vec<TimelineWrite>,
    },
}

/// Somebody, and what is kept of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) struct PersonItem {
    pub(in crate::command) person: MovedPerson,
    pub(in crate::command) devices: MovedDevices,
    /// Stream, all up to this offset, and these beyond it.
    pub(in crate::command) read: Vec<(Uuid, u64, Vec<u64>)>,
    pub(in crate::command) subscribers: Vec<Subscriber>,
    pub(in crate::command) watches: Vec<Watch>,
}

/// A record, to be written.
pub(in crate::command) fn record(stored: &StoredRecord) -> RecordItem {
    let Record { key, slot, term, at, previous, payload } = stored.record.clone();
    RecordItem { shard: key.shard, slot, term, at, previous, payload }
}

impl RecordItem {
    /// The record that was written.
    pub(in crate::command) fn into_record(self, space: Space) -> Record {
        let Self { shard, slot, term, at, previous, payload } = self;
        Record { key: JournalKey { space, shard }, slot, term, at, previous, payload }
    }
}

/// Writes items into files, one after another.
pub(in crate::command) struct PartsWriter {
    folder: PathBuf,
    name: &'static str,
    /// How many files are full.
    full: usize,
    buffer: Vec<u8>,
}

impl PartsWriter {
    /// Files of this name, after the first `full`.
    pub(in crate::command) fn new(folder: &Path, name: &'static str, full: usize) -> Self {
        Self { folder: folder.to_owned(), name, full, buffer: Vec::new() }
    }

    /// Adds an item. Answers the file that it made full, which is durable then.
    pub(in crate::command) fn push<T: Serialize>(&mut self, item: &T) -> Result<Option<FilePart>, Error> {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEAD]);
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = postcard::to_extend(item, buffer)
            .map_err(|error| Error::Unknown(format!("an item cannot be encoded: {error}")))?;
        let body = self.buffer.get(at.saturating_add(HEAD)..).unwrap_or_default();
        if body.len() > ITEM_BYTES_MAX {
            return Err(Error::Unknown(format!("an item of {} bytes is too large to be exported", body.len())));
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let checksum = crc32fast::hash(body).to_le_bytes();
        if let Some(head) = self.buffer.get_mut(at..at.saturating_add(HEAD)) {
            let (first, second) = head.split_at_mut(HEAD / 2);
            first.copy_from_slice(&length);
            second.copy_from_slice(&checksum);
        }
        if self.buffer.len() >= PART_BYTES { self.flush().map(Some) } else { Ok(None) }
    }

    /// Writes what is left. Answers its file, if there is any.
    pub(in crate::command) fn finish(mut self) -> Result<Option<FilePart>, Error> {
        if self.buffer.is_empty() { Ok(None) } else { self.flush().map(Some) }
    }

    fn flush(&mut self) -> Result<FilePart, Error> {
        self.full = self.full.saturating_add(1);
        let file = format!("{}-{:06}{EXTENSION}", self.name, self.full);
        let path = self.folder.join(&file);
        let sum = files::put_all(&path, &mut self.buffer.as_slice())?;
        files::sync_folder(&self.folder)?;
        self.buffer.clear();
        Ok(FilePart::new(file, sum))
    }
}

/// Where an item stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct ItemPlace {
    /// Its first byte, the head included.
    pub(in crate::command) at: u64,
    /// Its length, the head included.
    pub(in crate::command) len: u32,
}

/// A file, to read single items of.
pub(in crate::command) struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// A file of an archive.
    pub(in crate::command) fn open(folder: &Path, part: &FilePart) -> Result<Self, Error> {
        let path = part.path(folder)?;
        let file = File::open(&path).map_err(|error| Error::io(format!("reading {}", path.display()), error))?;
        Ok(Self { path, file })
    }

    /// The item at a place that a [`PartReader`] named.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the place if it is not what was written.
    pub(in crate::command) fn item<T: DeserializeOwned>(&self, place: ItemPlace) -> Result<T, Error> {
        let mut bytes = vec![0; usize::try_from(place.len).unwrap_or(usize::MAX).min(HEAD + ITEM_BYTES_MAX)];
        let read = self.file.read_exact_at(&mut bytes, place.at);
        read.map_err(|error| Error::io(format!("reading {}", self.path.display()), error))?;
        let damaged = |what: &str| Error::Damaged { file: self.path.clone(), offset: place.at, what: what.to_owned() };
        let (head, body) = bytes.split_at_checked(HEAD).ok_or_else(|| damaged("the file is cut off"))?;
        if head.get(HEAD / 2..) != Some(crc32fast::hash(body).to_le_bytes().as_slice()) {
            return Err(damaged("an item's checksum does not fit"));
        }
        postcard::from_bytes(body).map_err(|error| damaged(&format!("an item cannot be decoded: {error}")))
    }
}

/// Reads the items of a file.
pub(in crate::command) struct PartReader {
    path: PathBuf,
    file: BufReader<File>,
    at: u64,
}

impl PartReader {
    /// The items of a file of an archive.
    pub(in crate::command) fn open(folder: &Path, part: &FilePart) -> Result<Self, Error> {
        let path = part.path(folder)?;
        let file = File::open(&path).map_err(|error| Error::io(format!("reading {}", path.display()), error))?;
        Ok(Self { path, file: BufReader::with_capacity(1 << 20, file), at: 0 })
    }

    /// The next item; nothing at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the place of what is wrong.
    pub(in crate::command) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        Ok(self.next_with_place()?.map(|(_, item)| item))
    }

    /// The next item, and where it stands.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(in crate::command) fn next_with_place<T: DeserializeOwned>(&mut self) -> Result<Option<(ItemPlace, T)>, Error> {
        let Some(body) = self.body()? else { return Ok(None) };
        let item = postcard::from_bytes(&body);
        let item = item.map_err(|error| self.damaged(&format!("an item cannot be decoded: {error}")))?;
        let place = ItemPlace { at: self.at, len: u32::try_from(HEAD + body.len()).unwrap_or(u32::MAX) };
        self.at = self.at.saturating_add(u64::from(place.len));
        Ok(Some((place, item)))
    }

    /// The place of the first item that is not what was written; the end if none is.
    pub(in crate::command) fn first_damage(mut self) -> Result<(), Error> {
        while let Some(body) = self.body()? {
            self.at = self.at.saturating_add((HEAD + body.len()) as u64);
        }
        Ok(())
    }

    fn body(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut head = [0; HEAD];
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.damaged("the file is cut off")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(format!("reading {}", self.path.display()), error)),
            }
        }
        let (length, checksum) = head.split_at(HEAD / 2);
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        let length = usize::try_from(word(length)).unwrap_or(usize::MAX);
        if length > ITEM_BYTES_MAX {
            return Err(self.damaged(&format!("an item of {length} bytes is too large")));
        }
        let mut body = vec![0; length];
        self.file.read_exact(&mut body).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("the file is cut off"),
            _ => Error::io(format!("reading {}", self.path.display()), error),
        })?;
        if crc32fast::hash(&body) != word(checksum) {
            return Err(self.damaged("an item's checksum does not fit"));
        }
        Ok(Some(body))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged { file: self.path.clone(), offset: self.at, what: what.to_owned() }
    }
}

/// Checks a file of an export; what is wrong is named with its place in the file, where that can be told.
pub(in crate::command) fn check(folder: &Path, part: &FilePart) -> Result<(), Error> {
    let Err(error) = part.check(folder) else { return Ok(()) };
    if let Ok(reader) = PartReader::open(folder, part) {
        reader.first_damage()?;
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_read_back_and_what_is_wrong_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = PartsWriter::new(dir.path(), "trial", 3);
        let items: Vec<String> = (0..5).map(|number| "x".repeat(number * 10)).collect();
        for item in &items {
            assert_eq!(writer.push(item).unwrap(), None);
        }
        let part = writer.finish().unwrap().unwrap();
        assert_eq!(part.file, "trial-000004.part");
        check(dir.path(), &part).unwrap();
        let mut reader = PartReader::open(dir.path(), &part).unwrap();
        let single = Part::open(dir.path(), &part).unwrap();
        for item in &items {
            let (place, read) = reader.next_with_place::<String>().unwrap().unwrap();
            assert_eq!(read, *item);
            assert_eq!(single.item::<String>(place).unwrap(), *item);
        }
        assert_eq!(reader.next::<String>().unwrap(), None);
        assert!(single.item::<String>(ItemPlace { at: 1, len: 9 }).is_err());

        let path = dir.path().join(&part.file);
        let sound = std::fs::read(&path).unwrap();
        for byte in 0..sound.len() {
            let mut wrong = sound.clone();
            wrong[byte] ^= 1;
            std::fs::write(&path, &wrong).unwrap();
            let Err(Error::Damaged { file, offset, .. }) = check(dir.path(), &part) else { panic!("byte {byte}") };
            assert_eq!(file, path);
            assert!(offset <= byte as u64, "byte {byte}");
        }
        std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert!(check(dir.path(), &part).unwrap_err().to_string().contains("cut off"));
    }
}
