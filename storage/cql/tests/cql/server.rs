//! The server and the keyspace of the tests.

use std::sync::Arc;
use std::time::Instant;

use storage_cql::{Connection, Cql, CqlConfig, migrate};
use tokio::sync::OnceCell;

use crate::servers;

/// Where the server is.
static NODE: OnceCell<String> = OnceCell::const_new();
/// The keyspace is there.
static KEYSPACE: OnceCell<()> = OnceCell::const_new();

/// How the server of the tests is reached.
pub(crate) async fn config(keyspace: &str) -> CqlConfig {
    let node = NODE.get_or_init(|| async { servers::shared_node() }).await;
    CqlConfig { nodes: vec![node.clone()], keyspace: keyspace.to_owned(), ..CqlConfig::default() }
}

/// A connection with its own session, to the keyspace of the tests. Each test has its runtime, and a session ends with
/// the runtime that it was made on.
pub(crate) async fn connect() -> Arc<Cql> {
    let config = config("quickpe_tests").await;
    KEYSPACE.get_or_init(|| anew(&config)).await;
    prepared(&config).await
}

/// As [`connect`], in a process beside the one that made the keyspace.
pub(crate) async fn connect_to_what_is_there() -> Arc<Cql> {
    prepared(&config("quickpe_tests").await).await
}

async fn prepared(config: &CqlConfig) -> Arc<Cql> {
    let connection = Connection::open(config).await.unwrap();
    Arc::new(Cql::prepare(connection, config).await.unwrap())
}

/// Makes the keyspace without anything in it.
async fn anew(config: &CqlConfig) {
    let begun = Instant::now();
    drop_keyspace(config).await;
    let connection = Connection::open(config).await.unwrap();
    migrate::run(&connection, config).await.unwrap();
    eprintln!("the schema: {:.1} s", begun.elapsed().as_secs_f64());
}

/// Removes a keyspace, if it is there.
pub(crate) async fn drop_keyspace(config: &CqlConfig) {
    let connection = Connection::open(config).await.unwrap();
    connection.execute(&format!("DROP KEYSPACE IF EXISTS {}", config.keyspace)).await.unwrap();
}

/// Empties tables.
pub(crate) async fn empty(cql: &Cql, tables: &[&str]) {
    for table in tables {
        cql.connection().execute(&format!("TRUNCATE quickpe_tests.{table}")).await.unwrap();
    }
}

/// Says how long something took. Prints only when asked to (`--nocapture`), and asserts nothing.
pub(crate) struct Timed(&'static str, Instant);

impl Timed {
    pub(crate) fn new(what: &'static str) -> Self {
        Self(what, Instant::now())
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        eprintln!("{}: {:.1} s", self.0, self.1.elapsed().as_secs_f64());
    }
}
