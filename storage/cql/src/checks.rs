//! What a store must be for a node to start on it.

use std::collections::BTreeSet;

use storage::Error;

use crate::client::Connection;
use crate::config::{CqlConfig, Serial};

/// What was found of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Nodes in the data centre of this one.
    pub nodes: usize,
    /// What is to be said to the operator, though it hinders nothing.
    pub warnings: Vec<String>,
}

/// Refuses a store on which promises could be broken.
///
/// # Errors
/// [`Error::Misconfigured`] with what is to be changed: there is no such data centre, or it is not the one that the keyspace lives
/// in; transactions are agreed on in one data centre and the keyspace is in several; or, `strict`, nodes lose on a
/// crash what they acknowledged. [`Error::Unavailable`] if the store does not answer.
pub async fn check(connection: &Connection, config: &CqlConfig, strict: bool) -> Result<Found, Error> {
    let home = &config.data_centre;
    let nodes = connection.nodes();
    let here = nodes.values().filter(|centre| centre.as_ref() == Some(home)).count();
    if here == 0 {
        let known: BTreeSet<_> = nodes.values().flatten().cloned().collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Error::Misconfigured(format!("there is no data centre `{home}` in the store, but {known}")));
    }
    if let Some(centres) = data_centres(connection, &config.keyspace).await? {
        judge(&centres, config)?;
    }
    let mut warnings = Vec::new();
    for node in nodes.keys() {
        // Only Apache Cassandra has this table. ScyllaDB syncs every lightweight transaction.
        let asked = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'".to_owned();
        let Ok(rows) = connection.ask::<(Option<String>,)>(asked, false, Some(*node)).await else { continue };
        if rows.into_iter().any(|(value,)| value.as_deref() == Some("periodic")) {
            let what = format!(
                "node {node} of the store has `commitlog_sync: periodic`, and loses acknowledged writes when it is killed: set it to batch or group"
            );
            if strict {
                return Err(Error::Misconfigured(what));
            }
            warnings.push(what);
        }
    }
    Ok(Found { nodes: here, warnings })
}

/// The data centres in which a keyspace has copies; nothing if there is no such keyspace.
async fn data_centres(connection: &Connection, keyspace: &str) -> Result<Option<BTreeSet<String>>, Error> {
    let text = format!("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'");
    let rows = connection.ask::<(std::collections::HashMap<String, String>,)>(text, false, None).await?;
    // Beside the centres it names the class and, on ScyllaDB, options that are no numbers.
    let is_centre = |(name, copies): &(String, String)| name != "class" && copies.parse::<u8>().is_ok();
    Ok(rows
        .into_iter()
        .next()
        .map(|(replication,)| replication.into_iter().filter(is_centre).map(|(name, _)| name).collect()))
}

/// Refuses data centres in which the keyspace must not be.
fn judge(centres: &BTreeSet<String>, config: &CqlConfig) -> Result<(), Error> {
    let (home, keyspace) = (&config.data_centre, &config.keyspace);
    if !centres.contains(home) {
        return Err(Error::Misconfigured(format!("the keyspace {keyspace} has no copies in data centre `{home}`")));
    }
    if centres.len() > 1 && config.serial == Serial::Local {
        let centres = centres.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Error::Misconfigured(format!(
            "the keyspace {keyspace} is in several data centres ({centres}), and writers in two of them would both win: \
             set `storage.cql.serial` to `global`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_in_two_centres_needs_transactions_among_both() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let local = CqlConfig { data_centre: "a".to_owned(), ..CqlConfig::default() };
        let global = CqlConfig { serial: Serial::Global, ..local.clone() };
        assert!(judge(&of(&["a"]), &local).is_ok());
        assert!(judge(&of(&["a", "b"]), &global).is_ok());
        assert!(judge(&of(&["a", "b"]), &local).unwrap_err().to_string().contains("(a, b)"));
        assert!(judge(&of(&["b"]), &global).unwrap_err().to_string().contains("no copies in data centre `a`"));
    }
}
