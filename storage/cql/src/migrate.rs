//! Bringing the schema to the version of this build: the same from any number of nodes at once, and again.
//!
//! The keyspace and the two tables of [`schema::MIGRATIONS`] are made by statements that may be repeated. Then one node
//! holds the row of `schema_change` while it changes the schema, version by version; it expires if that node dies.

use std::time::Duration;

use storage::Error;
use tokio::time::Instant;
use uuid::Uuid;

use crate::applied::Applied;
use crate::checks;
use crate::client::Connection;
use crate::config::CqlConfig;
use crate::schema;

/// The most copies that a keyspace is made with when nothing else is asked for.
const REPLICATION_MAX: usize = 3;

/// How long a node that changes the schema is waited for. Its row expires after as many seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long to wait before looking again whether another node has ended.
const LOOK: Duration = Duration::from_millis(500);

/// From which version to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; 0 if there was no schema.
    pub from: i32,
    /// The version that there is now.
    pub to: i32,
}

/// Brings the schema to the newest version that this build knows.
///
/// # Errors
/// [`Error::Unsuitable`] if the schema is of a newer build; [`Error::Unavailable`] if the store does not answer, or another
/// node has been changing the schema for too long.
pub async fn run(connection: &Connection, config: &CqlConfig) -> Result<Migrated, Error> {
    let keyspace = &config.keyspace;
    if version(connection, config).await? == schema::NEWEST {
        return Ok(Migrated { from: schema::NEWEST, to: schema::NEWEST });
    }
    let nodes = checks::check(connection, config, false).await?.nodes;
    let copies = config.replication.map_or(REPLICATION_MAX.min(nodes), usize::from);
    let centre = &config.data_centre;
    let made = format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', '{centre}': {copies}}}"
    );
    connection.change(&made).await?;
    for text in schema::MIGRATIONS {
        connection.change(&qualified(text, keyspace)).await?;
    }
    connection.agreed().await?;
    let holder = Uuid::from_bytes(rand::random());
    hold(connection, keyspace, holder).await?;
    let changed = change(connection, config).await;
    let let_go = format!("DELETE FROM {keyspace}.schema_change WHERE id = 0 IF holder = {holder}");
    // Without it the row expires by itself.
    let released = connection.transact(let_go).await;
    let migrated = changed?;
    released?;
    Ok(migrated)
}

/// The version of the schema; 0 if there is none.
///
/// # Errors
/// [`Error::Unsuitable`] if it is of a newer build; [`Error::Unavailable`] if the store does not answer.
pub async fn version(connection: &Connection, config: &CqlConfig) -> Result<i32, Error> {
    let keyspace = &config.keyspace;
    let tables = format!(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{keyspace}' AND table_name = 'schema_version'"
    );
    if connection.ask::<(String,)>(tables, false, None).await?.is_empty() {
        return Ok(0);
    }
    let text = format!("SELECT version FROM {keyspace}.schema_version WHERE id = 0 LIMIT 1");
    let found = connection.ask::<(Option<i32>,)>(text, true, None).await?;
    let version = found.first().and_then(|(version,)| *version).unwrap_or(0);
    if version > schema::NEWEST {
        let newest = schema::NEWEST;
        return Err(Error::Unsuitable(format!(
            "the schema of keyspace {keyspace} is of version {version}, and this build knows {newest}: use a newer build"
        )));
    }
    Ok(version)
}

/// Waits until nobody else changes the schema.
async fn hold(connection: &Connection, keyspace: &str, holder: Uuid) -> Result<(), Error> {
    let seconds = PATIENCE.as_secs();
    let text = format!(
        "INSERT INTO {keyspace}.schema_change (id, holder) VALUES (0, {holder}) IF NOT EXISTS USING TTL {seconds}"
    );
    let begun = Instant::now();
    loop {
        let answer = connection.transact(text.clone()).await.and_then(Applied::read);
        let is_over = begun.elapsed() >= PATIENCE;
        match answer {
            Ok(Applied::Yes) => return Ok(()),
            Ok(Applied::No(there)) if there.uuid("holder") == Some(holder) => return Ok(()),
            Ok(Applied::No(_)) if is_over => {
                return Err(Error::Unavailable("another node has been changing the schema for too long".to_owned()));
            }
            Err(error) if is_over || !matches!(error, Error::Unavailable(_)) => return Err(error),
            // Somebody else's, or nobody knows: it is asked again.
            Ok(Applied::No(_)) | Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Goes from version to version.
async fn change(connection: &Connection, config: &CqlConfig) -> Result<Migrated, Error> {
    let keyspace = &config.keyspace;
    let from = version(connection, config).await?;
    for step in schema::VERSIONS.iter().filter(|step| step.number > from) {
        for text in step.statements {
            connection.change(&qualified(text, keyspace)).await?;
        }
        connection.agreed().await?;
        let number = step.number;
        let text = if number == 1 {
            format!("INSERT INTO {keyspace}.schema_version (id, version) VALUES (0, 1) IF NOT EXISTS")
        } else {
            let before = number - 1;
            format!("UPDATE {keyspace}.schema_version SET version = {number} WHERE id = 0 IF version = {before}")
        };
        connection.transact(text).await?;
        tracing::info!(keyspace, version = number, "the schema is brought to a version");
    }
    Ok(Migrated { from, to: version(connection, config).await? })
}

/// A statement that makes or alters a table, with the keyspace before the table's name.
fn qualified(text: &str, keyspace: &str) -> String {
    let name = |prefix: &str| text.strip_prefix(prefix).map(|rest| format!("{prefix}{keyspace}.{rest}"));
    name("CREATE TABLE IF NOT EXISTS ").or_else(|| name("ALTER TABLE ")).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_with_their_keyspace() {
        assert_eq!(qualified("CREATE TABLE IF NOT EXISTS people (x)", "k"), "CREATE TABLE IF NOT EXISTS k.people (x)");
        assert_eq!(qualified("ALTER TABLE people ADD y", "k"), "ALTER TABLE k.people ADD y");
    }
}
