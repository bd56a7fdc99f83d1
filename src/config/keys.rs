//! Keys and secrets: given by configuration in production, made once and kept in development.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Profile};

/// The bytes of a key.
const KEY_BYTES: usize = 32;

/// Keys and secrets as they are written: each the base64 of 32 bytes. Of each list the first is used for what is new,
/// all for what is there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// Keys that sign access tokens.
    pub signing: Vec<SigningKeyConfig>,
    /// Secrets of refresh tokens.
    pub refresh: Vec<String>,
    /// Keys that wrap people's data keys.
    pub encryption: Vec<String>,
}

/// A key that signs access tokens, as it is written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyConfig {
    /// Its name in tokens.
    pub kid: String,
    /// The base64 of 32 bytes.
    pub secret: String,
}

/// Logs get no secret.
impl fmt::Debug for KeysConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signing, refresh, encryption) = (self.signing.len(), self.refresh.len(), self.encryption.len());
        write!(f, "KeysConfig({signing} signing, {refresh} refresh, {encryption} encryption)")
    }
}

/// The keys in use.
#[derive(Clone)]
pub struct Keys {
    /// Sign access tokens; the first signs, all verify.
    pub signing: Vec<SigningKey>,
    /// Secrets of refresh tokens; the first makes, all check.
    pub refresh: Vec<[u8; KEY_BYTES]>,
    /// Wrap people's data keys; the first wraps, all unwrap.
    pub encryption: Vec<[u8; KEY_BYTES]>,
}

/// A key that signs access tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name in tokens.
    pub kid: String,
    /// The key.
    pub secret: [u8; KEY_BYTES],
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("signing", &self.signing).finish_non_exhaustive()
    }
}

impl KeysConfig {
    /// Whether what is written can be used under this profile.
    ///
    /// # Errors
    /// A key that is none, a name that is given twice, or none at all in production.
    pub fn check(&self, profile: Profile) -> Result<(), ConfigError> {
        self.parse()?;
        let lists = [
            ("keys.signing", self.signing.is_empty()),
            ("keys.refresh", self.refresh.is_empty()),
            ("keys.encryption", self.encryption.is_empty()),
        ];
        match lists.iter().find(|(_, empty)| *empty) {
            Some((key, _)) if profile == Profile::Production => {
                Err(ConfigError::new(format!("`{key}` must be given in production")))
            }
            _ => Ok(()),
        }
    }

    fn parse(&self) -> Result<Keys, ConfigError> {
        let mut signing: Vec<SigningKey> = Vec::with_capacity(self.signing.len());
        for key in &self.signing {
            if key.kid.is_empty() || signing.iter().any(|other| other.kid == key.kid) {
                return Err(ConfigError::new("`keys.signing`: each key needs a `kid` of its own"));
            }
            signing.push(SigningKey { kid: key.kid.clone(), secret: bytes("keys.signing", &key.secret)? });
        }
        let all = |name: &str, texts: &[String]| -> Result<Vec<_>, ConfigError> {
            texts.iter().map(|text| bytes(name, text)).collect()
        };
        Ok(Keys {
            signing,
            refresh: all("keys.refresh", &self.refresh)?,
            encryption: all("keys.encryption", &self.encryption)?,
        })
    }
}

fn bytes(key: &str, text: &str) -> Result<[u8; KEY_BYTES], ConfigError> {
    let decoded = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    // What was written is not repeated: it may be a secret with a slip in it.
    decoded.ok_or_else(|| ConfigError::new(format!("`{key}` holds a key that is not the base64 of {KEY_BYTES} bytes")))
}

impl Keys {
    /// The configured keys; in development those that are missing come from `folder`, where they are made at the
    /// first start of a store (`is_new`) and kept for all others.
    ///
    /// # Errors
    /// A key that is none, a folder that cannot be read or written, or a store whose own keys are gone.
    pub fn load(config: &KeysConfig, profile: Profile, folder: &Path, is_new: bool) -> Result<Self, ConfigError> {
        config.check(profile)?;
        let given = config.parse()?;
        if !given.signing.is_empty() && !given.refresh.is_empty() && !given.encryption.is_empty() {
            return Ok(given);
        }
        let path = folder.join("keys.json");
        let failed = |error: &dyn fmt::Display| ConfigError::new(format!("{}: {error}", path.display()));
        let kept: KeysConfig = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_new => {
                make(folder).map_err(|e| failed(&e))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let what = "the store's own keys are gone, and what they wrapped cannot be read without them";
                return Err(failed(&what));
            }
            Err(error) => return Err(failed(&error)),
        };
        let kept = kept.parse()?;
        let pick = |given: Vec<_>, kept: Vec<_>| if given.is_empty() { kept } else { given };
        Ok(Self {
            signing: if given.signing.is_empty() { kept.signing } else { given.signing },
            refresh: pick(given.refresh, kept.refresh),
            encryption: pick(given.encryption, kept.encryption),
        })
    }
}

/// Makes keys and keeps them in `folder`, readable by their owner only.
fn make(folder: &Path) -> std::io::Result<KeysConfig> {
    let key = || STANDARD.encode(rand::random::<[u8; KEY_BYTES]>());
    let made = KeysConfig {
        signing: vec![SigningKeyConfig { kid: "development".to_owned(), secret: key() }],
        refresh: vec![key()],
        encryption: vec![key()],
    };
    fs::DirBuilder::new().recursive(true).create(folder)?;
    let (path, unfinished) = (folder.join("keys.json"), folder.join("keys.json.new"));
    let text = serde_json::to_string_pretty(&made)?;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn development_makes_its_keys_once() {
        let dir = tempfile::tempdir().unwrap();
        let load = |is_new| Keys::load(&KeysConfig::default(), Profile::Development, dir.path(), is_new);
        assert!(load(false).unwrap_err().to_string().contains("keys are gone"));
        let made = load(true).unwrap();
        let again = load(false).unwrap();
        assert_eq!((&made.signing, &made.encryption), (&again.signing, &again.encryption));
        let mode = fs::metadata(dir.path().join("keys.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn production_takes_only_what_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let key = || STANDARD.encode([7; 32]);
        let given = KeysConfig {
            signing: vec![SigningKeyConfig { kid: "a".into(), secret: key() }],
            refresh: vec![key()],
            encryption: vec![key()],
        };
        assert_eq!(Keys::load(&given, Profile::Production, dir.path(), true).unwrap().refresh, [[7; 32]]);
        let missing = KeysConfig { refresh: Vec::new(), ..given.clone() };
        let error = Keys::load(&missing, Profile::Production, dir.path(), true).unwrap_err();
        assert_eq!(error.to_string(), "`keys.refresh` must be given in production");
        let short = KeysConfig { encryption: vec!["c2hvcnQ=".into()], ..given };
        let error = short.check(Profile::Development).unwrap_err().to_string();
        assert!(error.contains("keys.encryption") && !error.contains("c2hvcnQ"), "{error}");
        assert!(!dir.path().join("keys.json").exists());
    }
}
