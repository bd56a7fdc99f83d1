//! From a message that nobody takes to the end of its dead letter.

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::hook::{Hook, SECRET};
use crate::process::{Node, code, run, said};

/// Starts a node whose people have a second to take a message, and that tells `hook`.
fn start(data: &Path, hook: &Hook, attempts: &str) -> Node {
    let environment = [
        ("QUICKPE_DELIVERY__MONEY__DEADLINE_MS", "1000"),
        ("QUICKPE_ESCALATION__WEBHOOK__URL", hook.url.as_str()),
        ("QUICKPE_ESCALATION__WEBHOOK__SECRET", SECRET),
        ("QUICKPE_ESCALATION__WEBHOOK__ALLOW_PRIVATE", "true"),
        ("QUICKPE_ESCALATION__WEBHOOK__BACKOFF_MS", "50"),
        ("QUICKPE_ESCALATION__WEBHOOK__ATTEMPTS", attempts),
    ];
    Node::start_with(data, &environment)
}

/// Somebody who is signed up: their id and access token.
async fn sign_up(node: &Node, name: &str) -> (String, String) {
    let body = json!({"firstName": name, "lastName": "Rao", "email": format!("{name}@example.com"),
        "password": "correct horse"});
    let (status, signed) = node.post("/api/v1/auth/signup", "", body).await;
    assert_eq!(status, StatusCode::CREATED, "{signed}");
    (signed["user"]["id"].as_str().unwrap().to_owned(), signed["token"].as_str().unwrap().to_owned())
}

/// Somebody with a role.
async fn with_role(node: &Node, data: &Path, role: &str) -> String {
    sign_up(node, role).await;
    let email = format!("{role}@example.com");
    let granted = run(data, &["admin", "grant", &email, role]);
    assert_eq!(code(&granted), 0, "{}", said(&granted));
    let (_, signed) = node.post("/api/v1/auth/signin", "", json!({"email": email, "password": "correct horse"})).await;
    signed["token"].as_str().unwrap().to_owned()
}

async fn deposit(node: &Node, token: &str) {
    let (status, body) = node.post("/api/v1/account/deposit", token, json!({"amount": 10})).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
}

/// Has a device of somebody follow their account, take all there is, and go away. Answers the stream's head.
async fn was_here(node: &Node, token: &str) -> u64 {
    deposit(node, token).await;
    let (mut phone, subscribed) = Client::follow(&node.url, token, "phone").await;
    let mut head = subscribed["head"].as_u64().unwrap();
    deposit(node, token).await;
    while head < subscribed["head"].as_u64().unwrap() + 1 {
        head = phone.message().await["offset"].as_u64().unwrap();
    }
    phone.ack(head).await;
    phone.say(&json!({"type": "ping", "id": "after the ack"})).await;
    phone.until(|frame| frame["type"] == "pong").await;
    head
}

/// Asks until `wanted` holds of the answer.
async fn asked(node: &Node, path: &str, token: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..600 {
        let (status, body) = node.get(path, token).await;
        if status == StatusCode::OK && wanted(&body) {
            return body;
        }
        last = body;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} never says what it should: {last}");
}

