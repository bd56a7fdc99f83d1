//! Many at once: one key has one effect, and everybody reads their own writes.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::node::{Somebody, TestNode};

/// People who write and read at once.
const PEOPLE: usize = 50;
/// How often each writes and reads: ten thousand times in all.
const WRITES: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_of_one_key_do_one_thing() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.with_money("Asha", 100).await, node.sign_up("Ravi").await);
    let body = json!({"to": ravi.handle, "amount": 1});
    let calls = (0..100).map(|_| node.keyed(&asha, "/account/transfer", "same", body.clone()));
    let answers = join_all(calls).await;
    let replayed = answers.iter().filter_map(|answer| answer.headers.get("idempotency-replayed"));
    assert_eq!(replayed.map(|value| value.to_str().unwrap()).collect::<Vec<_>>(), ["true"; 99]);
    let told: HashSet<_> = answers.into_iter().map(|answer| told(&answer.expect(201))).collect();
    assert_eq!(told.len(), 1, "all answers agree: {told:?}");
    assert_eq!(node.balance(&ravi).await["balanceMinor"], 100);
    assert_eq!(node.balance(&asha).await["balanceMinor"], 9_900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_of_one_request() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.with_money("Asha", 100).await, node.sign_up("Ravi").await);
    // Half with one body, half with another: whichever is first, the others of its kind replay it.
    let body = |number: usize| json!({"to": ravi.handle, "amount": 1 + number % 2});
    let answers = join_all((0..100).map(|number| node.keyed(&asha, "/account/transfer", "same", body(number)))).await;
    let (mut done, mut refused) = (HashSet::new(), 0);
    for answer in answers {
        if answer.status == 201 {
            done.insert(told(&answer.body));
        } else {
            assert_eq!(answer.code(422), "idempotency_key_reused");
            refused += 1;
        }
    }
    assert_eq!((done.len(), refused), (1, 50));
    let paid = node.balance(&ravi).await["balanceMinor"].as_i64().unwrap();
    assert!(paid == 100 || paid == 200, "one of the two happened, once: {paid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_use_a_key_up() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.sign_up("Asha").await, node.sign_up("Ravi").await);
    let body = json!({"to": ravi.handle, "amount": 5});
    let pay = || node.keyed(&asha, "/account/transfer", "same", body.clone());
    for refused in join_all((0..100).map(|_| pay())).await {
        assert_eq!(refused.code(422), "insufficient_funds");
    }
    node.post(&asha, "/account/deposit", json!({"amount": 7})).await.expect(201);
    let answers = join_all((0..100).map(|_| pay())).await;
    let new = answers.iter().filter(|answer| !answer.headers.contains_key("idempotency-replayed")).count();
    assert_eq!(new, 1);
    let told: HashSet<_> = answers.into_iter().map(|answer| told(&answer.expect(201))).collect();
    assert_eq!(told.len(), 1, "all answers agree: {told:?}");
    assert_eq!(node.balance(&asha).await["balanceMinor"], 200);
    // Spent since: the answer is the one of then.
    node.post(&asha, "/account/withdraw", json!({"amount": 2})).await.expect(201);
    assert_eq!(pay().await.expect(201)["balanceMinor"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_writes_are_read_by_who_wrote_them() {
    let node = Arc::new(TestNode::start().await);
    let people = (0..PEOPLE).map(|number| {
        let node = Arc::clone(&node);
        async move { node.with_money(&format!("P{number}"), 1).await }
    });
    let people: Arc<Vec<Somebody>> = Arc::new(join_all(people).await);
    let writers = (0..PEOPLE).map(|number| {
        let (node, people) = (Arc::clone(&node), Arc::clone(&people));
        tokio::spawn(async move {
            let (me, payee) = (&people[number], &people[(number + 1) % PEOPLE]);
            for write in 0..WRITES {
                // In turns, so that nobody runs out; while one pays, another pays them.
                let answer = if write % 2 == 0 {
                    node.post(me, "/account/deposit", json!({"amount": 1})).await
                } else {
                    node.post(me, "/account/transfer", json!({"to": payee.handle, "amount": 1})).await
                };
                assert!(answer.status == 201 || answer.status == 202, "{answer:?}");
                read_back(&node, me, &answer.body["transaction"]).await;
            }
        })
    });
    for written in join_all(writers).await {
        written.unwrap();
    }
    let mut sum = 0;
    for person in people.iter() {
        sum += node.balance(person).await["balanceMinor"].as_i64().unwrap();
    }
    // One each to begin with and one for every other write; transfers change nothing.
    assert_eq!(sum, i64::try_from(PEOPLE * (1 + WRITES / 2) * 100).unwrap());
}

/// The balance and the statement hold what was written, whatever came since.
async fn read_back(node: &TestNode, me: &Somebody, written: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let balance = node.balance(me).await;
    assert!(number(&balance["offset"]) >= number(&written["offset"]), "stale: {balance} behind {written}");
    if balance["offset"] == written["offset"] {
        assert_eq!(balance["balanceMinor"], written["balanceAfterMinor"]);
    }
    let mut route = "/account/transactions?limit=5".to_owned();
    loop {
        let page = node.get(me, &route).await.expect(200);
        let entries = page["transactions"].as_array().unwrap();
        let newest = number(&entries[0]["entry"]);
        assert!(newest >= number(&written["entry"]) || route.contains("cursor"), "stale: {page} without {written}");
        if let Some(found) = entries.iter().find(|entry| entry["id"] == written["id"]) {
            for field in ["entry", "offset", "amountMinor", "balanceAfterMinor", "type", "kind"] {
                assert_eq!(found[field], written[field], "{field}");
            }
            return;
        }
        // So much was paid to them since that it is further down.
        let cursor = page["nextCursor"].as_str().unwrap_or_else(|| panic!("{written} is not in the statement"));
        route = format!("/account/transactions?limit=5&cursor={cursor}");
    }
}

/// What an answer says that never changes: its status may.
fn told(answer: &Value) -> String {
    let transaction = &answer["transaction"];
    let fields = ["id", "entry", "offset", "amountMinor", "balanceAfterMinor", "timestamp"];
    let fields: Vec<_> = fields.iter().map(|field| transaction[field].to_string()).collect();
    format!("{} {}", answer["balanceMinor"], fields.join(" "))
}
