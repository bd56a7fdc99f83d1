//! `quickpe migrate`: the schema of a store on CQL brought to the version of this build, and the store made.
//!
//! Says what the store was made with, whoever made it: what the configuration says of that has no effect on one that is
//! there.

use crate::command::failure::Failure;
use crate::config::{Config, Keys, StoreKind};
use crate::node::cql;
use crate::node::store::Layout;
use crate::node::stores::now;

/// Migrates. Answers what to print.
///
/// # Errors
/// The store does not answer, or is of a newer build.
pub async fn run(config: &Config) -> Result<Vec<String>, Failure> {
    if config.storage.kind == StoreKind::Embedded {
        return Ok(vec!["the store is in the data folder and has no schema to migrate".to_owned()]);
    }
    let migrated = cql::migrate(config, now()).await?;
    if migrated.is_new {
        // Development's own keys are made with the store.
        Keys::load(&config.keys, config.profile, &Layout::of(&config.data).keys(), true)?;
    }
    let keyspace = &config.storage.cql.keyspace;
    let founding = &migrated.founding;
    let schema = match (migrated.from, migrated.to) {
        (from, to) if from == to => format!("the schema of keyspace {keyspace} is of version {to} already"),
        (0, to) => format!("the schema of keyspace {keyspace} is made, of version {to}"),
        (from, to) => format!("the schema of keyspace {keyspace} is brought from version {from} to {to}"),
    };
    let store = format!(
        "store {}: {} shards, {}, business days of {}, at home in data centre {}",
        founding.id, founding.shards, founding.currency, founding.business_zone, migrated.data_centre
    );
    Ok(vec![schema, store])
}
