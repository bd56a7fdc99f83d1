//! The layers of a configuration, and where each value comes from.
//!
//! The defaults say which keys there are; every later layer may only set one of those. Values are set one at a time,
//! so that an error names its key and its source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::{Config, ConfigError};

/// Begins the name of every environment variable that configures the node.
pub const ENVIRONMENT_PREFIX: &str = "QUICKPE_";

/// What goes over the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables; those of other programs are passed over.
    pub environment: Vec<(String, String)>,
    /// Keys that flags set, with the flag.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// A configuration, and where its values come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration, checked.
    pub config: Config,
    /// The source of every key that is not as by default.
    sources: BTreeMap<String, String>,
}

impl Layers {
    /// Puts the layers together.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key or a value that cannot be used, each with its name and source.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut tree = Tree::new()?;
        if let Some(path) = &self.file {
            for (key, value) in file(path)? {
                tree.set(&key, value, &path.display().to_string())?;
            }
        }
        for (name, text) in &self.environment {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let key = rest.to_lowercase().replace("__", ".");
                tree.set_text(&key, text, name)?;
            }
        }
        for (key, flag, text) in &self.flags {
            tree.set_text(key, text, flag)?;
        }
        let config = tree.read()?;
        config.check()?;
        Ok(Loaded { config, sources: tree.sources })
    }
}

impl Loaded {
    /// One line a key: its value, and its source if it is not the default. Secrets are hidden.
    pub fn show(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        let tree = serde_json::to_value(&self.config).unwrap_or_default();
        flatten("", &tree, &mut leaves);
        let line = |(key, value): (String, Value)| {
            let source = self.sources.get(&key).map_or("default", String::as_str);
            let value = if is_secret(&key) { hidden(&value) } else { value.to_string() };
            format!("{key} = {value}  # {source}")
        };
        leaves.into_iter().map(line).collect()
    }
}

/// Whether the values of a key must not be shown.
fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    key.starts_with("keys.") || ["secret", "password", "private"].iter().any(|part| name.contains(part))
}

fn hidden(value: &Value) -> String {
    match value {
        Value::Array(values) if values.is_empty() => "[]".to_owned(),
        Value::Array(values) => format!("[{} hidden]", values.len()),
        Value::Null => "null".to_owned(),
        _ => "(hidden)".to_owned(),
    }
}

/// The values so far, as a tree that begins with the defaults.
struct Tree {
    root: Value,
    sources: BTreeMap<String, String>,
}

impl Tree {
    fn new() -> Result<Self, ConfigError> {
        let root = serde_json::to_value(Config::default()).map_err(|error| ConfigError::new(error.to_string()))?;
        Ok(Self { root, sources: BTreeMap::new() })
    }

    /// Sets a value as a file gives it.
    fn set(&mut self, key: &str, value: Value, source: &str) -> Result<(), ConfigError> {
        let Some(place) = place(&mut self.root, key).filter(|place| !place.is_object()) else {
            return Err(ConfigError::new(format!("unknown key `{key}` ({source})")));
        };
        *place = value;
        self.sources.insert(key.to_owned(), source.to_owned());
        let secret = is_secret(key);
        let wrong = |error: serde_json::Error| {
            // The parser's message may repeat the value.
            let why = if secret { "it cannot be used".to_owned() } else { error.to_string() };
            ConfigError::new(format!("`{key}` ({source}): {why}"))
        };
        serde_json::from_value::<Config>(self.root.clone()).map_err(wrong).map(drop)
    }

    /// Sets a value from text: of the kind that the default is of. A list is JSON, or divided by commas.
    fn set_text(&mut self, key: &str, text: &str, source: &str) -> Result<(), ConfigError> {
        let known = place(&mut self.root, key).map(|known| known.clone());
        let json = || serde_json::from_str::<Value>(text).ok();
        let plain = || Value::String(text.to_owned());
        let value = match known {
            Some(Value::Number(_) | Value::Bool(_)) => json().unwrap_or_else(plain),
            Some(Value::Array(_)) => json().filter(Value::is_array).unwrap_or_else(|| {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }),
            // Nothing by default: a number if it is one.
            Some(Value::Null) => json().filter(|value| !value.is_string()).unwrap_or_else(plain),
            _ => plain(),
        };
        self.set(key, value, source)
    }

    fn read(&self) -> Result<Config, ConfigError> {
        serde_json::from_value(self.root.clone()).map_err(|error| ConfigError::new(error.to_string()))
    }
}

