//! Access and refresh tokens.
//!
//! Access tokens are JWTs signed by HMAC-SHA256: only nodes make them and only nodes check them, all from one
//! configuration, so nobody needs a public key, and a check is one hash instead of a signature on a curve. Keys are a list: the first signs, all verify, and a token names its own by `kid`, so that keys can be
//! changed without signing anybody out.

use std::collections::HashMap;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::ids::{LoginId, UserId};
use domain::room::Region;
use domain::time::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use protocol::code::Code;
use serde::{Deserialize, Serialize};
use storage::identity::{RefreshToken, RefreshTokens, Role};

use crate::config::Keys;
use crate::http::config::AuthConfig;

/// The longest text that is looked at as an access token; ours have some 400 characters.
const TOKEN_CHARS_MAX: usize = 2_048;

/// Makes and checks tokens.
pub struct Tokens {
    keyring: ArcSwap<Keyring>,
    validation: Validation,
    issuer: String,
    audience: String,
    access_lasts: Duration,
}

/// The keys in use.
struct Keyring {
    signing: (Header, EncodingKey),
    verifying: HashMap<String, DecodingKey>,
    refresh: RefreshTokens,
}

/// What an access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// Where they are, if that is known.
    pub region: Option<Region>,
    /// The login that it belongs to; none for one made by the command line, which ends with its time only.
    pub login: Option<LoginId>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Keys that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// There is no key to sign with.
    #[error("there is no key that signs access tokens")]
    NoSigningKey,
    /// There is no secret to make refresh tokens with.
    #[error("there is no secret of refresh tokens")]
    NoRefreshSecret,
}

/// The claims of an access token, as they are written.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<LoginId>,
    iat: u64,
    exp: u64,
    iss: String,
    aud: String,
}

impl Tokens {
    /// Tokens under these keys.
    ///
    /// # Errors
    /// A list of keys is empty.
    pub fn load(config: &AuthConfig, keys: &Keys) -> Result<Self, TokensError> {
        // Somebody else in this process may have done so before: the same one.
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().ok();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library reads a clock of its own: the time is checked here.
        validation.validate_exp = false;
        Ok(Self {
            keyring: ArcSwap::from_pointee(Keyring::new(keys)?),
            validation,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            access_lasts: config.access_lasts(),
        })
    }

    /// Goes on with other keys. Tokens under keys that are not among them end.
    ///
    /// # Errors
    /// A list of keys is empty: the keys of before stay.
    pub fn reload(&self, keys: &Keys) -> Result<(), TokensError> {
        self.keyring.store(Keyring::new(keys)?.into());
        Ok(())
    }

    /// How long an access token is good for.
    pub const fn access_lasts(&self) -> Duration {
        self.access_lasts
    }

    /// An access token.
    ///
    /// # Errors
    /// [`Code::Internal`]: the cryptographic library refused.
    pub fn issue_access(
        &self,
        user: UserId,
        role: Role,
        region: Option<Region>,
        login: Option<LoginId>,
        now: Timestamp,
    ) -> Result<String, Code> {
        let claims = Claims {
            sub: user,
            role: role.name().to_owned(),
            region,
            sid: login,
            iat: now.millis() / 1000,
            exp: now.after(self.access_lasts).millis() / 1000,
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
        };
        let keyring = self.keyring.load();
        let (header, key) = &keyring.signing;
        jsonwebtoken::encode(header, &claims, key).map_err(|error| {
            tracing::error!(%error, "an access token cannot be made");
            Code::Internal
        })
    }

    /// What an access token says, if it was made here and its time is not over. Whether its login lives is another
    /// question.
    ///
    /// # Errors
    /// [`Code::TokenExpired`] if its time is over and nothing else is wrong, else [`Code::TokenInvalid`].
    pub fn verify_access(&self, token: &str, now: Timestamp) -> Result<Granted, Code> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(Code::TokenInvalid);
        }
        let invalid = |_| Code::TokenInvalid;
        let kid = jsonwebtoken::decode_header(token).map_err(invalid)?.kid.ok_or(Code::TokenInvalid)?;
        let keyring = self.keyring.load();
        let key = keyring.verifying.get(&kid).ok_or(Code::TokenInvalid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).map_err(invalid)?.claims;
        let role = claims.role.parse().map_err(|_| Code::TokenInvalid)?;
        let expires_at = Timestamp::EPOCH.after(Duration::from_secs(claims.exp));
        if expires_at <= now {
            return Err(Code::TokenExpired);
        }
        Ok(Granted { user: claims.sub, role, region: claims.region, login: claims.sid, expires_at })
    }

    /// The text of a refresh token.
    pub fn issue_refresh(&self, token: RefreshToken) -> String {
        self.keyring.load().refresh.issue(token)
    }

    /// What a refresh token says, if it was made here.
    pub fn verify_refresh(&self, text: &str) -> Option<RefreshToken> {
        self.keyring.load().refresh.verify(text)
    }
}

