//! The file that says what an archive is.
//!
//! Its first line says of which kind and format it is, the second holds the hash of the rest, which is JSON. So what is
//! of another program, of a newer build, cut off or changed is told apart, whatever else stands in it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::Error;

use crate::archive::files;

/// The manifest's name in the archive's folder.
pub const NAME: &str = "MANIFEST";

/// The longest manifest that is read: of a backup of 100,000 segments, 6 TiB of journal, with room to spare.
const BYTES_MAX: u64 = 64 << 20;

/// What an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in the first line.
    pub name: &'static str,
    /// The number of its format that this build writes, and the newest that it reads.
    pub format: u32,
}

/// Reads the manifest in a folder; nothing if there is none.
///
/// # Errors
/// [`Error::Unknown`] if it is of another kind or a newer format; [`Error::Damaged`] if it is cut off or changed.
pub fn read<T: DeserializeOwned>(folder: &Path, kind: Kind) -> Result<Option<T>, Error> {
    let path = folder.join(NAME);
    let failed = |error| Error::io(format!("reading {}", path.display()), error);
    match fs::metadata(&path) {
        Ok(found) if found.len() > BYTES_MAX => {
            return Err(Error::Unknown(format!("{} is too long for a manifest", path.display())));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    let text = fs::read(&path).map_err(failed)?;
    let text = String::from_utf8(text).map_err(|_| files::damaged(&path, "it is no text"))?;
    let foreign = || Error::Unknown(format!("{} is not that of a {}", path.display(), kind.name));
    let (first, rest) = text.split_once('\n').ok_or_else(foreign)?;
    let format = first.strip_prefix("quickpe ").and_then(|first| first.strip_prefix(kind.name)).ok_or_else(foreign)?;
    let format: u32 = format.trim().parse().map_err(|_| foreign())?;
    if format > kind.format {
        return Err(Error::Unknown(format!(
            "{} is of format {format}, and this build knows {}: use a newer build",
            path.display(),
            kind.format
        )));
    }
    let cut = || files::damaged(&path, "it is cut off or was changed: its hash is another");
    let (hash, body) = rest.split_once('\n').ok_or_else(cut)?;
    if hash != blake3::hash(body.as_bytes()).to_hex().as_str() {
        return Err(cut());
    }
    serde_json::from_str(body).map(Some).map_err(|error| files::damaged(&path, &error.to_string()))
}

/// Writes the manifest of a folder, in place of the one before, durably.
///
/// # Errors
/// The disk.
pub fn write<T: Serialize>(folder: &Path, kind: Kind, contents: &T) -> Result<(), Error> {
    let body = serde_json::to_string_pretty(contents).map_err(|error| Error::Unknown(error.to_string()))?;
    let hash = blake3::hash(body.as_bytes()).to_hex();
    let text = format!("quickpe {} {}\n{hash}\n{body}", kind.name, kind.format);
    files::put_bytes(&folder.join(NAME), text.as_bytes())?;
    files::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "trial", format: 2 };

    #[test]
    fn what_is_no_manifest_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let read = || read::<Vec<u32>>(dir.path(), KIND);
        assert_eq!(read().unwrap(), None);
        write(dir.path(), KIND, &vec![1, 2, 3]).unwrap();
        assert_eq!(read().unwrap(), Some(vec![1, 2, 3]));
        let path = dir.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        for (changed, says) in [
            (text.replace("trial 2", "trial 3"), "use a newer build"),
            (text.replace("trial 2", "errand 2"), "is not that of a trial"),
            (text.replace('3', "4"), "its hash is another"),
            (text[..text.len() - 1].to_owned(), "its hash is another"),
            (text[..12].to_owned(), "is not that of a trial"),
            (String::new(), "is not that of a trial"),
        ] {
            fs::write(&path, &changed).unwrap();
            let said = read().unwrap_err().to_string();
            assert!(said.contains(says), "{changed}: {said}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(), Err(Error::Damaged { .. })));
    }
}
