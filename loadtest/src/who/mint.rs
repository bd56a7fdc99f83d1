//! Tokens signed here with a development node's own key, as whoever can read its data folder may.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock;

/// How long a token is good for: longer than every run.
const LASTS: Duration = Duration::from_hours(2);
/// Issuer and audience of a node that is not configured otherwise.
const ISSUER: &str = "quickpe";

/// Signs tokens.
pub(super) struct Mint {
    header: Header,
    key: EncodingKey,
}

#[derive(Deserialize)]
struct Keys {
    signing: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    secret: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: Uuid,
    role: &'a str,
    iat: u64,
    exp: u64,
    iss: &'a str,
    aud: &'a str,
}

impl Mint {
    /// With the key that a development node keeps under its data folder.
    pub(super) fn open(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("keys").join("keys.json");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{}: --mint needs --data with the data folder of a development node", path.display())
        })?;
        Self::of(&text).with_context(|| path.display().to_string())
    }

    fn of(keys: &str) -> anyhow::Result<Self> {
        // Somebody else in this process may have done so before: the same one.
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().ok();
        let keys: Keys = serde_json::from_str(keys).context("no file of keys")?;
        let first = keys.signing.into_iter().next().context("no key that signs")?;
        let secret = STANDARD.decode(&first.secret).context("a key is base64")?;
        ensure!(secret.len() == 32, "a key has 32 bytes");
        let header = Header { kid: Some(first.kid), ..Header::new(Algorithm::HS256) };
        Ok(Self { header, key: EncodingKey::from_secret(&secret) })
    }

    /// A token for a user, who must exist.
    pub(super) fn token(&self, user: Uuid) -> anyhow::Result<String> {
        let now = clock::now();
        let exp = (now + LASTS).as_secs();
        let claims = Claims { sub: user, role: "user", iat: now.as_secs(), exp, iss: ISSUER, aud: ISSUER };
        Ok(jsonwebtoken::encode(&self.header, &claims, &self.key)?)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    #[derive(Deserialize)]
    struct Said {
        sub: Uuid,
        role: String,
    }

    #[test]
    fn tokens_verify_under_the_key_of_the_file() {
        let secret = STANDARD.encode([7; 32]);
        let keys = format!(r#"{{"signing":[{{"kid":"development","secret":"{secret}"}}],"refresh":[]}}"#);
        let mint = Mint::of(&keys).unwrap();
        let user = Uuid::from_u128(5);
        let token = mint.token(user).unwrap();
        assert_eq!(jsonwebtoken::decode_header(&token).unwrap().kid.as_deref(), Some("development"));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        let said = jsonwebtoken::decode::<Said>(&token, &DecodingKey::from_secret(&[7; 32]), &validation).unwrap();
        assert_eq!((said.claims.sub, said.claims.role.as_str()), (user, "user"));
        assert!(jsonwebtoken::decode::<Said>(&token, &DecodingKey::from_secret(&[8; 32]), &validation).is_err());
    }

    #[test]
    fn files_without_a_key_are_refused() {
        for keys in ["", "{}", r#"{"signing":[]}"#, r#"{"signing":[{"kid":"a","secret":"AAAA"}]}"#] {
            assert!(Mint::of(keys).is_err(), "{keys}");
        }
    }
}
