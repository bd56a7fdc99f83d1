//! Files of an archive: written whole or not at all, hashed on their way, and read back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage::Error;

/// What is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How a file is called that is not whole yet.
const UNFINISHED: &str = "new";

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePart {
    /// Its path from the archive's folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of all of it, in hexadecimal digits.
    pub hash: String,
}

/// What was read or written of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How many bytes.
    pub bytes: u64,
    /// BLAKE3 of them, in hexadecimal digits.
    pub hash: String,
}

impl FilePart {
    /// The file of this path from the archive's folder.
    pub fn new(file: impl Into<String>, sum: Sum) -> Self {
        Self { file: file.into(), bytes: sum.bytes, hash: sum.hash }
    }

    /// Where the file is.
    ///
    /// # Errors
    /// The path leads out of the folder: whoever wrote the manifest was not this program.
    pub fn path(&self, folder: &Path) -> Result<PathBuf, Error> {
        let path = Path::new(&self.file);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_inside || self.file.is_empty() {
            return Err(Error::Unknown(format!("{}: `{}` is no file of it", folder.display(), self.file)));
        }
        Ok(folder.join(path))
    }

    /// Whether the file is there and as long as it should be.
    pub fn has_length(&self, folder: &Path) -> bool {
        let found = self.path(folder).ok().and_then(|path| fs::metadata(path).ok());
        found.is_some_and(|found| found.is_file() && found.len() == self.bytes)
    }

    /// Reads the file and compares it with what was written.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is gone or another.
    pub fn check(&self, folder: &Path) -> Result<(), Error> {
        let path = self.path(folder)?;
        let sum = match File::open(&path) {
            Ok(mut file) => copy(&mut file, &mut io::sink()).map_err(|error| reading(&path, error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(damaged(&path, "it is missing")),
            Err(error) => return Err(reading(&path, error)),
        };
        self.compare(&path, &sum)
    }

    /// Copies the file to `to`, where it is put whole or not at all, and compares it on its way.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is gone or another; nothing is put then.
    pub fn copy_out(&self, folder: &Path, to: &Path) -> Result<(), Error> {
        let path = self.path(folder)?;
        let mut from = match File::open(&path) {
            Ok(from) => from,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(damaged(&path, "it is missing")),
            Err(error) => return Err(reading(&path, error)),
        };
        put(to, |into| {
            let sum = copy(&mut from, into).map_err(|error| reading(&path, error))?;
            self.compare(&path, &sum)
        })
    }

    fn compare(&self, path: &Path, sum: &Sum) -> Result<(), Error> {
        if sum.bytes != self.bytes {
            return Err(damaged(path, &format!("it has {} bytes, and {} were written", sum.bytes, self.bytes)));
        }
        if sum.hash != self.hash {
            return Err(damaged(path, "its bytes are not those that were written: their hash is another"));
        }
        Ok(())
    }
}

/// Writes a file, whole or not at all, durably but for its name: see [`sync_folder`].
///
/// # Errors
/// The disk, or whatever `fill` says.
pub fn put(path: &Path, fill: impl FnOnce(&mut File) -> Result<(), Error>) -> Result<(), Error> {
    let unfinished = unfinished(path);
    let failed = |error| writing(path, error);
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished).map_err(failed)?;
    let put = fill(&mut file)
        .and_then(|()| file.sync_all().map_err(failed))
        .and_then(|()| fs::rename(&unfinished, path).map_err(failed));
    if put.is_err() {
        // Whatever is left of it is cleared away here or by the next run; it is part of nothing.
        fs::remove_file(&unfinished).ok();
    }
    put
}

/// As [`put`], of bytes that are there.
///
/// # Errors
/// The disk.
pub fn put_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    put(path, |file| file.write_all(bytes).map_err(|error| writing(path, error)))
}