#[tokio::test]
async fn a_message_that_nobody_takes_is_escalated_and_its_way_can_be_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let mut hook = Hook::start(&[500, 302]).await;
    let node = start(data.path(), &hook, "5");
    let (admin, support) =
        (with_role(&node, data.path(), "admin").await, with_role(&node, data.path(), "support").await);
    let (user, ravi) = sign_up(&node, "ravi").await;
    let (_, asha) = sign_up(&node, "asha").await;
    let (_, meera) = sign_up(&node, "meera").await;
    deposit(&node, &asha).await;
    let head = was_here(&node, &ravi).await;

    // Paid while no device is there.
    let (status, paid) = node.post("/api/v1/account/transfer", &asha, json!({"to": user, "amount": 3})).await;
    assert!(status.is_success(), "{paid}");
    let transfer = paid["transaction"]["id"].as_str().unwrap();

    // Refused once, sent elsewhere once, and taken: the same each time, signed anew.
    let posts = [hook.posted().await, hook.posted().await, hook.posted().await];
    let (told, _) = posts[0].verified();
    for post in &posts {
        let (body, seconds) = post.verified();
        assert_eq!((&body, &post.headers["quickpe-escalation"]), (&told, &posts[0].headers["quickpe-escalation"]));
        assert!(seconds > 1_700_000_000, "signed now: {seconds}");
        assert_eq!(post.path, "/hook?of=quickpe");
        assert_eq!(post.headers["content-type"], "application/json");
    }
    assert_eq!(told["event"], "message.undelivered", "{told}");
    assert_eq!((&told["userId"], &told["class"]), (&json!(user), &json!("money")), "{told}");
    assert_eq!(told["offsets"], json!({"from": head + 1, "to": head + 1}), "{told}");
    let message = told["firstMessage"].as_str().unwrap();
    assert!(message.ends_with(&format!("-{}", head + 1)), "{told}");

    // The payer finds the message in their transaction, and sees how far it is, not on which devices.
    let (_, transaction) = node.get(&format!("/api/v1/account/transactions/{transfer}"), &asha).await;
    let legs = transaction["legs"].as_array().unwrap();
    assert!(legs.iter().any(|leg| leg["messageId"] == message), "{transaction}");
    let path = format!("/api/v1/messages/{message}/timeline");
    let escalated = asked(&node, &path, &asha, |timeline| !timeline["escalatedAt"].is_null()).await;
    assert_eq!((escalated["status"].as_str(), &escalated["appliedAt"]), (Some("dead"), &Value::Null), "{escalated}");
    let time = |name: &str| escalated[name].as_str().unwrap().to_owned();
    assert!(time("durableAt") < time("deadline") && time("deadline") <= time("deadAt"), "{escalated}");
    assert!(time("deadAt") <= time("escalatedAt"), "{escalated}");

    // The person's one letter tells of it, and the mail says no more than that.
    let letters = format!("/api/v1/admin/dead-letters?user={user}&open=true");
    let (_, listed) = node.get(&letters, &admin).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let letter = &listed["items"][0];
    assert_eq!((letter["reason"].as_str(), &letter["deviceId"]), (Some("deadline"), &Value::Null), "{letter}");
    assert_eq!((&letter["id"], &letter["offsets"]), (&told["deadLetter"], &told["offsets"]), "{letter}");
    let mails: Vec<_> =
        std::fs::read_dir(data.path().join("mail")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(mails.len(), 1);
    let mail = std::fs::read_to_string(&mails[0]).unwrap();
    assert!(mail.contains("To: ravi@example.com") && mail.contains(told["id"].as_str().unwrap()), "{mail}");
    assert!(!mail.contains("Rao") && !mail.contains("Asha"), "no text of a person's: {mail}");

    // Who may ask.
    let status = async |token: &str, path: &str| node.get(path, token).await;
    assert_eq!(status(&meera, &path).await.0, StatusCode::FORBIDDEN);
    assert_eq!(status("", &path).await.0, StatusCode::UNAUTHORIZED);
    for wrong in ["x".to_owned(), message.replace(&format!("-{}", head + 1), "-999"), message.replace('-', "")] {
        let (status, problem) = status(&admin, &format!("/api/v1/messages/{wrong}/timeline")).await;
        assert_eq!((status, problem["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")), "{wrong}");
    }
    for token in [&admin, &support, &ravi] {
        assert_eq!(status(token, &path).await.0, StatusCode::OK);
    }
    assert_eq!(status(&support, &letters).await.0, StatusCode::FORBIDDEN, "support resolves nothing");

    // A device comes back and takes it: the letter is resolved, the way is told to its end.
    let (mut phone, subscribed) = Client::follow(&node.url, &ravi, "phone").await;
    assert_eq!(subscribed["from"].as_u64(), Some(head));
    let late = phone.message().await;
    assert_eq!(late["id"], message);
    phone.say(&json!({"type": "ack", "stream": "account", "upto": head + 1, "stage": "received"})).await;
    let pending = asked(&node, &path, &ravi, |timeline| !timeline["devices"][0]["receivedAt"].is_null()).await;
    assert_eq!((pending["status"].as_str(), &pending["devices"][0]["appliedAt"]), (Some("dead"), &Value::Null));
    phone.ack(head + 1).await;
    asked(&node, &letters, &admin, |letters| letters["items"].as_array().is_some_and(Vec::is_empty)).await;
    let applied = asked(&node, &path, &ravi, |timeline| timeline["status"] == "applied").await;
    let device = &applied["devices"][0];
    assert_eq!((device["attempts"].as_u64(), device["deviceId"].is_string()), (Some(1), true), "{applied}");
    assert!(device["sentAt"].as_str() <= device["receivedAt"].as_str(), "{applied}");
    assert_eq!((&device["appliedAt"], &applied["deadAt"]), (&applied["appliedAt"], &escalated["deadAt"]), "{applied}");
    let (_, seen) = status(&asha, &path).await;
    assert_eq!((&seen["status"], &seen["devices"][0]["deviceId"]), (&json!("applied"), &Value::Null), "{seen}");
    assert!(hook.is_quiet(), "one escalation a deadline");
    node.stop();
}

