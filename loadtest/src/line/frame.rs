//! WebSocket frames as bytes (RFC 6455, section 5): a client writes masked ones and reads bare ones.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// A text message, whole.
    Text,
    /// The end.
    Close,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A frame, and how many bytes it has.
    Frame {
        /// What it is.
        opcode: Opcode,
        /// What is in it.
        payload: &'a [u8],
        /// With its header.
        length: usize,
    },
    /// The start of one.
    Incomplete,
    /// None that the server of this protocol may send.
    Foreign(&'static str),
}

/// Reads the first frame of a server.
pub(super) fn parse(bytes: &[u8], payload_max: usize) -> Parsed<'_> {
    let [first, second, rest @ ..] = bytes else { return Parsed::Incomplete };
    if first & 0x80 == 0 {
        return Parsed::Foreign("a fragment");
    }
    let opcode = match first & 0x7f {
        0x1 => Opcode::Text,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        _ => return Parsed::Foreign("an opcode or a reserved bit that was not agreed on"),
    };
    if second & 0x80 != 0 {
        return Parsed::Foreign("a masked frame of a server");
    }
    let (header, size) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(size) => (4, usize::from(u16::from_be_bytes(*size))),
            None => return Parsed::Incomplete,
        },
        127 => match rest.first_chunk() {
            Some(size) => (10, usize::try_from(u64::from_be_bytes(*size)).unwrap_or(usize::MAX)),
            None => return Parsed::Incomplete,
        },
        size => (2, usize::from(size)),
    };
    if size > payload_max {
        return Parsed::Foreign("a frame above the bound");
    }
    match bytes.get(header..header + size) {
        Some(payload) => Parsed::Frame { opcode, payload, length: header + size },
        None => Parsed::Incomplete,
    }
}

/// Appends a client's frame.
pub(super) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.reserve(payload.len() + 14);
    out.push(match opcode {
        Opcode::Text => 0x81,
        Opcode::Close => 0x88,
        Opcode::Ping => 0x89,
        Opcode::Pong => 0x8A,
    });
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(size @ ..126), _) => out.push(0x80 | size),
        (_, Ok(size)) => {
            out.push(0xFE);
            out.extend_from_slice(&size.to_be_bytes());
        }
        _ => {
            out.push(0xFF);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        for size in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x81];
            match size {
                0..126 => bytes.push(u8::try_from(size).unwrap()),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(size).unwrap().to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((size as u64).to_be_bytes());
                }
            }
            bytes.extend(std::iter::repeat_n(b'x', size));
            let length = bytes.len();
            for cut in [0, 1, 2, 3, length - 1] {
                if cut < length {
                    assert_eq!(parse(&bytes[..cut], 1 << 20), Parsed::Incomplete, "{size} cut at {cut}");
                }
            }
            bytes.extend(b"more");
            let payload = vec![b'x'; size];
            let parsed = Parsed::Frame { opcode: Opcode::Text, payload: &payload, length };
            assert_eq!(parse(&bytes, 1 << 20), parsed, "{size}");
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_foreign() {
        for bytes in [[0x01, 0], [0x82, 0], [0xC1, 0], [0x81, 0x80], [0x83, 0]] {
            assert!(matches!(parse(&bytes, 100), Parsed::Foreign(_)), "{bytes:?}");
        }
        assert_eq!(parse(&[0x81, 101], 100), Parsed::Foreign("a frame above the bound"));
    }

    #[test]
    fn what_is_written_is_masked() {
        let mut out = Vec::new();
        write(&mut out, Opcode::Text, b"abc", [1, 2, 3, 4]);
        assert_eq!(out, [0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3]);
        out.clear();
        write(&mut out, Opcode::Text, &[0; 300], [0; 4]);
        assert_eq!((&out[..4], out.len()), (&[0x81, 0xFE, 1, 44][..], 308));
    }
}
