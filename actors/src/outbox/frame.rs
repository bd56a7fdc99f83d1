//! Server frames of RFC 6455, made once and shared by all their receivers.
//!
//! A server's frames are unmasked and here never fragmented, so that header and payload are one piece of memory that
//! any number of connections can write. Nothing here knows a network.

use bytes::Bytes;

use super::CloseCode;

/// Frames in one batch: what one vectored write takes.
pub const BATCH_FRAMES_MAX: usize = 64;

/// Bytes at which a batch ends. A writer has one deadline a batch, so this over that deadline is the slowest client
/// a node bears with: 64 KiB in 10 s.
pub const BATCH_BYTES_MAX: usize = 64 << 10;

/// The longest payload of a control frame (RFC 6455, 5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// The longest header of an unmasked frame: two bytes and an eight-byte length.
const HEADER_MAX: usize = 10;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// A text frame of a copy of `payload`.
pub fn text(payload: &str) -> Bytes {
    whole(TEXT, payload.as_bytes())
}

/// A text frame whose payload `write` appends to the buffer it is given, so that it is encoded in place and not
/// copied again. `capacity` is a guess at its length. The payload must be UTF-8, as JSON is.
///
/// # Errors
/// What `write` answers.
pub fn text_with<E>(capacity: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    // The header's length is known only after the payload: it is written so that it ends where the payload begins.
    let mut buffer = Vec::with_capacity(HEADER_MAX + capacity);
    buffer.resize(HEADER_MAX, 0);
    write(&mut buffer)?;
    let payload_length = buffer.len() - HEADER_MAX;
    let (header, header_length) = header(TEXT, payload_length);
    let start = HEADER_MAX - header_length;
    buffer[start..HEADER_MAX].copy_from_slice(&header[..header_length]);
    Ok(Bytes::from(buffer).slice(start..))
}

/// The ping every heartbeat shares: no payload, no allocation.
pub const fn ping() -> Bytes {
    Bytes::from_static(&[FIN | PING, 0])
}

/// The answer to a ping, with its payload. A longer payload than a ping may have is cut.
pub fn pong(payload: &[u8]) -> Bytes {
    whole(PONG, &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)])
}

/// A close frame. A reason that does not fit is cut between two characters.
pub fn close(code: CloseCode, reason: &str) -> Bytes {
    let room = CONTROL_PAYLOAD_MAX - size_of::<u16>();
    let reason = &reason[..reason.floor_char_boundary(room)];
    let mut payload = Vec::with_capacity(size_of::<u16>() + reason.len());
    payload.extend_from_slice(&code.number().to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    whole(CLOSE, &payload)
}

fn whole(opcode: u8, payload: &[u8]) -> Bytes {
    let (header, header_length) = header(opcode, payload.len());
    let mut frame = Vec::with_capacity(header_length + payload.len());
    frame.extend_from_slice(&header[..header_length]);
    frame.extend_from_slice(payload);
    frame.into()
}

/// The header of a final frame and how many of its bytes count (RFC 6455, 5.2).
fn header(opcode: u8, payload_length: usize) -> ([u8; HEADER_MAX], usize) {
    let mut header = [0; HEADER_MAX];
    header[0] = FIN | opcode;
    let length = if let Ok(length @ ..=125) = u8::try_from(payload_length) {
        header[1] = length;
        2
    } else if let Ok(length) = u16::try_from(payload_length) {
        header[1] = 126;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        4
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&u64::try_from(payload_length).unwrap_or(u64::MAX).to_be_bytes());
        10
    };
    (header, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(length: usize, header: &[u8]) {
        let payload = "x".repeat(length);
        let copied = text(&payload);
        assert_eq!(&copied[..header.len()], header);
        assert_eq!(&copied[header.len()..], payload.as_bytes());
        let written = text_with(0, |buffer| {
            buffer.extend_from_slice(payload.as_bytes());
            Ok::<_, ()>(())
        });
        assert_eq!(written, Ok(copied));
    }

    #[test]
    fn the_header_has_the_three_lengths_of_the_rfc() {
        check_text(0, &[0x81, 0]);
        check_text(125, &[0x81, 125]);
        check_text(126, &[0x81, 126, 0, 126]);
        check_text(200, &[0x81, 126, 0, 200]);
        check_text(65_535, &[0x81, 126, 0xff, 0xff]);
        check_text(65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn an_encoder_that_fails_makes_no_frame() {
        assert_eq!(text_with(8, |_| Err("no")), Err("no"));
    }

    #[test]
    fn control_frames_are_never_longer_than_allowed() {
        assert_eq!(ping(), Bytes::from_static(&[0x89, 0]));
        assert_eq!(pong(b"hi"), Bytes::from_static(&[0x8a, 2, b'h', b'i']));
        assert_eq!(pong(&[0; 300]).len(), 2 + CONTROL_PAYLOAD_MAX);
        assert_eq!(close(CloseCode::TooSlow, "slow"), Bytes::from_static(b"\x88\x06\x11\x38slow"));
        // Two-byte characters: 123 bytes of room hold 61 of them.
        let long = close(CloseCode::Bye, &"é".repeat(100));
        assert_eq!(long.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }
}
