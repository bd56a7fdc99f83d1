//! The note in a data folder that a store is being put into it: nobody serves half of one.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storage::Error;
use uuid::Uuid;

use crate::archive::files;
use crate::node::store::Layout;

/// What is being put there. Whoever finds it may go on with the same and with nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    /// The command that does it.
    pub by: String,
    /// Of what it does it: told apart from any other.
    pub of: String,
    /// Drawn when it was begun, for what must be the same when it goes on.
    pub id: Uuid,
}

impl Unfinished {
    fn path(layout: &Layout) -> PathBuf {
        layout.data().join("unfinished.json")
    }

    /// What is being put into the folder, if anything is.
    ///
    /// # Errors
    /// The disk, or a note that cannot be read.
    pub fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = Self::path(layout);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|error| files::damaged(&path, &error.to_string()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("reading {}", path.display()), error)),
        }
    }

    /// Notes it, durably.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, layout: &Layout) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Unknown(error.to_string()))?;
        files::put_bytes(&Self::path(layout), &text)?;
        files::sync_folder(layout.data())
    }

    /// Takes the note away: the store is whole.
    ///
    /// # Errors
    /// The disk.
    pub fn remove(layout: &Layout) -> Result<(), Error> {
        let path = Self::path(layout);
        fs::remove_file(&path).map_err(|error| Error::io(format!("removing {}", path.display()), error))?;
        files::sync_folder(layout.data())
    }

    /// Claims a locked folder for what is to be put there: one that is empty, or that was begun with the same. Answers
    /// the note, and whether it was there before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if anything else is there.
    pub fn claim(layout: &Layout, by: &str, of: String) -> Result<(Self, bool), Error> {
        let data = layout.data().display();
        match Self::read(layout)? {
            Some(begun) if begun.by == by && begun.of == of => Ok((begun, true)),
            Some(begun) => Err(Error::Unavailable(format!(
                "a {} was begun in {data} and not finished: go on with it, or empty the folder",
                begun.by
            ))),
            None => {
                let names = files::names(layout.data())?;
                if let Some(name) = names.iter().find(|name| *name != "LOCK" && *name != "keys") {
                    return Err(Error::Unavailable(format!("{data} is not empty: `{name}` is in it")));
                }
                let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
                let note = Self { by: by.to_owned(), of, id };
                note.write(layout)?;
                Ok((note, false))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_claimed_for_one_thing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::of(dir.path());
        let claim = |of: &str| Unfinished::claim(&layout, "restore", of.to_owned());
        let (note, begun) = claim("a").unwrap();
        assert!(!begun);
        assert_eq!(claim("a").unwrap(), (note, true));
        assert!(claim("b").unwrap_err().to_string().contains("a restore was begun"));
        Unfinished::remove(&layout).unwrap();
        assert_eq!(Unfinished::read(&layout).unwrap(), None);
        fs::write(dir.path().join("photograph.jpg"), []).unwrap();
        assert!(claim("a").unwrap_err().to_string().contains("`photograph.jpg` is in it"));
    }
}
