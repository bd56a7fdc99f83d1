//! Nodes whose clocks are hours wrong serve one store, one after the other: nothing that was answered is lost or hidden.
//!
//! Rows of views are stamped, and of two rows with one key the store shows the one with the later stamp, whoever wrote
//! last. So the stamps of a shard must go on from the last ones, though the next node's clock is hours behind them. The
//! wrong clocks are those of libfaketime (`ops/setup`), which leaves time-outs and waits as they are.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use storage_cql::{Connection, CqlConfig};

use crate::client::Client;
use crate::home::{ALONE, Home};
use crate::process::{Node, clock};
use crate::servers;

/// People who pay one another in a ring.
const PEOPLE: usize = 6;

/// What everybody has at first, in minor units.
const BALANCE: i64 = 100_000;

/// The clock of what the home runs from now on.
fn set_clock(home: &mut Home, by: &str) {
    for (name, value) in clock(by) {
        home.set(name, value);
    }
}

/// What was answered so far, by whatever node.
struct Told {
    people: Vec<(String, String)>,
    rounds: usize,
    /// The ids of everybody's transactions.
    transactions: Vec<BTreeSet<String>>,
    /// Up to which offset the first person's device has applied all.
    applied: u64,
}

impl Told {
    fn new(people: Vec<(String, String)>) -> Self {
        Self { transactions: vec![BTreeSet::new(); people.len()], people, rounds: 0, applied: 0 }
    }

    fn token(&self, person: usize) -> &str {
        &self.people[person].1
    }

    /// Everybody pays the next one, the first person gets another name and their device takes in what it hears. Then
    /// all is looked at that was ever answered.
    async fn round(&mut self, node: &Node) {
        let (mut device, subscribed) = Client::follow(&node.url, self.token(0), "phone").await;
        if self.rounds > 0 {
            assert_eq!(subscribed["from"], self.applied, "a place is where it was left: {subscribed}");
        }
        self.rounds += 1;
        for payer in 0..PEOPLE {
            let payee = (payer + 1) % PEOPLE;
            let amount = format!("0.0{}", payer + 1);
            let body = json!({"to": self.people[payee].0, "amount": amount});
            let (status, body) = node.post("/api/v1/account/transfer", self.token(payer), body).await;
            assert_eq!(status, StatusCode::CREATED, "{body}");
            let id = body["transaction"]["id"].as_str().unwrap();
            for party in [payer, payee] {
                self.transactions[party].insert(id.to_owned());
            }
        }
        let name = json!({"firstName": name_after(self.rounds)});
        let request = reqwest::Client::new().patch(format!("{}/api/v1/user/me", node.url)).bearer_auth(self.token(0));
        let changed = request.json(&name).send().await.unwrap();
        assert_eq!(changed.status(), StatusCode::OK, "{}", changed.text().await.unwrap());

        // The payment and the one that came in.
        let head = subscribed["head"].as_u64().unwrap() + 2;
        while device.message().await["offset"] != head {}
        device.ack(head).await;
        drop(device);
        self.applied = head;
        self.look(node).await;
    }

    async fn look(&self, node: &Node) {
        for (person, expected) in self.transactions.iter().enumerate() {
            // What goes out is one minor unit more than what comes in, and for the first it is less.
            let rounds = i64::try_from(self.rounds).unwrap();
            let a_round = if person == 0 { i64::try_from(PEOPLE).unwrap() - 1 } else { -1 };
            assert_eq!(node.balance(self.token(person)).await, BALANCE + rounds * a_round, "person {person}");
            let (status, body) = node.get("/api/v1/account/transactions?limit=100", self.token(person)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let listed = body["transactions"].as_array().unwrap();
            let ids: BTreeSet<_> = listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
            assert!(ids.is_superset(expected), "person {person} misses transactions: {body}");
            assert_eq!(ids.len(), expected.len() + 1, "and beside these there is what everybody began with");
        }
        for rounds in 1..=self.rounds {
            let filter = json!({"filter": name_after(rounds)});
            let (status, body) = node.post("/api/v1/user/bulk", self.token(1), filter).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let found: Vec<_> = body["users"].as_array().unwrap().iter().map(|user| &user["id"]).collect();
            let expected: Vec<Value> =
                if rounds == self.rounds { vec![self.people[0].0.clone().into()] } else { Vec::new() };
            assert_eq!(found, expected.iter().collect::<Vec<_>>(), "by the name of round {rounds}");
        }
    }
}

/// The first person's name after so many rounds: no beginning of another one.
fn name_after(rounds: usize) -> String {
    format!("{}quilla", char::from(b'a' + u8::try_from(rounds).unwrap()))
}

#[tokio::test]
async fn nothing_is_lost_or_hidden_when_the_next_nodes_clock_is_hours_behind() {
    let _alone = ALONE.lock().await;
    let server = servers::shared_node();
    let config = CqlConfig { nodes: vec![server.clone()], ..CqlConfig::default() };
    let connection = Connection::open(&config).await.unwrap();
    connection.execute("DROP KEYSPACE IF EXISTS quickpe_skewed").await.unwrap();
    // Tokens are good by every clock, or people would have to sign in again and again.
    let mut home = Home::new(&server, "quickpe_skewed").with("QUICKPE_AUTH__ACCESS_SECONDS", "86400");
    home.done(&["migrate"]);
    let node = home.serve();
    let mut told = Told::new(home.people(PEOPLE, "1000.00"));
    told.round(&node).await;
    node.stop();

    set_clock(&mut home, "+3h");
    let node = home.serve();
    told.round(&node).await;
    node.stop();

    // Whose clock is wrong a node cannot know: somebody has to say.
    for by in ["+0", "-3h"] {
        set_clock(&mut home, by);
        home.refused(&["serve"], 1, "ahead of the clock; set the clock, or start with --accept-clock");
    }
    for by in ["+0", "-3h", "+1h", "+0"] {
        set_clock(&mut home, by);
        let node = home.serve_with(&["--accept-clock"]);
        told.round(&node).await;
        node.stop();
    }
    assert!(home.done(&["verify"]).contains("every invariant holds"));
    home.done(&["rebuild-views"]);
    assert!(home.done(&["verify"]).contains("every invariant holds"));
    let node = home.serve_with(&["--accept-clock"]);
    told.look(&node).await;
    node.stop();
}
