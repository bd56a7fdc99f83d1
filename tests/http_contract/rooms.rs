//! Rooms from making to closing, notices, and servers with keys.

use protocol::http::IDEMPOTENCY_KEY;
use quickpe::http::server::{Scope, ServerKeyConfig};
use reqwest::Method;
use serde_json::{Value, json};

use crate::node::{Answer, Somebody, TestNode, answer};

async fn call(node: &TestNode, method: Method, who: &Somebody, route: &str, body: Value) -> Answer {
    answer(node.request(method, route).bearer_auth(&who.token).json(&body)).await
}

async fn history(node: &TestNode, who: &Somebody, room: &str, query: &str) -> Value {
    node.get(who, &format!("/rooms/{room}/messages{query}")).await.expect(200)
}

/// A group of Asha's, with Bela in it.
async fn group(node: &TestNode, asha: &Somebody, bela: &Somebody) -> String {
    let body = json!({"kind": "group", "name": "Lunch"});
    let made = node.keyed(asha, "/rooms", "lunch", body.clone()).await.expect(201);
    let room = made["room"].as_str().unwrap().to_owned();
    assert_eq!(node.keyed(asha, "/rooms", "lunch", body).await.expect(201)["room"], made["room"], "one key, one room");
    assert_eq!(node.post(bela, &format!("/rooms/{room}/join"), json!({})).await.code(403), "not_a_member");
    node.post(asha, &format!("/rooms/{room}/invite"), json!({"user": bela.handle})).await.expect(201);
    assert_eq!(node.get(bela, "/rooms").await.expect(200)["rooms"][0]["invited"], true);
    node.post(bela, &format!("/rooms/{room}/join"), json!({})).await.expect(201);
    room
}

