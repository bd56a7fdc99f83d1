//! Three servers of the store, of which one and then two are killed under a node that serves.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::home::{ALONE, Home};
use crate::process::Node;
use crate::requests::metrics;
use crate::servers::Servers;

/// How long one request may take: the node answers within 15 s, whatever the store does.
const REQUEST: Duration = Duration::from_secs(20);

/// How long until a node must have seen by itself what became of its store: several of its questions, each of which may
/// take three seconds, and the time in which a server that comes back is connected to again.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a client may be told when the store does not answer: that nothing was done, or that nobody knows.
const CODES: [&str; 4] = ["busy", "outcome_unknown", "payee_unavailable", "account_unavailable"];

/// Payments of one minor unit each, told apart by their keys.
struct Till {
    payer: String,
    payee: String,
    url: String,
    client: reqwest::Client,
}

impl Till {
    async fn pay(&self, key: u64) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}/api/v1/account/transfer", self.url)).bearer_auth(&self.payer);
        let request = request.header("Idempotency-Key", format!("payment-{key}")).timeout(REQUEST);
        let answered = request.json(&json!({"to": self.payee, "amount": "0.01"})).send().await.unwrap();
        (answered.status(), answered.json().await.unwrap())
    }

    /// Pays until it is answered that it is done. Whatever is answered before is a clear error.
    async fn insist(&self, key: u64) {
        loop {
            let (status, body) = self.pay(key).await;
            if status.is_success() {
                return;
            }
            is_clear(status, &body);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An answer that tells a client what to do.
#[track_caller]
fn is_clear(status: StatusCode, body: &Value) {
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let code = body["code"].as_str().unwrap();
    assert!(CODES.contains(&code), "{body}");
    assert!(body["retryAfterMs"].as_u64().is_some_and(|after| after > 0), "{body}");
    assert_eq!(code == "outcome_unknown", body["transferId"].is_string(), "{body}");
}

/// What `/health` says of a node and its store.
struct Said {
    answered: StatusCode,
    status: &'static str,
    /// How the message of the store begins, if there is one.
    why: &'static str,
}

const WHOLE: Said = Said { answered: StatusCode::OK, status: "ok", why: "" };
const SHORT: Said = Said { answered: StatusCode::OK, status: "degraded", why: "1 of its 3 nodes do not answer" };
const GONE: Said =
    Said { answered: StatusCode::SERVICE_UNAVAILABLE, status: "unavailable", why: "it does not answer: commands" };

/// Waits until `/health` says this, with nobody asking the store for anything else; `/health/ready` answers the same, and
/// `/health/live` that the process lives.
async fn healthy(node: &Node, expected: &Said) {
    let mut last = Value::Null;
    let is_there = async {
        loop {
            let (answered, health) = node.get("/health", "").await;
            let store = &health["parts"]["store"];
            let is_said = health["status"] == expected.status && store["status"] == expected.status;
            let why = store["message"].as_str().unwrap_or_default();
            if answered == expected.answered && is_said && why.starts_with(expected.why) {
                return;
            }
            last = health;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let is_there = tokio::time::timeout(PATIENCE, is_there).await.is_ok();
    assert!(is_there, "/health does not come to {} but to {last}", expected.status);
    assert_eq!(node.get("/health/ready", "").await.0, expected.answered);
    assert_eq!(node.get("/health/live", "").await.0, StatusCode::OK);
}

/// Waits until the metrics say that one of three nodes is gone: a single question may be answered late.
async fn counted(node: &Node) {
    let lines = ["quickpe_cql_nodes{state=\"up\"} 2", "quickpe_cql_nodes{state=\"down\"} 1", "quickpe_cql_quorum 1"];
    let mut last = String::new();
    let are_there = async {
        loop {
            last = metrics(node).await;
            let connections = last.lines().find_map(|line| line.strip_prefix("quickpe_cql_connections "));
            // One to each node that is there.
            let is_connected = connections.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 2);
            if is_connected && lines.iter().all(|line| last.lines().any(|said| said == *line)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let are_there = tokio::time::timeout(PATIENCE, are_there).await.is_ok();
    assert!(are_there, "the metrics do not come to {lines:?}: {last}");
}

/// Both sides of all payments, which stand when as many as were insisted on are there and no more.
async fn settled(node: &Node, people: &[(String, String)], payments: u64) {
    let paid = i64::try_from(payments).unwrap();
    while node.balance(&people[1].1).await < 100_000 + paid {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(node.balance(&people[0].1).await, 100_000 - paid);
    assert_eq!(node.balance(&people[1].1).await, 100_000 + paid);
}

#[tokio::test]
async fn a_node_goes_on_with_one_of_three_gone_says_so_with_two_and_recovers_by_itself() {
    let _alone = ALONE.lock().await;
    let servers = Servers::start("127.0.8", 3, &[]);
    let nodes = [servers.node(1), servers.node(2), servers.node(3)].join(",");
    let home = Home::new(&nodes, "quickpe");
    home.done(&["migrate"]);
    let node = home.serve();
    let people = home.people(2, "1000.00");
    let till = Till {
        payer: people[0].1.clone(),
        payee: people[1].0.clone(),
        url: node.url.clone(),
        // The node closes a connection on which nothing is asked for 10 s, which killing and reviving servers take.
        client: reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap(),
    };
    let mut payments = 0..;
    for key in payments.by_ref().take(10) {
        till.insist(key).await;
    }

    healthy(&node, &WHOLE).await;

    servers.fault("kill", 3);
    healthy(&node, &SHORT).await;
    counted(&node).await;
    for key in payments.by_ref().take(10) {
        till.insist(key).await;
    }

    servers.fault("kill", 2);
    healthy(&node, &GONE).await;
    let till = std::sync::Arc::new(till);
    let mut asked = JoinSet::new();
    let open: Vec<u64> = payments.by_ref().take(8).collect();
    for key in open.clone() {
        let till = std::sync::Arc::clone(&till);
        asked.spawn(async move { till.pay(key).await });
    }
    for (status, body) in asked.join_all().await {
        eprintln!("with two of three gone: {status} {}", body["code"]);
        is_clear(status, &body);
    }

    servers.fault("revive", 2);
    healthy(&node, &SHORT).await;
    for key in open {
        till.insist(key).await;
    }
    settled(&node, &people, 28).await;
    for key in payments.by_ref().take(2) {
        till.insist(key).await;
    }
    settled(&node, &people, 30).await;
    servers.fault("revive", 3);
    healthy(&node, &WHOLE).await;
    node.stop();
    home.done(&["verify"]);
}
