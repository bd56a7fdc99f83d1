//! What a node refuses to start on: a store that it cannot trust or that could break its promises.

use std::process::Command;

use serde_json::json;
use storage_cql::{Connection, CqlConfig, schema};

use crate::home::{ALONE, Home};
use crate::servers::{self, Servers};

const CERTIFICATES: &str = "QUICKPE_STORAGE__CQL__TLS_CERTIFICATES";
const USER: &str = "QUICKPE_STORAGE__CQL__USER";
const PASSWORD: &str = "QUICKPE_STORAGE__CQL__PASSWORD";
const CENTRE: &str = "QUICKPE_STORAGE__CQL__DATA_CENTRE";

/// The exit code when trying again, or another command first, may help.
const FAILED: i32 = 1;
/// The exit code when a setting must be changed, here or at the store.
const CONFIGURATION: i32 = 2;
/// The exit code when what is stored is not what it was.
const DAMAGED: i32 = 4;

/// The base64 of 32 bytes, for a configuration of production that is whole.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A transfer by a node that serves.
async fn serves(home: &Home) {
    let node = home.serve();
    let people = home.people(2, "10.00");
    node.pay(&people[0].1, &people[1].0, "2.50").await;
    assert_eq!((node.balance(&people[0].1).await, node.balance(&people[1].1).await), (750, 1250));
    node.stop();
}

#[tokio::test]
async fn who_a_store_is_and_who_comes_to_it_is_proved_and_production_wants_a_synced_log() {
    let _alone = ALONE.lock().await;
    let settings = &[("CASSANDRA_TLS", "1"), ("CASSANDRA_AUTH", "1"), ("CASSANDRA_SYNC", "periodic")];
    let servers = Servers::start("127.0.7", 1, settings);
    let home = || Home::new(&servers.node(1), "quickpe");
    let authority = servers.folder().join("tls/ca.pem").display().to_string();
    let trusting = || home().with(CERTIFICATES, authority.clone());
    let known = || trusting().with(USER, "cassandra").with(PASSWORD, "cassandra");

    let unanswered = "no node of the store answers";
    home().with(USER, "cassandra").with(PASSWORD, "cassandra").refused(&["migrate"], FAILED, unanswered);
    trusting().refused(&["migrate"], CONFIGURATION, "set `storage.cql.user` and `storage.cql.password`");
    known().with(PASSWORD, "wrong").refused(&["migrate"], CONFIGURATION, "does not let `storage.cql.user` sign in");
    let stranger = known();
    let (key, certificate) = (stranger.data().join("key.pem"), stranger.data().join("other.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=another authority"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    stranger.with(CERTIFICATES, certificate.display().to_string()).refused(&["migrate"], FAILED, unanswered);
    known().with(CERTIFICATES, "/nowhere/ca.pem").refused(&["migrate"], CONFIGURATION, "/nowhere/ca.pem");
    known().refused(&["serve"], FAILED, "there is no store in keyspace quickpe: run `quickpe migrate`");

    let production = known()
        .with("QUICKPE_PROFILE", "production")
        .with("QUICKPE_KEYS__SIGNING", format!(r#"[{{"kid": "one", "secret": "{KEY}"}}]"#))
        .with("QUICKPE_KEYS__REFRESH", KEY)
        .with("QUICKPE_KEYS__ENCRYPTION", KEY);
    for command in ["migrate", "serve"] {
        production.refused(&[command], CONFIGURATION, "`commitlog_sync: periodic`");
    }
    let home = known();
    assert!(home.done(&["migrate"]).contains("`commitlog_sync: periodic`"), "in development it is a warning");
    serves(&home).await;
}

#[tokio::test]
async fn a_store_in_two_data_centres_is_at_home_in_one_or_agrees_in_both() {
    let _alone = ALONE.lock().await;
    let servers = Servers::start("127.0.6", 2, &[("CASSANDRA_CENTRES", "2")]);
    let mut home = Home::new(&servers.node(1), "quickpe");
    home.done(&["migrate"]);
    // Nodes of QuickPe where the store has servers and no copies, and where it has none at all.
    home.set(CENTRE, "datacenter2");
    home.refused(&["serve"], CONFIGURATION, "has no copies in data centre `datacenter2`");
    home.set(CENTRE, "elsewhere");
    let known = "there is no data centre `elsewhere` in the store, but datacenter1, datacenter2";
    home.refused(&["serve"], CONFIGURATION, known);

    let config = CqlConfig { nodes: vec![servers.node(1)], ..CqlConfig::default() };
    let connection = Connection::open(&config).await.unwrap();
    let both = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1, 'datacenter2': 1}";
    connection.execute(&format!("ALTER KEYSPACE quickpe WITH replication = {both}")).await.unwrap();
    home.set(CENTRE, "datacenter1");
    home.refused(&["serve"], CONFIGURATION, "is in several data centres (datacenter1, datacenter2)");
    home.set("QUICKPE_STORAGE__CQL__SERIAL", "global");
    // The copies that the other centre was given now are its own after a repair; an empty store needs none.
    serves(&home).await;
    home.done(&["verify"]);
}

#[tokio::test]
async fn a_store_of_another_version_is_no_damage() {
    let _alone = ALONE.lock().await;
    let server = servers::shared_node();
    let config = CqlConfig { nodes: vec![server.clone()], ..CqlConfig::default() };
    let connection = Connection::open(&config).await.unwrap();
    connection.execute("DROP KEYSPACE IF EXISTS quickpe_refusing").await.unwrap();
    let home = Home::new(&server, "quickpe_refusing");
    for command in ["serve", "verify", "rebuild-views"] {
        home.refused(&[command], FAILED, "there is no store in keyspace quickpe_refusing: run `quickpe migrate`");
    }
    home.done(&["migrate"]);
    let version = async |number: i32| {
        let text = format!("UPDATE quickpe_refusing.schema_version SET version = {number} WHERE id = 0 IF version > 0");
        connection.execute(&text).await.unwrap();
    };
    version(schema::NEWEST - 1).await;
    home.refused(&["serve"], FAILED, "run `quickpe migrate`");
    version(schema::NEWEST + 1).await;
    for command in ["serve", "migrate"] {
        home.refused(&[command], FAILED, "use a newer build");
    }
    version(schema::NEWEST).await;
    let says = async |store: &str| {
        let text = format!("UPDATE quickpe_refusing.founding SET store = '{store}' WHERE id = 0 IF EXISTS");
        connection.execute(&text).await.unwrap();
    };
    says(&founding(9, "datacenter1")).await;
    home.refused(&["serve"], FAILED, "is of format 9, and this build knows 1: use a newer build");
    says(&founding(1, "elsewhere")).await;
    home.refused(&["serve"], CONFIGURATION, "is at home in data centre `elsewhere`, and this node is in `datacenter1`");
    says("{}").await;
    home.refused(&["serve"], DAMAGED, "cannot be read");
}

/// What a store says of itself.
fn founding(format: u8, centre: &str) -> String {
    let store = json!({
        "format": format, "id": "00000000-0000-4000-8000-000000000000", "epoch": "000000000000", "shards": 64,
        "business_zone": "Asia/Kolkata", "currency": "INR", "created_at": 1,
    });
    json!({"store": store, "data_centre": centre}).to_string()
}
