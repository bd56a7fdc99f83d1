//! Frames as a client writes them, for tests.

const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x12, 0xab, 0x00, 0xff];

/// A masked frame whose first byte (final bit, reserved bits, opcode) is `first`.
pub(super) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    if let Ok(length @ ..=125) = u8::try_from(payload.len()) {
        frame.push(MASKED | length);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        frame.push(MASKED | 0x7e);
        frame.extend_from_slice(&length.to_be_bytes());
    } else {
        frame.push(MASKED | 0x7f);
        frame.extend_from_slice(&u64::try_from(payload.len()).unwrap().to_be_bytes());
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
