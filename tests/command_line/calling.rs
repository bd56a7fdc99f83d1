//! Calls over the WebSocket: they have what requests over HTTP have.

use std::path::Path;

use domain::ids::ShardCount;
use serde_json::{Value, json};
use storage::embedded::journal::Scan;
use storage::encoding::{self, Item};
use storage::journal::Space;

use crate::process::{Node, Socket, frame, people, send};

/// What a call is answered, messages beside it left out.
async fn call(socket: &mut Socket, call: Value) -> Value {
    send(socket, &call).await;
    loop {
        let heard = frame(socket).await.unwrap();
        if heard["id"] == call["id"] && heard["type"] != "message" {
            return heard;
        }
    }
}

#[tokio::test]
async fn an_error_says_what_is_wrong_with_which_field() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = people(dir.path(), 1, "5.00");
    let mut socket = node.follow(&people[0].1).await;
    for (params, field, code) in [
        (json!({"amount": "1.005"}), "amount", "too_precise"),
        (json!({"amount": [1]}), "amount", "malformed"),
        (json!({}), "amount", "required"),
    ] {
        let deposit = json!({"type": "call", "id": "1", "method": "account.deposit", "params": params});
        let error = call(&mut socket, deposit).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("validation_failed")), "{error}");
        let errors = error["errors"].as_array().unwrap();
        assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!(field), &json!(code)), "{error}");
    }
    let poor = json!({"type": "call", "id": "2", "method": "account.withdraw", "params": {"amount": 6}});
    let error = call(&mut socket, poor).await;
    assert_eq!(error["code"], "insufficient_funds");
    assert_eq!(error.get("errors"), None, "it is not about a field");
    assert_eq!(error.get("transferId"), None, "its outcome is known");
    node.stop();
}

#[tokio::test]
async fn events_keep_the_trace_of_their_request() {
    const BY_HTTP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const BY_CALL: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = people(dir.path(), 1, "5.00");
    let request = reqwest::Client::new().post(format!("{}/api/v1/account/deposit", node.url));
    let request = request.bearer_auth(&people[0].1).header("traceparent", BY_HTTP).json(&json!({"amount": 1}));
    let answer = request.send().await.unwrap();
    let span = answer.headers()["traceparent"].to_str().unwrap();
    assert_eq!((&span[..36], span.len()), (&BY_HTTP[..36], 55), "in the same trace");
    assert_ne!(span, BY_HTTP, "a span of its own");

    let mut socket = node.follow(&people[0].1).await;
    for (id, trace) in [("1", BY_CALL), ("2", "nonsense")] {
        let deposit = json!({"type": "call", "id": id, "method": "account.deposit", "params": {"amount": 1},
            "traceparent": trace});
        assert_eq!(call(&mut socket, deposit).await["type"], "reply");
    }
    node.stop();
    assert_eq!(traces(dir.path()), [BY_HTTP, BY_CALL]);
}

/// The traces of all events of a stopped store, in the journal's order.
fn traces(data: &Path) -> Vec<String> {
    let mut traces = Vec::new();
    for stored in Scan::of_files(data, Space::Ledger, ShardCount::DEFAULT).unwrap() {
        for (_, item) in encoding::read(&stored.unwrap().record.payload).unwrap() {
            if let Item::Event(event) = item {
                traces.extend(event.meta.origin.trace.map(quickpe::trace::text));
            }
        }
    }
    traces
}
