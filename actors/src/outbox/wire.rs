//! Writing at once: a frame for a connection whose writer waits need not wake it.
//!
//! At low rates nearly every message finds its connection idle. To wake the connection's task for each costs more than
//! the system call that it then makes, so whoever pushes makes that call, under the outbox's lock: the writer cannot
//! begin meanwhile, and frames stay whole and in order. What the socket does not take is left to the writer.

use std::io;

use bytes::{Buf, Bytes};

/// A connection's socket, for writing without waiting.
pub trait Wire: Send + Sync + 'static {
    /// Writes as much of a frame as the socket takes now, and answers how many bytes that was.
    ///
    /// # Errors
    /// The socket takes nothing now, or has failed: the writer finds out which.
    fn write_now(&self, frame: &[u8]) -> io::Result<usize>;
}

/// Writes a frame; answers what of it is left.
pub(super) fn write(wire: &dyn Wire, mut frame: Bytes) -> Option<Bytes> {
    let written = wire.write_now(&frame).unwrap_or(0);
    if written >= frame.len() {
        return None;
    }
    frame.advance(written);
    Some(frame)
}
