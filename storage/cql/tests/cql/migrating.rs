//! Migrations: from nothing, by two at once, again, from each earlier version, and never backwards; and what a store
//! must be.

use std::collections::HashMap;

use scylla::client::session_builder::SessionBuilder;
use storage_cql::migrate::{self, Migrated};
use storage_cql::{Connection, Cql, CqlConfig, checks, founding, schema};

use super::server::{self, Timed};

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_one_schema_and_the_third_nothing() {
    let _timed = Timed::new("migrations");
    let config = server::config("quickpe_migrations").await;
    server::drop_keyspace(&config).await;
    let (one, other) = (Connection::open(&config).await.unwrap(), Connection::open(&config).await.unwrap());
    assert_eq!(migrate::version(&one, &config).await.unwrap(), 0);
    let (first, second) = tokio::join!(migrate::run(&one, &config), migrate::run(&other, &config));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.to, second.to), (schema::NEWEST, schema::NEWEST));
    let done = Migrated { from: schema::NEWEST, to: schema::NEWEST };
    assert!([first, second].contains(&Migrated { from: 0, to: schema::NEWEST }));
    assert!([first, second].contains(&done), "one did it, and the other found it done");
    assert_eq!(migrate::run(&one, &config).await.unwrap(), done);

    let cql = Cql::prepare(one, &config).await.unwrap();
    assert_eq!(founding::read(&cql).await.unwrap(), None);
    assert_eq!(founding::take(&cql, "first").await.unwrap(), "first");
    assert_eq!(founding::take(&cql, "second").await.unwrap(), "first", "a store is made once");
    assert_eq!(founding::read(&cql).await.unwrap().as_deref(), Some("first"));

    let newer = schema::NEWEST + 1;
    let text = format!("INSERT INTO quickpe_migrations.schema_version (id, version) VALUES (0, {newer})");
    other.execute(&text).await.unwrap();
    for refused in [migrate::run(&other, &config).await.map(drop), migrate::version(&other, &config).await.map(drop)] {
        assert!(refused.unwrap_err().to_string().contains("use a newer build"));
    }
    server::drop_keyspace(&config).await;
}

/// How the files of a table are compacted, as the server says.
async fn compaction(config: &CqlConfig, table: &str) -> String {
    let session = SessionBuilder::new().known_nodes(&config.nodes).build().await.unwrap();
    let keyspace = &config.keyspace;
    let text = format!(
        "SELECT compaction FROM system_schema.tables WHERE keyspace_name = '{keyspace}' AND table_name = '{table}'"
    );
    let rows = session.query_unpaged(text, &[]).await.unwrap().into_rows_result().unwrap();
    let (mut options,) = rows.single_row::<(HashMap<String, String>,)>().unwrap();
    options.remove("class").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_version_is_brought_to_the_newest_with_all_that_it_holds() {
    let _timed = Timed::new("from version 1");
    let config = server::config("quickpe_version_1").await;
    server::drop_keyspace(&config).await;
    let connection = Connection::open(&config).await.unwrap();
    // As the first build made it.
    let replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
    connection.execute(&format!("CREATE KEYSPACE quickpe_version_1 WITH replication = {replication}")).await.unwrap();
    for text in schema::MIGRATIONS.iter().chain(schema::VERSIONS[0].statements) {
        let text = text.replacen("IF NOT EXISTS ", "IF NOT EXISTS quickpe_version_1.", 1);
        connection.execute(&text).await.unwrap();
    }
    let noted = "INSERT INTO quickpe_version_1.schema_version (id, version) VALUES (0, 1) IF NOT EXISTS";
    connection.execute(noted).await.unwrap();
    assert_eq!(migrate::version(&connection, &config).await.unwrap(), 1);
    assert!(!compaction(&config, "timelines").await.ends_with("TimeWindowCompactionStrategy"));
    let cql = Cql::prepare(connection, &config).await.unwrap();
    founding::take(&cql, "of version 1").await.unwrap();

    let (one, other) = (Connection::open(&config).await.unwrap(), Connection::open(&config).await.unwrap());
    let (first, second) = tokio::join!(migrate::run(&one, &config), migrate::run(&other, &config));
    let brought = Migrated { from: 1, to: schema::NEWEST };
    assert!([first.unwrap(), second.unwrap()].contains(&brought));
    assert_eq!(migrate::version(&one, &config).await.unwrap(), schema::NEWEST);
    for table in ["timelines", "timeline_days"] {
        assert!(compaction(&config, table).await.ends_with("TimeWindowCompactionStrategy"), "{table}");
    }
    assert_eq!(founding::read(&cql).await.unwrap().as_deref(), Some("of version 1"));
    let prepared = Cql::prepare(one, &config).await.unwrap();
    assert_eq!(founding::read(&prepared).await.unwrap().as_deref(), Some("of version 1"));
    server::drop_keyspace(&config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_on_which_promises_could_break_is_refused() {
    let config = server::config("quickpe_centres").await;
    let connection = Connection::open(&config).await.unwrap();
    let found = checks::check(&connection, &config, true).await.unwrap();
    assert!(found.nodes >= 1 && found.warnings.is_empty(), "{found:?}");

    let elsewhere = CqlConfig { data_centre: "elsewhere".to_owned(), ..config.clone() };
    let there = Connection::open(&elsewhere).await.unwrap();
    let refused = checks::check(&there, &elsewhere, false).await.unwrap_err().to_string();
    assert!(refused.contains("no data centre `elsewhere`") && refused.contains("datacenter1"), "{refused}");
}