impl Keyring {
    fn new(keys: &Keys) -> Result<Self, TokensError> {
        let first = keys.signing.first().ok_or(TokensError::NoSigningKey)?;
        let header = Header { kid: Some(first.kid.clone()), ..Header::new(Algorithm::HS256) };
        let verifying = keys.signing.iter().map(|key| (key.kid.clone(), DecodingKey::from_secret(&key.secret)));
        Ok(Self {
            signing: (header, EncodingKey::from_secret(&first.secret)),
            verifying: verifying.collect(),
            refresh: RefreshTokens::new(&keys.refresh).ok_or(TokensError::NoRefreshSecret)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::SigningKey;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn keys(kids: &[(&str, u8)]) -> Keys {
        let signing = kids.iter().map(|(kid, byte)| SigningKey { kid: (*kid).to_owned(), secret: [*byte; 32] });
        Keys { signing: signing.collect(), refresh: vec![[1; 32]], encryption: vec![[2; 32]] }
    }

    fn tokens(kids: &[(&str, u8)]) -> Tokens {
        Tokens::load(&AuthConfig::default(), &keys(kids)).unwrap()
    }

    fn issue(tokens: &Tokens) -> String {
        let login = Some(LoginId(Uuid::from_u128(2)));
        let region = "IN-MH".parse().ok();
        tokens.issue_access(UserId(Uuid::from_u128(1)), Role::Treasury, region, login, NOW).unwrap()
    }

    #[test]
    fn a_token_says_what_it_was_made_of_until_its_time_is_over() {
        let tokens = tokens(&[("a", 1)]);
        let token = issue(&tokens);
        let granted = tokens.verify_access(&token, NOW).unwrap();
        assert_eq!(granted.user, UserId(Uuid::from_u128(1)));
        assert_eq!((granted.role, granted.login), (Role::Treasury, Some(LoginId(Uuid::from_u128(2)))));
        assert_eq!(granted.region, "IN-MH".parse().ok());
        assert_eq!(granted.expires_at, NOW.after(Duration::from_mins(15)));
        let last = Timestamp(granted.expires_at.0 - 1);
        assert!(tokens.verify_access(&token, last).is_ok());
        assert_eq!(tokens.verify_access(&token, granted.expires_at), Err(Code::TokenExpired));
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let (old, both, new) = (tokens(&[("a", 1)]), tokens(&[("b", 2), ("a", 1)]), tokens(&[("b", 2)]));
        assert!(both.verify_access(&issue(&old), NOW).is_ok());
        assert!(new.verify_access(&issue(&both), NOW).is_ok());
        assert_eq!(new.verify_access(&issue(&old), NOW), Err(Code::TokenInvalid), "a foreign kid");
        assert_eq!(tokens(&[("a", 3)]).verify_access(&issue(&old), NOW), Err(Code::TokenInvalid), "a foreign key");
        let token = issue(&old);
        old.reload(&keys(&[("b", 2), ("a", 1)])).unwrap();
        assert!(old.verify_access(&token, NOW).is_ok() && new.verify_access(&issue(&old), NOW).is_ok());
        assert_eq!(old.reload(&keys(&[])), Err(TokensError::NoSigningKey));
        assert!(old.verify_access(&token, NOW).is_ok(), "what cannot be used changes nothing");
    }

    #[test]
    fn a_token_of_another_platform_is_refused() {
        for config in [
            AuthConfig { audience: "another".into(), ..AuthConfig::default() },
            AuthConfig { issuer: "another".into(), ..AuthConfig::default() },
        ] {
            let other = Tokens::load(&config, &keys(&[("a", 1)])).unwrap();
            assert_eq!(tokens(&[("a", 1)]).verify_access(&issue(&other), NOW), Err(Code::TokenInvalid), "{config:?}");
        }
    }

    #[test]
    fn a_tampered_token_is_refused() {
        let tokens = tokens(&[("a", 1)]);
        let token = issue(&tokens);
        let parts: Vec<_> = token.split('.').collect();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        let admin = URL_SAFE_NO_PAD.encode(claims.replace("treasury", "admin"));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"a"}"#);
        let other = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","kid":"a"}"#);
        for forged in [
            format!("{}.{admin}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{other}.{}.{}", parts[1], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}x"),
            token[1..].to_owned(),
            "x".repeat(TOKEN_CHARS_MAX + 1),
            "..".to_owned(),
            String::new(),
        ] {
            assert_eq!(tokens.verify_access(&forged, NOW), Err(Code::TokenInvalid), "{forged}");
        }
    }
}