#[tokio::test]
async fn what_nobody_can_be_told_of_has_a_dead_letter_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let mut hook = Hook::start(&[503, 503, 503]).await;
    let node = start(data.path(), &hook, "3");
    let admin = with_role(&node, data.path(), "admin").await;
    let (user, ravi) = sign_up(&node, "ravi").await;
    was_here(&node, &ravi).await;
    deposit(&node, &ravi).await;
    let told: Vec<_> = [hook.posted().await, hook.posted().await, hook.posted().await].into();
    let id = told[0].verified().0["id"].clone();
    let list = format!("/api/v1/admin/dead-letters?user={user}&reason=escalation");
    let letters = asked(&node, &list, &admin, |letters| letters["items"][0].is_object()).await;
    let letter = &letters["items"][0];
    assert_eq!((letter["kind"].as_str(), letter["attempts"].as_u64()), (Some("escalation"), Some(3)), "{letter}");
    let message = letter["message"].as_str().unwrap();
    assert!(message.starts_with("status_503 sink=webhook") && message.contains(id.as_str().unwrap()), "{letter}");
    let redrive = format!("/api/v1/admin/dead-letters/{}/redrive", letter["id"].as_str().unwrap());
    let (status, problem) = node.post(&redrive, &admin, json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::CONFLICT, Some("not_redrivable")));
    node.stop();
}

#[tokio::test]
async fn what_is_owed_survives_a_kill_and_who_never_subscribed_is_owed_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut hook = Hook::start(&[]).await;
    let node = start(data.path(), &hook, "5");
    let (user, ravi) = sign_up(&node, "ravi").await;
    let (_, stranger) = sign_up(&node, "stranger").await;
    let head = was_here(&node, &ravi).await;
    // In memory only when the node is killed: nobody has come by yet.
    deposit(&node, &stranger).await;
    deposit(&node, &ravi).await;
    node.signal("KILL");
    node.wait();

    let node = start(data.path(), &hook, "5");
    let (told, _) = hook.posted().await.verified();
    assert_eq!(told["userId"], user.as_str());
    // A place that was not written when the node was killed is owed again.
    assert_eq!(told["offsets"]["to"].as_u64(), Some(head + 1), "{told}");
    assert!(told["offsets"]["from"].as_u64() >= Some(head), "{told}");
    let log = std::fs::read_to_string(data.path().join("stderr.log")).unwrap();
    assert_eq!(log.matches("reason=\"deadline\"").count(), 1, "{log}");
    node.stop();
}
