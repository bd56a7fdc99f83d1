//! Refresh tokens: made of their login and their number in it, so that nothing of them is stored.
//!
//! Token `n` of a login is the login's id, `n`, and an HMAC of both under a secret of the platform. The
//! store keeps only the newest `n`. So the same successor can be given again while a lost answer is
//! forgiven, any older token of a living login is known as reused however old it is, a forged one never
//! reaches the store, and a copy of the store holds no token.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::LoginId;
use uuid::Uuid;

/// The login's id, the number, the HMAC.
const TOKEN_BYTES: usize = 16 + 4 + 32;

/// Makes and checks refresh tokens: the first secret makes, all check.
pub struct RefreshTokens {
    secrets: Vec<hmac::Key>,
}

/// What an authentic refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Its login.
    pub login: LoginId,
    /// Its number in the login.
    pub generation: u32,
}

impl RefreshTokens {
    /// Takes the configured secrets, the newest first. `None` if there are none.
    pub fn new(secrets: &[[u8; 32]]) -> Option<Self> {
        let secrets: Vec<_> = secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)).collect();
        (!secrets.is_empty()).then_some(Self { secrets })
    }

    /// The token's text: 70 characters of URL-safe base64.
    pub fn issue(&self, token: RefreshToken) -> String {
        let mut bytes = token.said().to_vec();
        if let Some(secret) = self.secrets.first() {
            bytes.extend_from_slice(hmac::sign(secret, &signed(&bytes)).as_ref());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text says, if one of the secrets made it. Takes the same time wherever a forged one
    /// differs.
    pub fn verify(&self, text: &str) -> Option<RefreshToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == TOKEN_BYTES)?;
        let (said, tag) = bytes.split_at_checked(20)?;
        let message = signed(said);
        self.secrets.iter().find(|secret| hmac::verify(secret, &message, tag).is_ok())?;
        let (login, generation) = said.split_at_checked(16)?;
        Some(RefreshToken {
            login: LoginId(Uuid::from_slice(login).ok()?),
            generation: u32::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

impl RefreshToken {
    /// The bytes that the HMAC is over.
    fn said(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let (login, generation) = bytes.split_at_mut(16);
        login.copy_from_slice(self.login.0.as_bytes());
        generation.copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }
}

/// Sets tokens apart from whatever else the secret may sign.
fn signed(said: &[u8]) -> Vec<u8> {
    [b"quickpe 2026 refresh token".as_slice(), said].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_was_made_of_and_bears_no_change() {
        let token = RefreshToken { login: LoginId(Uuid::from_u128(7)), generation: 3 };
        let old = RefreshTokens::new(&[[1; 32]]).unwrap();
        let new = RefreshTokens::new(&[[2; 32], [1; 32]]).unwrap();
        let text = old.issue(token);
        assert_eq!(text.len(), 70);
        assert_eq!(text, old.issue(token), "the same successor can be given again");
        assert_eq!(old.verify(&text), Some(token));
        assert_eq!(new.verify(&text), Some(token), "an old secret still checks");
        assert_eq!(old.verify(&new.issue(token)), None, "the first secret makes");
        for place in 0..text.len() - 1 {
            let mut forged = text.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(old.verify(std::str::from_utf8(&forged).unwrap()), None, "{place}");
        }
        for wrong in ["", "x", &text[1..], &format!("{text}A"), "é"] {
            assert_eq!(old.verify(wrong), None, "{wrong}");
        }
        assert!(RefreshTokens::new(&[]).is_none());
    }
}