/// The place of a dotted key, if there is such a key.
fn place<'a>(root: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').try_fold(root, |value, part| value.as_object_mut()?.get_mut(part))
}

/// The keys and values of a TOML file.
fn file(path: &Path) -> Result<Vec<(String, Value)>, ConfigError> {
    let failed = |error: &dyn std::fmt::Display| ConfigError::new(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let source = config::File::from_str(&text, config::FileFormat::Toml);
    let parsed = config::Config::builder().add_source(source).build().map_err(|error| failed(&error))?;
    let tree: Map<String, Value> = parsed.try_deserialize().map_err(|error| failed(&error))?;
    let mut leaves = Vec::new();
    flatten("", &Value::Object(tree), &mut leaves);
    Ok(leaves)
}

/// The leaves of a tree by their dotted keys. A list is a leaf.
fn flatten(prefix: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, leaves);
            }
        }
        leaf => leaves.push((prefix.to_owned(), leaf.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    fn environment(pairs: &[(&str, &str)]) -> Layers {
        let environment = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Layers { environment, ..Layers::default() }
    }

    #[test]
    fn flags_beat_the_environment_beats_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(
            &path,
            "listen = \"127.0.0.1:1\"\n[ledger]\npatience_ms = 7\nidle_ms = 8\n[drain]\nseconds = 3\n",
        )
        .unwrap();
        let layers = Layers {
            file: Some(path.clone()),
            flags: vec![("drain.seconds", "--drain", "5".to_owned())],
            ..environment(&[("QUICKPE_LEDGER__IDLE_MS", "9"), ("QUICKPE_DRAIN__SECONDS", "4"), ("HOME", "/root")])
        };
        let loaded = layers.load().unwrap();
        let config = &loaded.config;
        assert_eq!((config.ledger.patience_ms, config.ledger.idle_ms, config.drain.seconds), (7, 9, 5));
        assert_eq!(config.listen.port(), 1);
        let shown = loaded.show();
        assert!(shown.contains(&format!("ledger.patience_ms = 7  # {}", path.display())));
        assert!(shown.contains(&"ledger.idle_ms = 9  # QUICKPE_LEDGER__IDLE_MS".to_owned()));
        assert!(shown.contains(&"drain.seconds = 5  # --drain".to_owned()));
        assert!(shown.contains(&"ledger.resend_ms = 1000  # default".to_owned()));
    }

    #[test]
    fn unknown_keys_and_unusable_values_are_named() {
        let wrong = |pair| environment(&[pair]).load().unwrap_err().to_string();
        assert_eq!(
            wrong(("QUICKPE_LEDGER__PATIENCE", "1")),
            "unknown key `ledger.patience` (QUICKPE_LEDGER__PATIENCE)"
        );
        assert_eq!(wrong(("QUICKPE_LEDGER", "1")), "unknown key `ledger` (QUICKPE_LEDGER)");
        assert!(wrong(("QUICKPE_LEDGER__IDLE_MS", "soon")).starts_with("`ledger.idle_ms` (QUICKPE_LEDGER__IDLE_MS):"));
        assert_eq!(wrong(("QUICKPE_STORAGE__SHARDS", "3")), "`storage.shards` must be 64 to 1024");
        assert!(wrong(("QUICKPE_PROFILE", "production")).contains("must be given in production"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, "[ledgr]\nidle_ms = 1\n").unwrap();
        let layers = Layers { file: Some(path), ..Layers::default() };
        assert!(layers.load().unwrap_err().to_string().starts_with("unknown key `ledgr.idle_ms`"));
    }

    #[test]
    fn lists_and_absent_values_are_read_from_text() {
        let layers = environment(&[
            ("QUICKPE_EDGE__LISTENER__TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.1"),
            ("QUICKPE_STORAGE__BYTES_MAX", "1000"),
            ("QUICKPE_PROFILE", "development"),
        ]);
        let config = layers.load().unwrap().config;
        assert_eq!((config.storage.bytes_max, config.profile), (Some(1000), Profile::Development));
        assert!(config.edge.listener.trusted_proxies.contain("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn secrets_are_never_shown() {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let loaded = environment(&[("QUICKPE_KEYS__REFRESH", key)]).load().unwrap();
        let shown = loaded.show().join("\n");
        assert!(shown.contains("keys.refresh = [1 hidden]  # QUICKPE_KEYS__REFRESH"));
        assert!(!shown.contains(key));
    }
}