/// As [`put`], of all that `from` reads. Answers what it was.
///
/// # Errors
/// The disk; `from` failed.
pub fn put_all(path: &Path, from: &mut dyn Read) -> Result<Sum, Error> {
    let mut sum = None;
    put(path, |file| {
        sum = Some(copy(from, file).map_err(|error| writing(path, error))?);
        Ok(())
    })?;
    sum.ok_or_else(|| Error::Unavailable(format!("{} was not written", path.display())))
}

/// Sums a file up that is there.
///
/// # Errors
/// The disk.
pub fn sum(path: &Path) -> Result<Sum, Error> {
    let mut file = File::open(path).map_err(|error| reading(path, error))?;
    copy(&mut file, &mut io::sink()).map_err(|error| reading(path, error))
}

/// Makes a folder, readable by its owner only, with those above it.
///
/// # Errors
/// The disk.
pub fn make_folder(folder: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io(format!("making {}", folder.display()), error))
}

/// Makes what was put, renamed or removed in a folder durable.
///
/// # Errors
/// The disk.
pub fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io(format!("syncing {}", folder.display()), error))
}

/// The names in a folder, sorted; none if there is no such folder.
///
/// # Errors
/// The disk.
pub fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |error| reading(folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Removes files of a folder that were never finished.
///
/// # Errors
/// The disk.
pub fn remove_unfinished(folder: &Path) -> Result<(), Error> {
    for name in names(folder)?.iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == UNFINISHED)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(|error| Error::io(format!("removing {}", path.display()), error))?;
    }
    Ok(())
}

/// How a file is called until it is whole.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Copies all, and sums it up.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Sum> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0_u64;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = chunk.get(..read).unwrap_or_default();
        hasher.update(read);
        to.write_all(read)?;
        bytes = bytes.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
    }
    Ok(Sum { bytes, hash: hasher.finalize().to_hex().to_string() })
}

/// That a file is not what was written.
pub fn damaged(path: &Path, what: &str) -> Error {
    Error::Damaged { file: path.to_owned(), offset: 0, what: what.to_owned() }
}

fn reading(path: &Path, error: io::Error) -> Error {
    Error::io(format!("reading {}", path.display()), error)
}

fn writing(path: &Path, error: io::Error) -> Error {
    Error::io(format!("writing {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_found_changed_cut_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let part = FilePart::new("a", put_all(&path, &mut &b"some bytes"[..]).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((part.bytes, part.hash.len()), (10, 64));
        part.check(dir.path()).unwrap();
        assert!(part.has_length(dir.path()));
        let copied = dir.path().join("b");
        part.copy_out(dir.path(), &copied).unwrap();
        assert_eq!(fs::read(&copied).unwrap(), b"some bytes");

        for (bytes, says) in [(&b"some bites"[..], "hash is another"), (b"some", "it has 4 bytes, and 10 were")] {
            fs::write(&path, bytes).unwrap();
            assert!(part.check(dir.path()).unwrap_err().to_string().contains(says));
            fs::remove_file(&copied).unwrap_or_default();
            assert!(matches!(part.copy_out(dir.path(), &copied), Err(Error::Damaged { .. })));
            assert_eq!(names(dir.path()).unwrap(), ["a"], "nothing was put");
        }
        fs::remove_file(&path).unwrap();
        assert!(part.check(dir.path()).unwrap_err().to_string().contains("it is missing"));
        assert!(!part.has_length(dir.path()));
    }

    #[test]
    fn a_manifest_leads_to_no_file_outside_its_folder() {
        let sum = Sum { bytes: 0, hash: String::new() };
        for name in ["", "/etc/passwd", "../a", "a/../../b", "."] {
            let part = FilePart::new(name, sum.clone());
            assert!(matches!(part.path(Path::new("/backup")), Err(Error::Unknown(_))), "{name}");
        }
        assert_eq!(FilePart::new("a/b", sum).path(Path::new("/x")).unwrap(), Path::new("/x/a/b"));
    }
}
