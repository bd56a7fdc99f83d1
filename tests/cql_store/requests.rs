//! How many requests a transfer takes of the store, counted by the node itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use storage_cql::{Connection, CqlConfig};

use crate::home::{ALONE, Home};
use crate::process::Node;
use crate::servers;

/// The most that a transfer may ask of the store beside its appends to the journal.
const REQUESTS_MAX: u64 = 6;

/// Transfers of one measurement.
const TRANSFERS: usize = 40;

/// How long nothing is asked of the store when nothing more comes of what was done: a shard looks each second whether
/// something is left to note.
const QUIET: Duration = Duration::from_millis(2_500);

/// Requests by kind and store, as the node counts them.
type Requests = BTreeMap<String, u64>;

/// The node's metrics, as Prometheus reads them.
pub(crate) async fn metrics(node: &Node) -> String {
    reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap()
}

/// All requests so far.
async fn requests(node: &Node) -> Requests {
    let text = metrics(node).await;
    let lines = text.lines().filter_map(|line| line.strip_prefix("quickpe_cql_requests_total{")?.split_once("} "));
    lines.map(|(labels, count)| (labels.to_owned(), count.parse().unwrap())).collect()
}

/// Waits until nothing more comes of what was done: all acknowledged, noted and written.
async fn settled(node: &Node) {
    let mut last = requests(node).await;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = requests(node).await;
        if !asked(&last, &now).is_empty() {
            (last, since) = (now, Instant::now());
        }
    }
}

async fn pay(node: &Node, token: &str, to: &str, key: &str) {
    let request = reqwest::Client::new().post(format!("{}/api/v1/account/transfer", node.url)).bearer_auth(token);
    let request = request.header("Idempotency-Key", key).json(&json!({"to": to, "amount": "1.00"}));
    let answered = request.send().await.unwrap();
    assert!(answered.status().is_success(), "{}", answered.text().await.unwrap());
}

/// What was asked between two counts, but for the journal and for what nodes look after by the clock.
fn asked(before: &Requests, after: &Requests) -> Requests {
    let asked = after.iter().map(|(labels, count)| (labels.clone(), count - before.get(labels).unwrap_or(&0)));
    let is_counted = |labels: &str| !["journal", "calendar"].iter().any(|store| labels.contains(store));
    asked.filter(|(labels, count)| *count > 0 && is_counted(labels)).collect()
}

#[tokio::test]
async fn a_transfer_takes_six_requests_outside_the_journal_at_most() {
    let _alone = ALONE.lock().await;
    let server = servers::shared_node();
    // The folder's keys and the store's people belong together, and the folder is new.
    let config = CqlConfig { nodes: vec![server.clone()], ..CqlConfig::default() };
    let connection = Connection::open(&config).await.unwrap();
    connection.execute("DROP KEYSPACE IF EXISTS quickpe_requests").await.unwrap();
    let mut home = Home::new(&server, "quickpe_requests");
    home.done(&["migrate"]);
    // What each record costs when it is projected by itself, and what it costs as a node does it.
    for delay_ms in ["1", "1000"] {
        home.set("QUICKPE_LEDGER__PROJECTION_DELAY_MS", delay_ms);
        let node = home.serve();
        let people = home.people(4, "1000.00");
        // Who pays and is paid is known to the node from here on, and each stream's first bucket is there.
        for (number, (_, token)) in people.iter().enumerate() {
            pay(&node, token, &people[(number + 1) % people.len()].0, &format!("first-{number}")).await;
        }
        settled(&node).await;
        let before = requests(&node).await;
        for number in 0..TRANSFERS {
            let (payer, payee) = (number % people.len(), (number + 1) % people.len());
            pay(&node, &people[payer].1, &people[payee].0, &format!("payment-{number}")).await;
        }
        settled(&node).await;
        let asked = asked(&before, &requests(&node).await);
        let sum: u64 = asked.values().sum();
        eprintln!(
            "projected after {delay_ms} ms: {sum} requests outside the journal for {TRANSFERS} transfers: {asked:#?}"
        );
        assert!(sum <= REQUESTS_MAX * TRANSFERS as u64, "projected after {delay_ms} ms: {sum}: {asked:#?}");
        assert!(asked.keys().any(|labels| labels.contains("views")), "requests are counted: {asked:#?}");
        node.stop();
    }
}
