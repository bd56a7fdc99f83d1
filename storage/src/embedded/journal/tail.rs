//! Where the frames of a log end: is it a torn tail or damage?
//!
//! A tail is torn when a power cut or a kill fell into a write that was never synced: nobody was told
//! of it, and it is cut off. Bytes that were synced and are gone are damage, and the log must not be
//! opened over them. What tells them apart is what is written elsewhere: a mark in a segment's head,
//! or a later frame that says how far the log was synced when it was written.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Codec, FRAME_BYTES_MAX};
use super::segment::Segment;
use super::walk::read_padded;
use crate::Error;

/// What is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// What is compared with zeros at once.
const BLOCK_BYTES: usize = 4096;

/// The bytes of a frame that [`Codec::looks_like_one`] needs.
const LOOK_BYTES: u64 = 16;

/// Judges a log in which no frame is at `position`, in the first of `segments`; `what` is wrong there.
///
/// Answers the position after the last byte that is not zero, or `position` if all of the rest is.
///
/// # Errors
/// [`Error::Damaged`] if anything after it says that it was on the disk.
pub(super) fn judge(codec: &Codec, segments: &[Arc<Segment>], position: u64, what: &str) -> Result<u64, Error> {
    let mut written = position;
    let Some(first) = segments.first() else { return Ok(written) };
    for segment in segments {
        let file = segment.open(false)?;
        let marked = segment.marked(&file, codec);
        if marked > position {
            return Err(first.damaged(position, format!("{what}, but the log was on the disk up to {marked}")));
        }
        let mut from = position.max(segment.first());
        while from < segment.end() {
            let length = CHUNK_BYTES.min(segment.end() - from);
            let looked_at = (length + LOOK_BYTES).min(segment.end() - from);
            let chunk = read_padded(segment, &file, from, looked_at)?;
            let (blocks, _) = chunk.split_at(usize::try_from(length).unwrap_or(0));
            for (at, block) in (from..).step_by(BLOCK_BYTES).zip(blocks.chunks(BLOCK_BYTES)) {
                if block == &[0; BLOCK_BYTES][..block.len()] {
                    continue;
                }
                let last = block.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                written = at + last as u64 + 1;
                for place in (at..written).step_by(8) {
                    let skip = usize::try_from(place - from).unwrap_or(usize::MAX);
                    if !Codec::looks_like_one(chunk.get(skip..).unwrap_or_default(), place) {
                        continue;
                    }
                    let length = (FRAME_BYTES_MAX as u64).min(segment.end() - place);
                    let bytes = Bytes::from(read_padded(segment, &file, place, length)?);
                    if codec.decode(&bytes, place).is_ok_and(|frame| frame.head.durable > position) {
                        let later = segment.path.display();
                        let offset = segment.offset(place);
                        return Err(first.damaged(
                            position,
                            format!("{what}, but {later} at byte {offset} says it was on the disk"),
                        ));
                    }
                }
            }
            from += length;
        }
    }
    Ok(written)
}

/// Overwrites a torn tail with zeros, so that none of it is ever taken for a record, and syncs that.
pub(super) fn cut(segments: &[Arc<Segment>], position: u64, written: u64) -> Result<(), Error> {
    for segment in segments {
        let from = position.max(segment.first());
        let to = written.min(segment.end());
        let file = segment.open(true)?;
        let failed = |error| Error::io(format!("cutting the torn tail of {}", segment.path.display()), error);
        let length = file.metadata().map_err(failed)?.len();
        if from < to {
            tracing::warn!(
                file = %segment.path.display(),
                offset = segment.offset(from),
                bytes = to - from,
                "cutting off a torn tail, which nobody was told of"
            );
            zero(&file, segment.offset(from), segment.offset(to)).map_err(failed)?;
        }
        // A file that somebody cut gets its full length back: the writer counts on it.
        if length < segment.bytes {
            zero(&file, length, segment.bytes).map_err(failed)?;
        }
        if from < to || length < segment.bytes {
            file.sync_all().map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes zeros from one offset to another.
fn zero(file: &std::fs::File, mut from: u64, to: u64) -> std::io::Result<()> {
    let zeros = vec![0; usize::try_from(CHUNK_BYTES).unwrap_or(0)];
    while from < to {
        let length = (to - from).min(CHUNK_BYTES);
        file.write_all_at(zeros.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default(), from)?;
        from += length;
    }
    Ok(())
}
