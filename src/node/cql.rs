//! A store on CQL: connected, checked, brought to the schema of this build, and made once.
//!
//! The data folder is still this node's own: it holds the lock by which commands find the running node, the control
//! socket, and development's keys.

use std::path::Path;
use std::sync::Arc;

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use storage::Error;
use storage::embedded::lock::StoreLock;
use storage_cql::config::Serial;
use storage_cql::{Connection, Cql, checks, founding, migrate, schema};

use crate::config::{Config, Profile};
use crate::node::store::{Founding, Layout, Store, refuse_unfinished};

/// What a store on CQL says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Home {
    /// As every store.
    store: Founding,
    /// The data centre that it was made in, in which all its nodes are.
    data_centre: String,
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version of the schema that was found; 0 for none.
    pub from: i32,
    /// The version that there is now.
    pub to: i32,
    /// Whether the store was made now.
    pub is_new: bool,
    /// What the store says of itself.
    pub founding: Founding,
    /// The data centre that it was made in.
    pub data_centre: String,
}

/// Locks the data folder, connects, and opens the store; makes it if there is none and `make` allows.
///
/// # Errors
/// [`Error::Locked`] if another process has the folder. [`Error::Unavailable`] if the store does not answer.
/// [`Error::Unsuitable`] if it is not made, or its schema is older or newer than this build's. [`Error::Misconfigured`] if
/// promises could be broken on it.
pub async fn open(config: &Config, make: bool, now: Timestamp) -> Result<Store, Error> {
    let lock = Arc::new(StoreLock::acquire(&config.data)?);
    refuse_unfinished(&Layout::of(&config.data))?;
    let connection = connect(config).await?;
    let cql = &config.storage.cql;
    let version = migrate::version(&connection, cql).await?;
    if version < schema::NEWEST {
        if !cql.migrate_at_start {
            return Err(Error::Unsuitable(old(version, &cql.keyspace)));
        }
        migrate::run(&connection, cql).await?;
    }
    let prepared = Arc::new(Cql::prepare(connection, cql).await?);
    let (home, is_new) = match founding::read(&prepared).await? {
        Some(text) => (read(&text, config)?, false),
        None if make => found(&prepared, config, now).await?,
        None => return Err(Error::Unsuitable(format!("there is no store in keyspace {}", cql.keyspace))),
    };
    Store::of(lock, home.store, is_new, Some(prepared), Path::new(&cql.keyspace))
}

/// Brings the schema to the version of this build and makes the store, unless that was done.
///
/// # Errors
/// As [`open`], but for the lock.
pub async fn migrate(config: &Config, now: Timestamp) -> Result<Migrated, Error> {
    let connection = connect(config).await?;
    let migrated = migrate::run(&connection, &config.storage.cql).await?;
    let prepared = Cql::prepare(connection, &config.storage.cql).await?;
    let (home, is_new) = found(&prepared, config, now).await?;
    Ok(Migrated { from: migrated.from, to: migrated.to, is_new, founding: home.store, data_centre: home.data_centre })
}

/// Connects and brings the schema to the version of this build, where no store was made yet, or just the one that is
/// being `made`.
///
/// # Errors
/// As [`open`]; [`Error::Unsuitable`] if another store is there.
pub async fn open_unfounded(config: &Config, made: &Founding) -> Result<Arc<Cql>, Error> {
    let connection = connect(config).await?;
    migrate::run(&connection, &config.storage.cql).await?;
    let prepared = Arc::new(Cql::prepare(connection, &config.storage.cql).await?);
    match founding::read(&prepared).await? {
        Some(text) if read(&text, config)?.store != *made => {
            let keyspace = &config.storage.cql.keyspace;
            Err(Error::Unsuitable(format!("keyspace {keyspace} is not empty: a store was made there")))
        }
        _ => Ok(prepared),
    }
}

/// Makes the store say this.
///
/// # Errors
/// The store does not answer, or another one was made meanwhile.
pub async fn found_as(cql: &Cql, config: &Config, store: &Founding) -> Result<(), Error> {
    let (home, _) = take(cql, config, store.clone()).await?;
    if home.store == *store {
        return Ok(());
    }
    Err(Error::Unsuitable(format!("another store was made in keyspace {}", config.storage.cql.keyspace)))
}

/// Connects to a store on which all promises can be kept.
async fn connect(config: &Config) -> Result<Connection, Error> {
    let cql = &config.storage.cql;
    let connection = Connection::open(cql).await?;
    let found = checks::check(&connection, cql, config.profile == Profile::Production).await?;
    for warning in found.warnings {
        tracing::warn!("{warning}");
    }
    Ok(connection)
}

/// Makes the store, unless another node was first. Answers what it says, and whether this made it.
async fn found(cql: &Cql, config: &Config, now: Timestamp) -> Result<(Home, bool), Error> {
    take(cql, config, Founding::draw(&config.storage, now)).await
}

/// Makes this store, unless there is one. Answers what it says, and whether this made it.
async fn take(cql: &Cql, config: &Config, store: Founding) -> Result<(Home, bool), Error> {
    let home = Home { store, data_centre: config.storage.cql.data_centre.clone() };
    let text = serde_json::to_string(&home).map_err(|error| Error::Unknown(error.to_string()))?;
    let said = founding::take(cql, &text).await?;
    let is_new = said == text;
    Ok((read(&said, config)?, is_new))
}

/// What is wrong with a schema of an older version, or with none.
fn old(version: i32, keyspace: &str) -> String {
    let newest = schema::NEWEST;
    match version {
        0 => format!("there is no store in keyspace {keyspace}: run `quickpe migrate`, which makes it"),
        _ => format!(
            "the schema of keyspace {keyspace} is of version {version}, and this build needs {newest}: run `quickpe migrate`"
        ),
    }
}

/// Reads what a store says of itself, and refuses one that is at home elsewhere.
fn read(text: &str, config: &Config) -> Result<Home, Error> {
    let cql = &config.storage.cql;
    let keyspace = &cql.keyspace;
    let home: Home = serde_json::from_str(text).map_err(|error| {
        Error::Unknown(format!("what keyspace {keyspace} says of its store cannot be read: {error}"))
    })?;
    if home.data_centre != cql.data_centre && cql.serial == Serial::Local {
        let (theirs, ours) = (&home.data_centre, &cql.data_centre);
        return Err(Error::Misconfigured(format!(
            "the store in keyspace {keyspace} is at home in data centre `{theirs}`, and this node is in `{ours}`"
        )));
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorageConfig;

    #[test]
    fn a_store_is_at_home_in_one_data_centre() {
        let mut config = Config::default();
        let store = Founding::draw(&StorageConfig::default(), Timestamp(1));
        let home = Home { store, data_centre: "datacenter1".to_owned() };
        let text = serde_json::to_string(&home).unwrap();
        assert_eq!(read(&text, &config).unwrap(), home);
        config.storage.cql.data_centre = "elsewhere".to_owned();
        let refused = read(&text, &config).unwrap_err();
        assert!(matches!(&refused, Error::Misconfigured(why) if why.contains("at home in data centre `datacenter1`")));
        config.storage.cql.serial = Serial::Global;
        assert_eq!(read(&text, &config).unwrap(), home);
        assert!(matches!(read("{}", &config), Err(Error::Unknown(_))));
    }
}
