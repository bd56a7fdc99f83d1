//! A dead letter from its making to its end, and a session that says nothing.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::process::{Node, code, run, said};

/// Times so short that nobody waits for them.
const FAST: [(&str, &str); 3] = [
    ("QUICKPE_DELIVERY__MONEY__ACK_TIMEOUT_MS", "300"),
    ("QUICKPE_DELIVERY__MONEY__BACKOFF_MS", "100"),
    ("QUICKPE_DELIVERY__MONEY__RETRIES", "2"),
];

/// Somebody who is signed up: their id and access token.
pub(crate) async fn sign_up(node: &Node, name: &str) -> (String, String) {
    let body = json!({"firstName": name, "lastName": "Rao", "email": format!("{name}@example.com"),
        "password": "correct horse"});
    let (status, signed) = node.post("/api/v1/auth/signup", "", body).await;
    assert_eq!(status, StatusCode::CREATED, "{signed}");
    (signed["user"]["id"].as_str().unwrap().to_owned(), signed["token"].as_str().unwrap().to_owned())
}

async fn administrator(node: &Node, data: &std::path::Path) -> String {
    sign_up(node, "admin").await;
    let granted = run(data, &["admin", "grant", "admin@example.com", "admin"]);
    assert_eq!(code(&granted), 0, "{}", said(&granted));
    let body = json!({"email": "admin@example.com", "password": "correct horse"});
    let (_, signed) = node.post("/api/v1/auth/signin", "", body).await;
    signed["token"].as_str().unwrap().to_owned()
}

async fn deposit(node: &Node, token: &str) {
    let (status, body) = node.post("/api/v1/account/deposit", token, json!({"amount": 1})).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
}

