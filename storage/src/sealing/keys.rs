//! What one person's data key does: AES-256-GCM over text, HMAC-SHA256 over requests.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use domain::ids::UserId;
use zeroize::{Zeroize, Zeroizing};

use crate::Error;
use crate::sealing::{DataKey, Purpose};

/// By how much sealed bytes are longer than the plaintext: the nonce and the tag.
pub const OVERHEAD_BYTES: usize = NONCE_LEN + TAG_BYTES;

const TAG_BYTES: usize = 16;

/// The keys made of one data key, ready to use. Their memory is wiped when they are dropped.
pub(super) struct Keys {
    text: RandomizedNonceKey,
    requests: hmac::Key,
}

impl Keys {
    /// Text is sealed under the data key itself; requests are fingerprinted under a key derived from
    /// it, so that neither use says anything about the other.
    pub(super) fn new(key: &DataKey) -> Result<Self, Error> {
        let text = RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).map_err(|_| failed("make a key"))?;
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), b"quickpe 2026 fingerprint");
        Ok(Self { text, requests: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) })
    }

    /// Nonce, ciphertext, tag.
    ///
    /// The nonce is random: 96 bits bear 2^32 texts of one person before a repeat is to be feared.
    pub(super) fn seal(&self, owner: UserId, purpose: Purpose, plaintext: &[u8]) -> Result<Box<[u8]>, Error> {
        let mut bytes = Vec::with_capacity(plaintext.len().saturating_add(OVERHEAD_BYTES));
        bytes.extend_from_slice(&[0; NONCE_LEN]);
        bytes.extend_from_slice(plaintext);
        let (head, body) = bytes.split_at_mut(NONCE_LEN);
        let (nonce, tag) = self
            .text
            .seal_in_place_separate_tag(Aad::from(associated(owner, purpose)), body)
            .map_err(|_| failed("seal a text"))?;
        head.copy_from_slice(nonce.as_ref());
        bytes.extend_from_slice(tag.as_ref());
        Ok(bytes.into_boxed_slice())
    }

    /// The plaintext of what [`Keys::seal`] made.
    pub(super) fn unseal(&self, owner: UserId, purpose: Purpose, bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
        let damaged = || Error::Unknown(format!("a sealed text of {owner} does not open: it was changed or moved"));
        let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(associated(owner, purpose));
        let plaintext = self.text.open_in_place(nonce, aad, &mut body).map_err(|_| damaged())?;
        let text = String::from_utf8(plaintext.to_vec()).map_err(|error| {
            error.into_bytes().zeroize();
            damaged()
        })?;
        Ok(Zeroizing::new(text))
    }

    /// The first 16 bytes of the HMAC.
    pub(super) fn fingerprint(&self, canonical: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.requests, canonical);
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        short
    }
}

/// What is authenticated with a text: whose it is and what for.
fn associated(owner: UserId, purpose: Purpose) -> [u8; 17] {
    let mut bytes = [purpose as u8; 17];
    bytes[1..].copy_from_slice(owner.0.as_bytes());
    bytes
}

/// The cryptographic library refused what it cannot refuse with sound arguments.
fn failed(what: &str) -> Error {
    Error::Unavailable(format!("the cryptographic library could not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    #[test]
    fn text_opens_only_for_its_owner_and_purpose_and_unchanged() {
        let keys = Keys::new(&DataKey::generate().unwrap()).unwrap();
        for text in ["", "for the flat", "भाड़ा", &"x".repeat(4096)] {
            let bytes = keys.seal(user(1), Purpose::Description, text.as_bytes()).unwrap();
            assert_eq!(bytes.len(), text.len() + OVERHEAD_BYTES);
            assert_eq!(keys.unseal(user(1), Purpose::Description, &bytes).unwrap().as_str(), text);
            assert!(keys.unseal(user(2), Purpose::Description, &bytes).is_err());
            assert!(keys.unseal(user(1), Purpose::Reason, &bytes).is_err());
            for cut in [0, 1, NONCE_LEN, bytes.len() - 1] {
                assert!(keys.unseal(user(1), Purpose::Description, &bytes[..cut]).is_err());
            }
            for place in [0, NONCE_LEN, bytes.len() - 1] {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                assert!(keys.unseal(user(1), Purpose::Description, &changed).is_err());
            }
        }
        let again = |text: &[u8]| keys.seal(user(1), Purpose::Description, text).unwrap();
        assert_ne!(again(b"rent"), again(b"rent"), "two equal texts look different");
    }

    #[test]
    fn todays_sealed_form_opens_for_ever() {
        // Lies in journals that are kept for ever: a change here loses text.
        let keys = Keys::new(&DataKey::from_bytes([7; 32])).unwrap();
        assert_eq!(hex(&keys.fingerprint(b"amount=100")), GOLDEN_FINGERPRINT);
        let sealed = unhex(GOLDEN_SEALED);
        assert_eq!(keys.unseal(user(1), Purpose::Description, &sealed).unwrap().as_str(), "rent");
    }

    // Both were computed by another implementation (Python `cryptography` and `hmac`).
    const GOLDEN_FINGERPRINT: &str = "316b394791805027332f322d316409f3";
    const GOLDEN_SEALED: &str = "000102030405060708090a0b6ae48704c81e18369569353a9188c1ce6031bb4f";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }
}
