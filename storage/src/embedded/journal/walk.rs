//! Reading a log frame by frame, across segments, in constant memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Bad, Codec, Frame, Kind};
use super::segment::Segment;
use crate::Error;

/// What is read from the disk at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// What comes next in a log.
pub(super) enum Step {
    Frame(Frame),
    /// At this position there is no valid frame: the log ends here, or it is damaged.
    Nothing {
        segment: Arc<Segment>,
        position: u64,
        what: &'static str,
    },
    /// The end that was asked for, or the end of the last segment.
    Over,
}

/// A walk over the frames of a log.
///
/// The payloads of its frames share one chunk of memory each: who keeps one, keeps a mebibyte.
pub(super) struct Walk {
    codec: Codec,
    /// What is still to be read, the segment at `position` first.
    segments: std::vec::IntoIter<Arc<Segment>>,
    current: Option<(Arc<Segment>, File)>,
    position: u64,
    limit: u64,
    chunk: Bytes,
    chunk_at: u64,
}

impl Walk {
    /// A walk over `segments`, the first of which holds the frame at `from`, up to `limit`.
    pub(super) fn new(codec: Codec, segments: Vec<Arc<Segment>>, from: u64, limit: u64) -> Result<Self, Error> {
        let mut walk = Self {
            codec,
            segments: segments.into_iter(),
            current: None,
            position: from,
            limit,
            chunk: Bytes::new(),
            chunk_at: 0,
        };
        walk.enter()?;
        walk.position = walk.position.max(from);
        Ok(walk)
    }

    /// The position after the last frame that was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next frame.
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        loop {
            let Some((segment, _)) = &self.current else { return Ok(Step::Over) };
            if self.position >= self.limit {
                return Ok(Step::Over);
            }
            let room = segment.end() - self.position;
            let skip = usize::try_from(self.position - self.chunk_at).unwrap_or(usize::MAX);
            let ahead = self.chunk.get(skip..).map_or_else(Bytes::new, |ahead| self.chunk.slice_ref(ahead));
            match self.codec.decode(&ahead, self.position) {
                Ok(frame) => {
                    self.position = frame.end();
                    if frame.head.kind == Kind::SegmentEnd {
                        self.check_unused()?;
                        self.enter()?;
                    }
                    return Ok(Step::Frame(frame));
                }
                Err(Bad::Short(need)) if need as u64 <= room => self.load((need as u64).max(CHUNK_BYTES).min(room))?,
                // Another process may have written it since the chunk was read.
                Err(Bad::Not(_)) if self.chunk_at != self.position => self.load(CHUNK_BYTES.min(room))?,
                Err(bad) => {
                    let what = match bad {
                        Bad::Not(what) => what,
                        Bad::Short(_) => "the frame goes past its segment",
                    };
                    return Ok(Step::Nothing { segment: Arc::clone(segment), position: self.position, what });
                }
            }
        }
    }

    /// Goes to the first frame of the next segment; stays at the end if there is none.
    fn enter(&mut self) -> Result<(), Error> {
        self.current = match self.segments.next() {
            None => None,
            Some(segment) => {
                let file = segment.open(false)?;
                self.position = segment.first();
                self.chunk = Bytes::new();
                self.chunk_at = self.position;
                Some((segment, file))
            }
        };
        Ok(())
    }

    /// Reads `length` bytes at the position.
    fn load(&mut self, length: u64) -> Result<(), Error> {
        let Some((segment, file)) = &self.current else { return Ok(()) };
        self.chunk = Bytes::from(read_padded(segment, file, self.position, length)?);
        self.chunk_at = self.position;
        Ok(())
    }

    /// After its end frame a segment holds zeros: anything else is damage that would pass unseen.
    fn check_unused(&self) -> Result<(), Error> {
        let Some((segment, file)) = &self.current else { return Ok(()) };
        let unused = read_padded(segment, file, self.position, segment.end() - self.position)?;
        match unused.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => Err(segment.damaged(self.position + at as u64, "bytes are written after the segment's end")),
        }
    }
}

/// Reads `length` bytes at the log position `from`; zeros past the end of a file that was cut short.
pub(super) fn read_padded(segment: &Segment, file: &File, from: u64, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, segment.offset(from) + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(format!("reading {}", segment.path.display()), error)),
        }
    }
    Ok(bytes)
}