#[tokio::test(flavor = "multi_thread")]
async fn people_make_a_group_and_talk_in_it() {
    let node = TestNode::start().await;
    let (asha, bela, chand) = (node.sign_up("Asha").await, node.sign_up("Bela").await, node.sign_up("Chand").await);
    let room = group(&node, &asha, &bela).await;
    let messages = format!("/rooms/{room}/messages");

    let said = node.keyed(&asha, &messages, "k1", json!({"body": {"text": "hello"}})).await;
    assert_eq!(said.headers.get("idempotency-replayed"), None);
    let offset = said.expect(201)["offset"].as_u64().unwrap();
    let again = node.keyed(&asha, &messages, "k1", json!({"body": {"text": "hello"}})).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(201)["offset"], offset);
    let other = node.keyed(&asha, &messages, "k1", json!({"body": {"text": "other"}})).await;
    assert_eq!(other.code(422), "idempotency_key_reused");
    let second = node.post(&bela, &messages, json!({"body": "secret"})).await.expect(201)["offset"].clone();

    // A stranger is not told that there is a room.
    assert_eq!(node.get(&chand, &format!("/rooms/{room}")).await.code(404), "not_found");
    assert_eq!(node.get(&chand, &messages).await.code(404), "not_found");
    assert_eq!(node.post(&chand, &messages, json!({"body": 1})).await.code(403), "not_a_member");

    let mine = node.get(&bela, "/rooms").await.expect(200);
    let of_bela = &mine["rooms"][0];
    assert_eq!((&of_bela["name"], &of_bela["unread"], &of_bela["members"]), (&json!("Lunch"), &json!(2), &json!(2)));
    let read = call(&node, Method::PUT, &bela, &format!("/rooms/{room}/read"), json!({"upto": offset})).await;
    assert_eq!(read.expect(200), json!({"upto": offset, "unread": 1}));
    let back = call(&node, Method::PUT, &bela, &format!("/rooms/{room}/read"), json!({"upto": 1})).await;
    assert_eq!(back.expect(200)["upto"], offset, "a read mark never goes back");

    let first = format!("{messages}/{offset}");
    assert_eq!(call(&node, Method::PATCH, &bela, &first, json!({"body": "mine"})).await.code(403), "forbidden");
    call(&node, Method::PATCH, &asha, &first, json!({"body": {"text": "hi"}})).await.expect(201);
    call(&node, Method::DELETE, &bela, &format!("{messages}/{second}"), json!({})).await.expect(201);
    let page = history(&node, &bela, &room, "?after=0&limit=100").await;
    let events = page["events"].as_array().unwrap();
    let offsets: Vec<_> = events.iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "dense from 1");
    assert_eq!((&page["floor"], page["offset"].as_u64()), (&json!(0), offsets.last().copied()));
    let at = |offset: u64| &events[usize::try_from(offset).unwrap() - 1];
    let edited = at(offset);
    assert_eq!((&edited["event"], &edited["data"]["room"]), (&json!("message:new"), &json!(room)));
    assert_eq!((&edited["data"]["body"], &edited["data"]["edited"]), (&json!({"text": "hi"}), &json!(true)));
    assert_eq!(edited["id"], format!("{}-{offset}", room.replace('-', "")));
    assert_eq!(edited["at"], edited["data"]["timestamp"]);
    let deleted = at(second.as_u64().unwrap());
    assert_eq!((&deleted["data"]["body"], &deleted["data"]["gone"]), (&Value::Null, &json!("deleted")));
    let newest = history(&node, &asha, &room, "?limit=1").await;
    let newest = &newest["events"][0];
    assert_eq!((&newest["event"], &newest["data"]["deleted"]), (&json!("message:update"), &json!(true)));

    node.post(&asha, &format!("/rooms/{room}/mute"), json!({"user": bela.id, "forMs": 60_000})).await.expect(201);
    assert_eq!(node.post(&bela, &messages, json!({"body": 1})).await.code(403), "muted");
    node.post(&asha, &format!("/rooms/{room}/kick"), json!({"user": bela.id})).await.expect(201);
    assert_eq!(node.get(&bela, &messages).await.code(404), "not_found");
    call(&node, Method::DELETE, &asha, &format!("/rooms/{room}"), json!({})).await.expect(201);
    assert_eq!(node.post(&asha, &messages, json!({"body": 1})).await.code(409), "room_closed");
    assert_eq!(node.post(&asha, &messages, json!({"body": "x".repeat(17_000)})).await.code(400), "validation_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_have_one_room_and_may_block_each_other() {
    let node = TestNode::start().await;
    let (asha, bela) = (node.sign_up("Asha").await, node.sign_up("Bela").await);
    let direct = |with: &Somebody| json!({"kind": "direct", "with": with.email});
    let room = node.post(&asha, "/rooms", direct(&bela)).await.expect(201)["room"].clone();
    assert_eq!(node.post(&bela, "/rooms", direct(&asha)).await.expect(201)["room"], room);
    assert_eq!(node.post(&asha, "/rooms", direct(&asha)).await.code(400), "validation_failed");
    let messages = format!("/rooms/{}/messages", room.as_str().unwrap());
    node.post(&asha, &messages, json!({"body": "hello"})).await.expect(201);
    let block = format!("/user/{}/block", asha.handle);
    node.post(&bela, &block, json!({})).await.expect(201);
    assert_eq!(node.post(&asha, &messages, json!({"body": "again"})).await.code(403), "blocked");
    let lunch = node.post(&asha, "/rooms", json!({"kind": "group"})).await.expect(201)["room"].clone();
    let invite = format!("/rooms/{}/invite", lunch.as_str().unwrap());
    assert_eq!(node.post(&asha, &invite, json!({"user": bela.id})).await.code(403), "blocked");
    call(&node, Method::DELETE, &bela, &block, json!({})).await.expect(201);
    node.post(&asha, &messages, json!({"body": "again"})).await.expect(201);
    let of_bela = node.get(&bela, "/rooms").await.expect(200);
    assert_eq!(of_bela["rooms"][0]["with"]["name"], "Asha Rao");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_are_one_list_of_what_is_told_and_credited() {
    let node = TestNode::start().await;
    let (asha, bela) = (node.with_money("Asha", 100).await, node.sign_up("Bela").await);
    let told = node.post(&bela, "/notifications/test", json!({})).await.expect(200);
    let id = told["notification"]["id"].as_str().unwrap().to_owned();
    node.post(&asha, "/account/transfer", json!({"to": bela.handle, "amount": 5})).await.expect(201);
    // Statements wait for what one did oneself; a notice of what another did comes when the views have it.
    let list = loop {
        node.get(&bela, "/account/transactions").await.expect(200);
        let list = node.get(&bela, "/notifications").await.expect(200);
        if list["unread"] == 2 {
            break list;
        }
        tokio::task::yield_now().await;
    };
    let kinds: Vec<_> = list["notifications"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["credit", "test"], "newest first");
    assert!(list["notifications"][0]["message"].as_str().unwrap().contains("Asha Rao"));
    let patch = |id: &str| call_owned(&node, Method::PATCH, &bela, format!("/notifications/{id}/read"));
    assert_eq!(patch(&id).await.expect(200)["notification"]["read"], true);
    assert_eq!(patch("nonsense").await.code(404), "not_found");
    let unread = node.get(&bela, "/notifications?unread=true").await.expect(200);
    assert_eq!((&unread["unread"], unread["notifications"].as_array().unwrap().len()), (&json!(1), 1));
    let theirs = call_owned(&node, Method::PATCH, &asha, format!("/notifications/{id}/read")).await;
    assert_eq!(theirs.code(404), "not_found", "a notice is one person's");
    node.post(&bela, "/notifications/read-all", json!({})).await.expect(200);
    assert_eq!(node.get(&bela, "/notifications").await.expect(200)["unread"], 0);
}

async fn call_owned(node: &TestNode, method: Method, who: &Somebody, route: String) -> Answer {
    answer(node.request(method, &route).bearer_auth(&who.token)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_key_opens_what_its_scopes_say() {
    let secret = "s".repeat(40);
    let keys = vec![
        ServerKeyConfig {
            name: "bank".to_owned(),
            secret: secret.clone(),
            scopes: vec![Scope::Publish, Scope::Notify, Scope::Broadcast],
        },
        ServerKeyConfig { name: "none".to_owned(), secret: "n".repeat(40), scopes: Vec::new() },
    ];
    let node = TestNode::start_with(|config| config.server.keys = keys).await;
    let asha = node.sign_up("Asha").await;
    let ask = |secret: &str, route: &str, key: &str, body: Value| {
        let request = node.request(Method::POST, route).bearer_auth(secret).header(IDEMPOTENCY_KEY, key);
        answer(request.json(&body))
    };
    let body = json!({"body": {"text": "maintenance at 3"}});
    assert_eq!(ask("wrong", "/server/rooms", "k", json!({})).await.code(401), "token_invalid");
    assert_eq!(ask(&"n".repeat(40), "/server/rooms", "k", json!({})).await.code(403), "forbidden");
    assert_eq!(ask(&asha.token, "/server/rooms", "k", json!({})).await.code(401), "token_invalid");
    let room = ask(&secret, "/server/rooms", "k", json!({})).await.expect(201)["room"].as_str().unwrap().to_owned();
    let messages = format!("/server/rooms/{room}/messages");
    let first = ask(&secret, &messages, "m", body.clone()).await.expect(201);
    assert_eq!(ask(&secret, &messages, "m", body.clone()).await.expect(201), first);
    let read = history(&node, &asha, &room, "?after=0").await;
    assert_eq!(read["events"][1]["data"]["body"]["text"], "maintenance at 3", "anybody reads a broadcast");
    assert_eq!(node.post(&asha, &format!("/rooms/{room}/messages"), body.clone()).await.code(403), "forbidden");

    ask(&secret, "/server/roles/user/messages", "r", body.clone()).await.expect(201);
    ask(&secret, "/server/regions/in-mh/messages", "r", body).await.expect(201);
    let notice = json!({"type": "kyc", "title": "Documents", "message": "Please upload them."});
    ask(&secret, &format!("/server/users/{}/notices", asha.id), "n", notice.clone()).await.expect(201);
    let rooms = node.get(&asha, "/rooms").await.expect(200);
    let kinds: Vec<_> = rooms["rooms"].as_array().unwrap().iter().map(|room| &room["kind"]).collect();
    assert_eq!(kinds, ["user", "role"]);
    let list = node.get(&asha, "/notifications").await.expect(200);
    assert_eq!((&list["unread"], &list["notifications"][0]["title"]), (&json!(1), &json!("Documents")));
    let nobody = format!("/server/users/{}/notices", uuid::Uuid::nil());
    assert_eq!(ask(&secret, &nobody, "n", notice).await.code(404), "not_found");
    let disconnect = node.request(Method::DELETE, &format!("/server/users/{}/sessions", asha.id)).bearer_auth(&secret);
    assert_eq!(answer(disconnect).await.code(403), "forbidden");
}
