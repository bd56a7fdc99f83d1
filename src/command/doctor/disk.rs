//! The data folder and its disk: whether it can be written, is a disk at all, has room, and how soon it has what it is
//! given.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Finding;
use crate::config::{Config, Profile, StoreKind};

/// How often the probe is written and synced.
const SYNCS: usize = 64;

/// What one probe writes: as much as a small record.
const PROBE_BYTES: usize = 4096;

/// A sync that takes longer makes every transfer wait for it three times.
const SYNC_SLOW: Duration = Duration::from_millis(20);

/// Less room than this is soon used up: two segments made ahead, views that are merged, and a little.
const ROOM_MIN: u64 = 1 << 30;

/// From this share on, in percent, a node takes no new commands.
const FULL_PERCENT: u64 = 95;

/// File systems whose files are in memory, by the number that the system gives them.
const IN_MEMORY: [(i64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// File systems on other machines, where a sync and a lock may not mean what they should.
const REMOTE: [(i64, &str); 3] = [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB")];

/// Looks at the data folder.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let (folder, is_made) = nearest(&config.data);
    let place = if is_made { String::new() } else { format!(", which the first start makes in {}", folder.display()) };
    let mut findings = Vec::new();
    match probe(&folder) {
        Ok(times) => {
            findings.push(Finding::fine("data.writable", format!("{}{place}", config.data.display())));
            // A store on CQL keeps nothing here that a command waits for.
            if config.storage.kind == StoreKind::Embedded {
                findings.push(judge(&times));
            }
        }
        Err(error) => findings.push(Finding::wrong(
            "data.writable",
            format!("{} cannot be written: {error}", folder.display()),
            "give the folder to the user that runs the node, or set `data` to another",
        )),
    }
    if config.storage.kind == StoreKind::Embedded {
        findings.extend(file_system(&folder, config.profile));
        findings.extend(room(&folder));
    }
    findings
}

/// The folder, or the one above it that is there.
fn nearest(data: &Path) -> (PathBuf, bool) {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let found = data.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    (found.to_owned(), found == data)
}

/// Writes and syncs a file of its own in the folder. Answers how long each sync took, sorted.
fn probe(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".quickpe-doctor-{}", std::process::id()));
    let times = write(&path);
    // It may not have been made.
    fs::remove_file(&path).ok();
    times
}

fn write(path: &Path) -> io::Result<Vec<Duration>> {
    let file = OpenOptions::new().create_new(true).write(true).open(path)?;
    let bytes = vec![0x51; PROBE_BYTES];
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        // In place, as the journal writes into what it made ahead.
        file.write_all_at(&bytes, 0)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times)
}

fn judge(times: &[Duration]) -> Finding {
    let milliseconds = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let (middle, last) = (milliseconds(SYNCS / 2), milliseconds(SYNCS - 1));
    let found = format!("{SYNCS} syncs of {PROBE_BYTES} bytes took {middle:.2} ms in the middle, {last:.2} ms at most");
    if times.get(SYNCS / 2).is_some_and(|time| *time > SYNC_SLOW) {
        return Finding::warning("data.sync", found, "every transfer waits for some: use a disk that syncs faster");
    }
    Finding::fine("data.sync", found)
}

fn file_system(folder: &Path, profile: Profile) -> Option<Finding> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    let named = |known: &[(i64, &'static str)]| known.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name);
    let shown = folder.display();
    if let Some(name) = named(&IN_MEMORY) {
        let (found, mend) =
            (format!("{shown} is on {name}: in memory"), "a restart of the machine loses all of it: use a disk");
        return Some(match profile {
            Profile::Production => Finding::wrong("data.disk", found, mend),
            Profile::Development => Finding::warning("data.disk", found, mend),
        });
    }
    Some(match named(&REMOTE) {
        Some(name) => Finding::warning(
            "data.disk",
            format!("{shown} is on {name}, on another machine"),
            "locks and syncs may not hold there: use a local disk",
        ),
        None => Finding::fine("data.disk", format!("{shown} is on a file system of this machine")),
    })
}

fn room(folder: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    let usable = used.saturating_add(disk.f_bavail).max(1);
    let percent = used.saturating_mul(100) / usable;
    let found = format!("{} MiB are free, {percent} % are used", free >> 20);
    Some(if percent >= FULL_PERCENT {
        Finding::wrong("data.room", found, "a node takes no new commands on a disk so full: make room")
    } else if free < ROOM_MIN {
        Finding::warning("data.room", found, "that is soon used up: make room")
    } else {
        Finding::fine("data.room", found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_behind_and_a_folder_to_be_made_is_looked_at_from_above() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(probe(dir.path()).unwrap().len(), SYNCS);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(probe(&dir.path().join("nowhere")).is_err());
        let (found, is_made) = nearest(&dir.path().join("a/b"));
        assert_eq!((found.as_path(), is_made), (dir.path(), false));
        assert!(nearest(dir.path()).1);
    }

    #[test]
    fn a_slow_disk_is_said() {
        let at = |milliseconds| judge(&[Duration::from_millis(milliseconds); SYNCS]);
        assert_eq!(at(1).mend, None);
        assert!(at(30).mend.is_some());
    }
}
