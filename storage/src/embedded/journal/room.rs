//! Whether there is room for more: of the disk, and of what the configuration allows the store.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The file system counts as full from this share on, in percent: its own figures get slow and
/// unsteady near the end, and whoever must tidy up needs some room too.
const FULL_PERCENT: u64 = 95;

/// What is known of the room on the disk.
pub(super) struct Room {
    dir: PathBuf,
    bytes_max: u64,
    /// The bytes of the store beside the journal, as the node last said.
    beside: AtomicU64,
    disk_full: AtomicBool,
}

impl Room {
    /// Of the file system that holds `dir`, and a store that may grow to `bytes_max`.
    pub(super) fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max, beside: AtomicU64::new(0), disk_full: AtomicBool::new(false) }
    }

    /// Asks the file system how full it is.
    pub(super) fn look(&self) {
        let full = match self.is_disk_full() {
            Ok(full) => full,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "cannot tell how full the disk is");
                return;
            }
        };
        self.say(full);
    }

    /// Notes whether the disk is full, and says so once.
    pub(super) fn say(&self, full: bool) {
        if self.disk_full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!(dir = %self.dir.display(), "the disk is nearly full: no new commands");
            } else {
                tracing::info!(dir = %self.dir.display(), "the disk has room again");
            }
        }
    }

    /// Counted as `df` does: what only root may use is no room.
    fn is_disk_full(&self) -> io::Result<bool> {
        let disk = rustix::fs::statvfs(&self.dir)?;
        let used = disk.f_blocks.saturating_sub(disk.f_bfree);
        let usable = used.saturating_add(disk.f_bavail);
        Ok(u128::from(used) * 100 >= u128::from(usable) * u128::from(FULL_PERCENT))
    }

    /// Takes the bytes of the store beside the journal.
    pub(super) fn set_beside(&self, bytes: u64) {
        self.beside.store(bytes, Ordering::Relaxed);
    }

    /// Whether a store with this much journal may take more.
    pub(super) fn is_left(&self, journal_bytes: u64) -> bool {
        let bytes = journal_bytes.saturating_add(self.beside.load(Ordering::Relaxed));
        !self.disk_full.load(Ordering::Relaxed) && bytes < self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_journal_and_what_is_beside_it() {
        let room = Room::new(PathBuf::from("/"), 100);
        assert!(room.is_left(99));
        assert!(!room.is_left(100));
        room.set_beside(1);
        assert!(!room.is_left(99));
        room.set_beside(0);
        room.say(true);
        assert!(!room.is_left(0));
        room.say(false);
        assert!(room.is_left(0));
    }
}
