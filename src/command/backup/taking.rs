//! Taking a backup: which moment each part is of, and in which order.
//!
//! Full segments are copied first, however long it takes. Then come the moments, within milliseconds of one another and
//! in an order in which no part speaks of what another lacks:
//!
//! 1. *Deliveries.* They say up to which record messages were looked at, and how far people have read: never beyond
//!    the journals, which are later. What is older here is only heard again.
//! 2. *Journals.* One log holds all shards of a space, so its beginning is a state that there was: money in transit
//!    is in transit, and no credit is without its debit.
//! 3. *People.* Whoever is in a journal is there, because they were made before. Whoever was erased between the two
//!    moments stays erased.
//!
//! What retention removes was written again into the journal before, so a segment that goes before the moment is not
//! missed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::time::Timestamp;
use storage::Error;
use storage::embedded::journal::{EmbeddedJournal, Piece};
use storage::embedded::lock::StoreLock;
use storage::embedded::snapshot::Snapshot;
use storage::journal::Space;

use super::contents::{self, Contents, Log, Name, Named, SegmentPart};
use crate::archive::{FilePart, files, manifest};
use crate::command::output::Output;
use crate::node::store::{Layout, Store};
use crate::node::stores::{PeopleFiles, Progress};

/// What a backup is taken of.
pub(super) struct Sources {
    pub(super) store: Arc<Store>,
    pub(super) ledger: Arc<EmbeddedJournal>,
    pub(super) rooms: Arc<EmbeddedJournal>,
    pub(super) people: PeopleFiles,
    pub(super) taken_at: Timestamp,
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) number: u64,
    /// Files that were copied.
    pub(super) copied: u64,
    /// Full segments that were there before.
    pub(super) kept: u64,
    /// The bytes of those that were copied.
    pub(super) bytes: u64,
}

/// A backup that is being taken.
pub(super) struct Taking<'a> {
    folder: PathBuf,
    _lock: StoreLock,
    sources: Sources,
    out: &'a Output,
    before: Contents,
    /// Full segments that are in the folder, by space and number.
    full: BTreeMap<(Space, u64), SegmentPart>,
    /// Files of this run: to be read again.
    written: BTreeSet<String>,
    taken: Taken,
}

impl<'a> Taking<'a> {
    /// Claims the folder: an empty one, or one with backups of the same life of the same store.
    pub(super) fn begin(folder: &Path, sources: Sources, out: &'a Output) -> Result<Self, Error> {
        files::make_folder(folder)?;
        let lock = StoreLock::acquire(folder).map_err(|error| match error {
            Error::Locked(path) => Error::Unavailable(format!(
                "{} is in use: another backup is taken, or a node serves it",
                path.display()
            )),
            error => error,
        })?;
        let before = match Contents::read(folder)? {
            Some(before) => before,
            None => claim(folder, &sources)?,
        };
        let (theirs, ours) = (&before.store, &sources.store.founding);
        if theirs.id != ours.id || theirs.epoch != ours.epoch {
            return Err(Error::Unavailable(format!(
                "{} holds backups of another store, or of what this one was before it was restored: take another folder",
                folder.display()
            )));
        }
        let mut full = BTreeMap::new();
        for log in &before.logs {
            for segment in log.segments.iter().filter(|segment| segment.is_full && segment.part.has_length(folder)) {
                full.insert((log.space, segment.number), segment.clone());
            }
        }
        let taken = Taken { number: before.number.saturating_add(1), ..Taken::default() };
        let written = BTreeSet::new();
        Ok(Self { folder: folder.to_owned(), _lock: lock, sources, out, before, full, written, taken })
    }

    /// Takes it.
    pub(super) fn run(mut self, check_all: bool) -> Result<Taken, Error> {
        let point = self.taken.number.to_string();
        for name in [contents::folder(Space::Ledger), contents::folder(Space::Rooms), &point] {
            files::make_folder(&self.folder.join(name))?;
            files::remove_unfinished(&self.folder.join(name))?;
        }
        let journals =
            [(Space::Ledger, Arc::clone(&self.sources.ledger)), (Space::Rooms, Arc::clone(&self.sources.rooms))];
        for (space, journal) in &journals {
            for piece in journal.pieces().into_iter().filter(|piece| piece.is_full) {
                self.copy_full(*space, &piece)?;
            }
        }

        let people = self.sources.people.clone();
        let deliveries = people.deliveries.snapshot()?;
        let moments: Vec<_> = journals.iter().map(|(space, journal)| (*space, journal.pieces())).collect();
        let identity = people.identity.snapshot()?;

        let mut parts = Vec::new();
        parts.push(self.copy_database(Name::Identity, &identity, "identity.redb", &point)?);
        drop(identity);
        parts.push(self.copy_database(Name::Deliveries, &deliveries, "deliveries.redb", &point)?);
        drop(deliveries);
        parts.extend(self.copy_keys(&point)?);
        let mut logs = Vec::new();
        for (space, pieces) in moments {
            logs.push(Log { space, segments: self.segments(space, &pieces, &point)? });
        }
        let store = self.sources.store.founding.clone();
        let taken_at = self.sources.taken_at;
        let contents = Contents { store, number: self.taken.number, taken_at, logs, files: parts };
        self.settle(&contents, &point, check_all)
    }

