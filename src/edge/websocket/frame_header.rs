//! The header of a client's frame: everything of RFC 6455, 5.2 that can be checked before the payload is there.

use fastwebsockets::OpCode;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const MASK_BYTES: usize = 4;

/// The longest payload of a control frame.
const CONTROL_PAYLOAD_MAX: u64 = 125;

/// A header that keeps every rule.
#[derive(Debug, PartialEq)]
pub(super) struct FrameHeader {
    pub(super) is_final: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: [u8; MASK_BYTES],
    /// Bytes of the header itself.
    pub(super) length: usize,
    /// Bytes of the payload.
    pub(super) payload_length: usize,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// A reserved bit is set, and no extension was agreed on.
    ReservedBit,
    /// An opcode the RFC does not define.
    UnknownOpcode,
    /// A client's frame must be masked.
    Unmasked,
    /// A control frame that is fragmented or longer than 125 bytes.
    ControlFrame,
    /// A length that is not written in its shortest form.
    Length,
    /// A payload above the bound.
    TooLarge,
}

impl HeaderError {
    /// What the close frame says.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::ReservedBit => "a reserved bit is set",
            Self::UnknownOpcode => "the opcode is unknown",
            Self::Unmasked => "the frame is not masked",
            Self::ControlFrame => "a control frame is fragmented or too long",
            Self::Length => "the length is not in its shortest form",
            Self::TooLarge => "the message is too large",
        }
    }
}

impl FrameHeader {
    /// Reads the header at the start of `bytes`; `None` when more bytes are needed. A rule is checked as soon as the
    /// bytes it concerns are there, so that a hostile frame is not waited for.
    ///
    /// # Errors
    /// The first rule the header breaks.
    pub(super) fn read(bytes: &[u8], payload_bytes_max: u32) -> Result<Option<Self>, HeaderError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(HeaderError::ReservedBit);
        }
        let opcode = OpCode::try_from(first & OPCODE).map_err(|_| HeaderError::UnknownOpcode)?;
        if second & MASKED == 0 {
            return Err(HeaderError::Unmasked);
        }
        let is_final = first & FIN != 0;
        let (payload_length, length_bytes) = match second & LENGTH {
            126 => {
                let Some((length, _)) = rest.split_first_chunk() else { return Ok(None) };
                (shortest(u16::from_be_bytes(*length).into(), 126)?, 2)
            }
            127 => {
                let Some((length, _)) = rest.split_first_chunk() else { return Ok(None) };
                (shortest(u64::from_be_bytes(*length), 1 << 16)?, 8)
            }
            length => (u64::from(length), 0),
        };
        if first & CONTROL != 0 && (!is_final || payload_length > CONTROL_PAYLOAD_MAX) {
            return Err(HeaderError::ControlFrame);
        }
        if payload_length > u64::from(payload_bytes_max) {
            return Err(HeaderError::TooLarge);
        }
        let Some((mask, _)) = rest[length_bytes..].split_first_chunk() else { return Ok(None) };
        Ok(Some(Self {
            is_final,
            opcode,
            mask: *mask,
            length: 2 + length_bytes + MASK_BYTES,
            payload_length: usize::try_from(payload_length).map_err(|_| HeaderError::TooLarge)?,
        }))
    }
}

/// A length that needed its long form.
fn shortest(length: u64, least: u64) -> Result<u64, HeaderError> {
    if length < least { Err(HeaderError::Length) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static [u8], Result<Option<FrameHeader>, HeaderError>);

    #[test]
    fn each_rule_is_checked_as_soon_as_its_bytes_are_there() {
        let header = |is_final, opcode, length, payload_length| {
            Ok(Some(FrameHeader { is_final, opcode, mask: [1, 2, 3, 4], length, payload_length }))
        };
        let rows: &[Row] = &[
            (&[], Ok(None)),
            (&[0x81], Ok(None)),
            (&[0x81, 0x85, 1, 2, 3], Ok(None)),
            (&[0x81, 0x85, 1, 2, 3, 4], header(true, OpCode::Text, 6, 5)),
            (&[0x02, 0x80, 1, 2, 3, 4], header(false, OpCode::Binary, 6, 0)),
            (&[0x80, 0x80, 1, 2, 3, 4], header(true, OpCode::Continuation, 6, 0)),
            (&[0x88, 0xfd, 1, 2, 3, 4], header(true, OpCode::Close, 6, 125)),
            (&[0x81, 0xfe, 0], Ok(None)),
            (&[0x81, 0xfe, 0, 126, 1, 2, 3, 4], header(true, OpCode::Text, 8, 126)),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0], Ok(None)),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], header(true, OpCode::Text, 14, 65_536)),
            (&[0xc1, 0x80], Err(HeaderError::ReservedBit)),
            (&[0x91, 0x80], Err(HeaderError::ReservedBit)),
            (&[0x83, 0x80], Err(HeaderError::UnknownOpcode)),
            (&[0x8b, 0x80], Err(HeaderError::UnknownOpcode)),
            (&[0x81, 0x05], Err(HeaderError::Unmasked)),
            (&[0x09, 0x80], Err(HeaderError::ControlFrame)),
            (&[0x89, 0xfe, 0, 126], Err(HeaderError::ControlFrame)),
            (&[0x81, 0xfe, 0, 125], Err(HeaderError::Length)),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Err(HeaderError::Length)),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1], Err(HeaderError::TooLarge)),
            (&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Err(HeaderError::TooLarge)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(&FrameHeader::read(bytes, 65_536), expected, "{bytes:02x?}");
        }
    }
}
