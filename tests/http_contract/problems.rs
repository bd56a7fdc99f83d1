//! What no handler sees: bodies, routes, limits, ids of requests.

use reqwest::Method;
use serde_json::json;

use crate::node::{Answer, TestNode, answer};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_problems() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    let post = |body: Vec<u8>, kind: &'static str| {
        let request = node.request(Method::POST, "/account/deposit").bearer_auth(&asha.token);
        answer(request.header("content-type", kind).body(body))
    };
    let json = "application/json";
    for (body, kind, status, code) in [
        (b"".to_vec(), json, 400, "malformed"),
        (b"{".to_vec(), json, 400, "malformed"),
        (b"\xff\xfe".to_vec(), json, 400, "malformed"),
        (b"{}".to_vec(), json, 400, "validation_failed"),
        (br#"{"amount":true}"#.to_vec(), json, 400, "validation_failed"),
        (br#"{"amount":1e400}"#.to_vec(), json, 400, "validation_failed"),
        (br#"{"amount":1}"#.to_vec(), "text/plain", 415, "unsupported_media_type"),
        (vec![b' '; 65 << 10], json, 413, "too_large"),
        (vec![b' '; 1 << 20], json, 413, "too_large"),
    ] {
        let length = body.len();
        assert_eq!(post(body, kind).await.code(status), code, "{length} bytes");
    }
    assert_eq!(node.balance(&asha).await["balanceMinor"], 0);
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000)).into_bytes();
    assert_eq!(post(deep, json).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_1_to_128_visible_characters() {
    let node = TestNode::start_with(|config| config.http.idempotency_key_required = Some(true)).await;
    let asha = node.sign_up("Asha").await;
    let body = json!({"amount": 1});
    assert_eq!(node.post(&asha, "/account/deposit", body.clone()).await.code(400), "idempotency_key_required");
    for key in ["", "a b", &"k".repeat(129)] {
        assert_eq!(node.keyed(&asha, "/account/deposit", key, body.clone()).await.code(400), "idempotency_key_invalid");
    }
    node.keyed(&asha, "/account/deposit", &"k".repeat(128), body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_problem() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    assert_eq!(node.get(&asha, "/nowhere").await.code(404), "not_found");
    assert_eq!(node.get(&asha, "//nowhere").await.code(404), "not_found");
    let method = answer(node.request(Method::DELETE, "/account/balance")).await;
    assert_eq!(method.code(405), "method_not_allowed");
    assert_eq!(method.headers["allow"], "GET,HEAD");
    assert_eq!(node.get(&asha, "/account/transactions/not-an-id").await.code(404), "not_found");
    assert_eq!(node.get(&asha, "/account/holds/not-an-id").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_id() {
    let node = TestNode::start().await;
    let with = |id: &'static str| answer(node.request(Method::GET, "/nowhere").header("x-request-id", id));
    let given = with("mine-1").await;
    assert_eq!(given.code(404), "not_found");
    assert_eq!(given.headers["x-request-id"], "mine-1");
    let made = with("not one").await;
    assert_ne!(made.headers["x-request-id"], "not one");
    assert_eq!(made.headers["x-request-id"].len(), 36);
    assert_eq!(made.headers["cache-control"], "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_span() {
    const CAME_IN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let node = TestNode::start().await;
    for route in ["/nowhere", "/account/balance", "//health", "//metrics", "//api/openapi.json", "//"] {
        let request = || node.request(Method::GET, route);
        let span = |answer: Answer| answer.headers["traceparent"].to_str().unwrap().to_owned();
        let continued = span(answer(request().header("traceparent", CAME_IN)).await);
        assert!(continued.starts_with(&CAME_IN[..36]) && continued.ends_with("-01"), "{route}: {continued}");
        assert_ne!(continued, CAME_IN, "{route}");
        let (one, other) = (span(answer(request()).await), span(answer(request()).await));
        assert!(one[3..35] != other[3..35] && one.ends_with("-00"), "{route}: {one} {other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_may_be_left_out_may_be_null() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    let with = |route: &'static str, body: &'static str| {
        let request = node.request(Method::POST, route).bearer_auth(&asha.token);
        answer(request.header("content-type", "application/json").body(body))
    };
    assert_eq!(with("/account/deposit", "null").await.code(400), "malformed", "this one may not");
    for body in ["[]", "nul", "1"] {
        assert_eq!(with("/auth/signout", body).await.code(400), "malformed", "{body}");
    }
    assert_eq!(with("/auth/signout", " null ").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let node = TestNode::start_with(|config| {
        config.http.requests_per_address_per_minute = Some(20);
        config.http.requests_per_account_per_minute = Some(3);
    })
    .await;
    let asha = node.sign_up("Asha").await;
    for left in (0..3).rev() {
        let answer = node.get(&asha, "/account/balance").await;
        assert_eq!(answer.headers["ratelimit-limit"], "3");
        assert_eq!(answer.headers["ratelimit-remaining"], left.to_string().as_str());
        answer.expect(200);
    }
    let limited = node.get(&asha, "/account/balance").await;
    assert_eq!(limited.code(429), "rate_limited");
    assert!(limited.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 20);
    assert!(limited.headers.contains_key("ratelimit-reset"));
    let mut seen = 0;
    while answer(node.request(Method::GET, "/nowhere")).await.status == 404 {
        seen += 1;
        assert!(seen <= 20, "the address is limited too");
    }
    assert_eq!(answer(node.request(Method::GET, "//health")).await.status, 200, "its keepers are not");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_describes_itself() {
    let node = TestNode::start().await;
    let get = |route: &'static str| answer(node.request(Method::GET, route));
    assert_eq!(get("//").await.headers["location"], "/api/docs");
    let page = get("//api/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.as_str().unwrap().contains("swagger-ui"));
    let document = get("//api/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["components"]["schemas"]["Transaction"].is_object());
    let health = get("//health").await.expect(200);
    assert_eq!(health["status"], "ok", "{health}");
    get("//health/live").await.expect(200);
    get("//health/ready").await.expect(200);
    let metrics = get("//metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
}
