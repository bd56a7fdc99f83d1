//! The signature of a webhook: HMAC-SHA256 over a time and the body, so that who receives it knows whom it is from and
//! that it is not an old one sent again.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

/// The header that it is in.
pub(super) const HEADER: &str = "quickpe-signature";

/// `t=SECONDS,v1=HEX`: the HMAC is of the seconds, a full stop and the body.
pub(super) fn signature(secret: &str, seconds: u64, body: &[u8]) -> String {
    let mut signed = format!("{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    let tag = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), &signed);
    let mut text = format!("t={seconds},v1=");
    for byte in tag.as_ref() {
        text.extend([byte >> 4, byte & 0xf].map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or('0')));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_make_of_it() {
        // printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let made = signature("0123456789abcdef0123456789abcdef", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(made, "t=1700000000,v1=f05f2539e3ae1c49aec5f8cfdad75ef6b06480b133973ffbb7ec9e18827af177");
    }
}
