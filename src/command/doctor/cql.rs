//! A store on CQL: whether it answers, is made, is of this build, and keeps what it promises.

use storage::Error;
use storage_cql::{Connection, checks, migrate, schema};

use super::Finding;
use crate::config::{Config, Profile};

/// Fewer copies than this, and the loss of one node stops the store.
const COPIES_SAFE: usize = 3;

/// Looks at the store.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let cql = &config.storage.cql;
    let connection = match Connection::open(cql).await {
        Ok(connection) => connection,
        Err(error) => {
            return vec![Finding::wrong(
                "cql.reachable",
                error.to_string(),
                "start the store, or set `storage.cql.nodes`, `user`, `password` and `tls_certificates` to what it needs",
            )];
        }
    };
    let mut findings = vec![Finding::fine("cql.reachable", format!("{} answers", cql.nodes.join(", ")))];
    match checks::check(&connection, cql, config.profile == Profile::Production).await {
        Ok(found) => {
            let nodes = format!("data centre {} has {} nodes", cql.data_centre, found.nodes);
            findings.push(if found.nodes < COPIES_SAFE {
                Finding::warning("cql.data_centre", nodes, "with fewer than three the loss of one stops the store")
            } else {
                Finding::fine("cql.data_centre", nodes)
            });
            let mend = "set `commitlog_sync` of every node to batch or group, as production asks";
            findings.extend(found.warnings.into_iter().map(|found| Finding::warning("cql.durability", found, mend)));
        }
        Err(error) => {
            findings.push(Finding::wrong("cql.safe", error.to_string(), "see docs/howto/cql.md, what a node refuses"));
        }
    }
    findings.push(version(migrate::version(&connection, cql).await, &cql.keyspace));
    findings
}

fn version(found: Result<i32, Error>, keyspace: &str) -> Finding {
    let newest = schema::NEWEST;
    match found {
        Err(error) => Finding::wrong("cql.schema", error.to_string(), "see whether the store answers"),
        Ok(version) if version == newest => {
            Finding::fine("cql.schema", format!("the schema of keyspace {keyspace} is of version {version}"))
        }
        Ok(version) if version > newest => Finding::wrong(
            "cql.schema",
            format!("the schema of keyspace {keyspace} is of version {version}, and this build knows {newest}"),
            "use a newer build",
        ),
        Ok(version) => Finding::wrong(
            "cql.schema",
            format!("the schema of keyspace {keyspace} is of version {version}, and this build needs {newest}"),
            "run `quickpe migrate`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::Level;

    #[test]
    fn a_schema_is_of_this_build_or_says_what_to_do() {
        for (found, level) in [(schema::NEWEST, Level::Fine), (0, Level::Wrong), (schema::NEWEST + 1, Level::Wrong)] {
            assert_eq!(version(Ok(found), "quickpe").level, level, "{found}");
        }
    }
}
