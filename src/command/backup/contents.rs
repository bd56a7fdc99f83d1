//! What a backup is made of.
//!
//! ```text
//! DIR/MANIFEST          what is in it; replaced when a backup is whole
//! DIR/LOCK              who takes one
//! DIR/ledger/000001.log full segments of the journal, copied once
//! DIR/rooms/000001.log  the same of rooms
//! DIR/12/               of the 12th backup: people, deliveries, and of each journal the segment not yet full
//! ```

use std::path::Path;

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use storage::Error;
use storage::journal::Space;

use crate::archive::{FilePart, Kind, manifest};
use crate::node::store::Founding;

/// Backups, and the newest format of them.
pub(in crate::command) const KIND: Kind = Kind { name: "backup", format: 1 };

/// What a backup holds, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct Contents {
    /// The store that it is of.
    pub(in crate::command) store: Founding,
    /// The how many-th of its folder; 0 while the first was not taken.
    pub(in crate::command) number: u64,
    /// When.
    pub(in crate::command) taken_at: Timestamp,
    /// The journals.
    pub(in crate::command) logs: Vec<Log>,
    /// People, deliveries and, in development, keys.
    pub(in crate::command) files: Vec<Named>,
}

/// The journal of a space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct Log {
    /// Which.
    pub(in crate::command) space: Space,
    /// Its segments, without a gap.
    pub(in crate::command) segments: Vec<SegmentPart>,
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct SegmentPart {
    /// Its number.
    pub(in crate::command) number: u64,
    /// The log position of its first byte.
    pub(in crate::command) start: u64,
    /// Nothing was written in it any more.
    pub(in crate::command) is_full: bool,
    /// Its file.
    pub(in crate::command) part: FilePart,
}

/// A file with a place of its own in a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::command) struct Named {
    /// Which.
    pub(in crate::command) name: Name,
    /// The file.
    pub(in crate::command) part: FilePart,
}

/// Files with a place of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::command) enum Name {
    /// People.
    Identity,
    /// Cursors, dead letters and what is owed to people.
    Deliveries,
    /// Development's own keys.
    Keys,
}

impl Contents {
    /// What the folder holds; nothing if it is no backup's.
    pub(in crate::command) fn read(folder: &Path) -> Result<Option<Self>, Error> {
        manifest::read(folder, KIND)
    }

    /// Says that the folder holds this.
    pub(in crate::command) fn write(&self, folder: &Path) -> Result<(), Error> {
        manifest::write(folder, KIND, self)
    }

    /// The segments of a space.
    pub(in crate::command) fn segments(&self, space: Space) -> &[SegmentPart] {
        self.logs.iter().find(|log| log.space == space).map_or(&[], |log| &log.segments)
    }

    /// All files.
    pub(in crate::command) fn parts(&self) -> impl Iterator<Item = &FilePart> {
        let segments = self.logs.iter().flat_map(|log| &log.segments).map(|segment| &segment.part);
        segments.chain(self.files.iter().map(|named| &named.part))
    }
}

/// The folder of full segments of a space.
pub(in crate::command) const fn folder(space: Space) -> &'static str {
    space.name()
}
