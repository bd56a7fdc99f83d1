//! The store of the data folder, and the keys that open what people wrote in it.
//!
//! A node that serves the store has opened all of it: then there is nothing here to look at that it has not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use domain::ids::UserId;
use storage::encoding::STORE_FORMAT;

use super::Finding;
use crate::config::{Config, Keys, StorageConfig, StoreKind};
use crate::node::store::{Founding, Layout, Store, refuse_unfinished};
use crate::node::stores::{PeopleStores, now};

/// How many people's data keys are tried.
const KEYS_TRIED: usize = 256;

/// Looks at the store of the data folder and at keys.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let layout = Layout::of(&config.data);
    let mut findings = Vec::new();
    if let Err(error) = refuse_unfinished(&layout) {
        findings.push(Finding::wrong(
            "store.unfinished",
            error.to_string(),
            "run the command that was cut short again",
        ));
    }
    let founding = match Founding::read(&layout) {
        Ok(founding) => founding,
        Err(error) => {
            findings.push(Finding::wrong("store.format", error.to_string(), "restore the folder from a backup"));
            return findings;
        }
    };
    if config.storage.kind == StoreKind::Embedded {
        findings.push(match &founding {
            Some(founding) => format(founding, &config.storage),
            None => Finding::fine("store.format", "there is no store yet: the first start makes it"),
        });
    }
    // Whoever has the folder open has all of it open.
    if layout.is_locked() {
        findings.push(Finding::fine("store.keys", "a process has the store open, and so its keys fit"));
        return findings;
    }
    findings.extend(keys(config, &layout, founding.is_some()).await);
    findings
}

/// What the store says of itself beside what is configured.
fn format(founding: &Founding, config: &StorageConfig) -> Finding {
    if founding.format > STORE_FORMAT {
        let found = format!("the store is of format {}, and this build knows {STORE_FORMAT}", founding.format);
        return Finding::wrong("store.format", found, "use a newer build");
    }
    let differs = [
        ("storage.shards", founding.shards != config.shards),
        ("storage.business_zone", founding.business_zone != config.business_zone),
        ("storage.currency", founding.currency != config.currency),
    ];
    let differs: Vec<_> = differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect();
    let found = format!(
        "format {}, {} shards, {}, business days of {}",
        founding.format, founding.shards, founding.currency, founding.business_zone
    );
    if differs.is_empty() {
        return Finding::fine("store.format", found);
    }
    let found = format!("{found}; configured otherwise: {}", differs.join(", "));
    Finding::warning("store.format", found, "these count only when a store is made: set them to what the store says")
}

async fn keys(config: &Config, layout: &Layout, is_made: bool) -> Vec<Finding> {
    let path = layout.keys().join("keys.json");
    let is_given = [config.keys.signing.is_empty(), config.keys.refresh.is_empty(), config.keys.encryption.is_empty()]
        .iter()
        .all(|is_empty| !is_empty);
    let mut findings = Vec::new();
    if !is_given && !path.exists() && !is_made {
        return vec![Finding::fine("store.keys", "none are given: the first start makes them (development)")];
    }
    let keys = match Keys::load(&config.keys, config.profile, &layout.keys(), false) {
        Ok(keys) => keys,
        Err(error) => {
            let mend = "put the keys back that the store was made with";
            return vec![Finding::wrong("store.keys", error.to_string(), mend)];
        }
    };
    let mode = fs::metadata(&path).map(|found| found.permissions().mode() & 0o077).unwrap_or_default();
    if mode != 0 {
        findings.push(Finding::warning(
            "store.keys_private",
            format!("{} can be read by others than its owner", path.display()),
            "chmod 600 it",
        ));
    }
    if config.storage.kind == StoreKind::Embedded && !is_made {
        findings.push(Finding::fine("store.keys", "the keys can be used"));
        return findings;
    }
    findings.push(match unwrap(config, &keys).await {
        // What keeps a store from being opened is another check's to say.
        Err(storage::Error::Unavailable(_) | storage::Error::Unsuitable(_) | storage::Error::Misconfigured(_)) => {
            Finding::fine("store.keys", "the keys can be used")
        }
        Ok(tried) => Finding::fine("store.keys", format!("they open the data keys of {tried} people that were tried")),
        Err(error) => Finding::wrong(
            "store.keys",
            error.to_string(),
            "add the key that the store was made with to `keys.encryption`, after the first",
        ),
    });
    findings
}

/// Opens people's data keys. Answers how many.
async fn unwrap(config: &Config, keys: &Keys) -> Result<usize, storage::Error> {
    let store = Store::open(config, false, now()).await?;
    let people = Arc::new(tokio::task::block_in_place(|| PeopleStores::open(&store, keys))?);
    let users: Vec<UserId> = people.move_people.everybody(None, KEYS_TRIED).await?;
    for user in &users {
        people.identity.data_key(*user).await?;
    }
    Ok(users.len())
}