/// Asks until `wanted` holds of the answer.
async fn asked(node: &Node, path: &str, token: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let (status, body) = node.get(path, token).await;
        if status == StatusCode::OK && wanted(&body) {
            return body;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{path} never says what it should");
}

fn has_items(count: usize) -> impl Fn(&Value) -> bool {
    move |body| body["items"].as_array().is_some_and(|items| items.len() == count)
}

#[tokio::test]
async fn a_dead_letter_is_made_listed_redriven_and_resolved() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &FAST);
    let admin = administrator(&node, data.path()).await;
    let (user, token) = sign_up(&node, "ravi").await;
    let (mut phone, subscribed) = Client::follow(&node.url, &token, "phone").await;
    let start = subscribed["head"].as_u64().unwrap();

    // The account's opening may be its first event.
    deposit(&node, &token).await;
    let mut refused = phone.message().await;
    if refused["event"] != "transaction:new" {
        phone.ack(refused["offset"].as_u64().unwrap()).await;
        refused = phone.message().await;
    }
    let offset = refused["offset"].as_u64().unwrap();
    assert!(offset > start, "{refused}");
    let nack = json!({"type": "nack", "stream": "account", "offset": offset, "code": "cannot_show", "terminal": true});
    phone.say(&nack).await;

    let list = format!("/api/v1/admin/dead-letters?user={user}&class=money&reason=refused&open=true");
    let letters = asked(&node, &list, &admin, has_items(1)).await;
    let letter = &letters["items"][0];
    assert_eq!((letter["kind"].as_str(), letter["reason"].as_str()), (Some("delivery"), Some("refused")), "{letter}");
    assert_eq!((letter["lastError"].as_str(), letter["attempts"].as_u64()), (Some("cannot_show"), Some(1)), "{letter}");
    assert_eq!(letter["offsets"], json!({"from": offset, "to": offset}));
    assert_eq!(letter["userId"], user.as_str());
    assert!(letter["data"].is_null() && letter["resolvedAt"].is_null(), "it says where, not what: {letter}");
    assert_eq!(node.get(&list, &token).await.0, StatusCode::FORBIDDEN);

    // Offered again: the same message, the same id, another attempt.
    let one = format!("/api/v1/admin/dead-letters/{}", letter["id"].as_str().unwrap());
    let (status, redriven) = node.post(&format!("{one}/redrive"), &admin, json!({})).await;
    assert_eq!((status, redriven["redrive"].as_bool()), (StatusCode::OK, Some(true)), "{redriven}");
    let again = phone.message().await;
    assert_eq!(
        (&again["id"], &again["data"], &again["offset"]),
        (&refused["id"], &refused["data"], &refused["offset"])
    );
    assert_eq!(again["attempt"], 2, "{again}");
    phone.ack(offset).await;
    let resolved = asked(&node, &one, &admin, |letter| !letter["resolvedAt"].is_null()).await;
    assert!(resolved["redrive"].is_null(), "{resolved}");
    asked(&node, &list, &admin, has_items(0)).await;
    let (status, problem) = node.post(&format!("{one}/redrive"), &admin, json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::CONFLICT, Some("not_redrivable")));

    // Another, whose device is gone when it is redriven: it comes when the device comes back.
    deposit(&node, &token).await;
    let second = phone.message().await;
    let offset = second["offset"].as_u64().unwrap();
    phone.say(&json!({"type": "nack", "stream": "account", "offset": offset, "code": "x", "terminal": true})).await;
    asked(&node, &list, &admin, has_items(1)).await;
    drop(phone);
    let (status, job) =
        node.post("/api/v1/admin/dead-letters/redrive", &admin, json!({"user": user, "reason": "refused"})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{job}");
    let progress = format!("/api/v1/admin/dead-letters/redrive/{}", job["job"].as_str().unwrap());
    let done = asked(&node, &progress, &admin, |job| job["done"] == true).await;
    assert_eq!((done["redriven"].as_u64(), done["skipped"].as_u64()), (Some(1), Some(0)), "{done}");
    let (mut phone, _) = Client::follow(&node.url, &token, "phone").await;
    let again = phone.until(|frame| frame["offset"] == offset && frame["attempt"].as_u64() > Some(1)).await;
    assert_eq!(again["id"], second["id"]);
    phone.ack(offset).await;
    asked(&node, &list, &admin, has_items(0)).await;

    let counts = asked(&node, "/api/v1/admin/delivery", &admin, |counts| counts["classes"][0]["delivered"] != 0).await;
    let money = &counts["classes"][0];
    assert_eq!((money["class"].as_str(), money["dead"].as_u64()), (Some("money"), Some(2)), "{counts}");
    assert!(money["p99Ms"].as_u64().is_some() && money["sent"].as_u64() >= Some(2), "{counts}");

    let purged = reqwest::Client::new().delete(format!("{}{one}", node.url)).bearer_auth(&admin);
    assert_eq!(purged.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(node.get(&one, &admin).await.0, StatusCode::NOT_FOUND);
    let log = std::fs::read_to_string(data.path().join("stderr.log")).unwrap();
    assert!(log.contains("a dead letter is redriven") && log.contains("a dead letter is purged"), "{log}");
    node.stop();
}

#[tokio::test]
async fn a_session_that_acknowledges_nothing_is_closed_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &FAST);
    let (_, token) = sign_up(&node, "ravi").await;
    deposit(&node, &token).await;
    let (silent, subscribed) = Client::follow(&node.url, &token, "phone").await;
    deposit(&node, &token).await;
    let offset = subscribed["head"].as_u64().unwrap() + 1;
    assert_eq!(silent.closed().await, (4408, vec![(offset, 1), (offset, 2), (offset, 3)]));
    // Nothing is dead, no place has moved: it comes again.
    let (mut phone, subscribed) = Client::follow(&node.url, &token, "phone").await;
    assert_eq!(subscribed["from"].as_u64(), Some(offset - 1));
    let message = phone.message().await;
    assert_eq!((message["offset"].as_u64(), message["attempt"].as_u64()), (Some(offset), None));
    node.stop();
}
