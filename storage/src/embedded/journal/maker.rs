//! The thread that makes segments ahead of use and watches the room on the disk.

use std::time::Duration;

use super::Shared;
use super::segment::Segment;
use super::segments::Closed;

/// How often the file system is asked how full it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes segments until the log is closed.
///
/// None is made while there is no room: those made before are what settlement still goes into. A
/// segment that cannot be made is no loss, nothing is in it yet; it is tried again.
pub(super) fn run(shared: &Shared, segment_bytes: u64, ahead: u64) {
    loop {
        shared.room.look();
        let last = match shared.segments.wanted(ahead, LOOK_EVERY) {
            Err(Closed) => return,
            Ok(None) => continue,
            Ok(Some(last)) => last,
        };
        if !shared.has_room() {
            shared.segments.pause(LOOK_EVERY);
            continue;
        }
        match Segment::make(&shared.segments.dir, last.number + 1, last.end(), segment_bytes, &shared.codec) {
            Ok(segment) => {
                tracing::debug!(file = %segment.path.display(), "made a segment");
                shared.segments.add(segment);
            }
            Err(error) => {
                tracing::warn!(dir = %shared.segments.dir.display(), %error, "cannot make a segment");
                shared.room.say(true);
                shared.segments.pause(LOOK_EVERY);
            }
        }
    }
}