    /// The segments of a log as of the moment.
    fn segments(&mut self, space: Space, pieces: &[Piece], point: &str) -> Result<Vec<SegmentPart>, Error> {
        let mut segments = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let part = if piece.is_full {
                self.copy_full(space, piece)?
            } else {
                let file = format!("{point}/{}-{}", space.name(), piece.file_name());
                self.copy_piece(piece, file)?
            };
            let part = part.ok_or_else(|| {
                let path = piece.path.display();
                Error::Unavailable(format!(
                    "{path} was removed by retention before it was copied: take the backup again"
                ))
            })?;
            let (number, start, is_full) = (piece.number, piece.start, piece.is_full);
            segments.push(SegmentPart { number, start, is_full, part });
        }
        Ok(segments)
    }

    /// Copies a full segment unless it is there; nothing if retention has removed it.
    fn copy_full(&mut self, space: Space, piece: &Piece) -> Result<Option<FilePart>, Error> {
        if let Some(there) = self.full.get(&(space, piece.number)) {
            return Ok(Some(there.part.clone()));
        }
        let file = format!("{}/{}", contents::folder(space), piece.file_name());
        let part = self.copy_piece(piece, file)?;
        if let Some(part) = &part {
            let (number, start) = (piece.number, piece.start);
            let segment = SegmentPart { number, start, is_full: true, part: part.clone() };
            self.full.insert((space, number), segment);
        }
        Ok(part)
    }

    fn copy_piece(&mut self, piece: &Piece, file: String) -> Result<Option<FilePart>, Error> {
        let mut reader = match piece.open() {
            Ok(reader) => reader,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("opening {}", piece.path.display()), error)),
        };
        let sum = files::put_all(&self.folder.join(&file), &mut reader)?;
        Ok(Some(self.wrote(FilePart::new(file, sum))))
    }

    fn copy_database(&mut self, name: Name, of: &Snapshot, file: &str, point: &str) -> Result<Named, Error> {
        let file = format!("{point}/{file}");
        let path = self.folder.join(&file);
        let unfinished = files::unfinished(&path);
        of.copy_to(&unfinished)?;
        // The engine makes files that everybody may read.
        let private = fs::Permissions::from_mode(0o600);
        let failed = |error| Error::io(format!("writing {}", path.display()), error);
        fs::set_permissions(&unfinished, private).and_then(|()| fs::rename(&unfinished, &path)).map_err(failed)?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
        let part = FilePart::new(file, files::sum(&path)?);
        Ok(Named { name, part: self.wrote(part) })
    }

    /// Development's own keys. Those of production are the operator's, and are never here.
    fn copy_keys(&mut self, point: &str) -> Result<Option<Named>, Error> {
        let from = Layout::of(self.sources.store.lock.dir()).keys().join("keys.json");
        let mut from = match File::open(&from) {
            Ok(from) => from,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("opening {}", from.display()), error)),
        };
        let file = format!("{point}/keys.json");
        let sum = files::put_all(&self.folder.join(&file), &mut from)?;
        Ok(Some(Named { name: Name::Keys, part: self.wrote(FilePart::new(file, sum)) }))
    }

    fn wrote(&mut self, part: FilePart) -> FilePart {
        self.taken.copied = self.taken.copied.saturating_add(1);
        self.taken.bytes = self.taken.bytes.saturating_add(part.bytes);
        let of = self.sources.ledger.durable().saturating_add(self.sources.rooms.durable());
        self.out.progress(Progress { done: self.taken.bytes, of, records: self.taken.copied });
        self.written.insert(part.file.clone());
        part
    }

    /// Reads back what was written, says that the folder holds it, and lets go of what it held before.
    fn settle(mut self, contents: &Contents, point: &str, check_all: bool) -> Result<Taken, Error> {
        for name in [contents::folder(Space::Ledger), contents::folder(Space::Rooms), point] {
            files::sync_folder(&self.folder.join(name))?;
        }
        for part in contents.parts() {
            let is_kept = !self.written.contains(&part.file);
            self.taken.kept = self.taken.kept.saturating_add(is_kept.into());
            if check_all || !is_kept {
                part.check(&self.folder)?;
            }
        }
        contents.write(&self.folder)?;
        for space in Space::ALL {
            let folder = self.folder.join(contents::folder(space));
            let wanted: Vec<_> = contents.segments(space).iter().map(|segment| segment.part.file.as_str()).collect();
            for name in files::names(&folder)? {
                let file = format!("{}/{name}", contents::folder(space));
                if !wanted.contains(&file.as_str()) {
                    fs::remove_file(folder.join(&name))
                        .map_err(|error| Error::io(format!("removing {file}"), error))?;
                }
            }
        }
        for name in files::names(&self.folder)? {
            if name != point && name.bytes().all(|byte| byte.is_ascii_digit()) {
                let old = self.folder.join(&name);
                fs::remove_dir_all(&old).map_err(|error| Error::io(format!("removing {}", old.display()), error))?;
            }
        }
        debug_assert!(self.before.number < contents.number, "backups are counted");
        Ok(self.taken)
    }
}

/// Makes an empty folder one for backups of the store.
fn claim(folder: &Path, sources: &Sources) -> Result<Contents, Error> {
    let names = files::names(folder)?;
    if let Some(name) = names.iter().find(|name| !["LOCK", "MANIFEST.new"].contains(&name.as_str())) {
        return Err(Error::Unavailable(format!(
            "{} has no {}, and is not empty: `{name}` is in it",
            folder.display(),
            manifest::NAME
        )));
    }
    let (store, taken_at) = (sources.store.founding.clone(), sources.taken_at);
    let nothing = Contents { store, number: 0, taken_at, logs: Vec::new(), files: Vec::new() };
    nothing.write(folder)?;
    Ok(nothing)
}
