//! Rooms from outside: who is put out hears nothing more, and who reads nothing holds up nobody.

use std::time::Duration;

use futures_util::SinkExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::process::Node;
use crate::walk::sign_up;

/// How many hear what is said.
const LISTENERS: usize = 24;
/// How many of them read nothing.
const DEAF: usize = 8;
/// How much is said, in bodies of 15 KiB: many times what any outbox and any buffer of a socket takes.
const MESSAGES: u64 = 600;
/// What the node may grow by: what its deaf connections may hold, and as much again for the journal and views.
const GROWTH_MIB_MAX: u64 = 192;

/// A group that its maker made; answers its id.
async fn group(node: &Node, maker: &str) -> String {
    let body = json!({"kind": "group", "name": "Friends", "open": true});
    let (status, made) = node.post("/api/v1/rooms", maker, body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["room"].as_str().unwrap().to_owned()
}

async fn done(node: &Node, path: &str, token: &str, body: Value) -> u64 {
    let (status, answer) = node.post(path, token, body).await;
    assert_eq!(status, StatusCode::CREATED, "{path}: {answer}");
    answer["offset"].as_u64().unwrap()
}

#[tokio::test]
async fn who_is_put_out_is_told_and_hears_nothing_more() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &[]);
    let (_, asha) = sign_up(&node, "asha").await;
    let (ravi_id, ravi) = sign_up(&node, "ravi").await;
    let room = group(&node, &asha).await;
    let (at, stream) = (format!("/api/v1/rooms/{room}"), format!("room:{room}"));
    for (put_out, by, body) in [("kick", &asha, json!({"user": ravi_id})), ("leave", &ravi, json!({}))] {
        done(&node, &format!("{at}/join"), &ravi, json!({})).await;
        let (mut live, _) = Client::follow_stream(&node.url, &ravi, "phone", &stream).await;
        let said = done(&node, &format!("{at}/messages"), &asha, json!({"body": "for all of us"})).await;
        live.until(|frame| frame["offset"] == said).await;

        let went = done(&node, &format!("{at}/{put_out}"), by, body).await;
        done(&node, &format!("{at}/messages"), &asha, json!({"body": "not for Ravi"})).await;
        let told = live.until(|frame| frame["type"] == "error").await;
        assert_eq!((told["stream"].as_str(), told["code"].as_str()), (Some(&*stream), Some("not_a_member")));
        // All that was sent before this answer has come by then.
        live.say(&json!({"type": "ping", "id": "end"})).await;
        let next = live.until(|frame| frame["type"] == "pong" || frame["type"] == "message").await;
        assert_eq!(next["type"], "pong", "nothing after {went}: {next}");

        // Nor may they follow it anew, from wherever.
        let again = json!({"type": "subscribe", "id": "again", "stream": stream, "last": 50});
        live.say(&again).await;
        let refused = live.until(|frame| frame["id"] == "again").await;
        assert_eq!((refused["type"].as_str(), refused["code"].as_str()), (Some("error"), Some("stream_unknown")));
    }
    node.stop();
}

#[tokio::test]
async fn who_reads_nothing_holds_up_nobody_and_costs_what_its_outbox_may_hold() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &[]);
    let (_, token) = sign_up(&node, "asha").await;
    let room = group(&node, &token).await;
    let stream = format!("room:{room}");
    // They say hello, and never read again.
    let mut deaf = Vec::new();
    for number in 0..DEAF {
        let (mut socket, _) = connect_async(format!("{}/ws", node.url.replace("http", "ws"))).await.unwrap();
        let device = format!("deaf-{number}");
        let hello =
            json!({"type": "hello", "token": token, "device": device, "subscribe": [{"stream": stream}]}).to_string();
        socket.send(Message::text(hello)).await.unwrap();
        deaf.push(socket);
    }
    let mut listeners = Vec::new();
    for number in DEAF..LISTENERS {
        listeners.push(Client::follow_stream(&node.url, &token, &format!("device-{number}"), &stream).await.0);
    }
    let before = node.resident_mib();
    let listening: Vec<_> = listeners
        .into_iter()
        .map(|mut listener| {
            let stream = stream.clone();
            tokio::spawn(async move {
                let mut heard = 0;
                while heard < MESSAGES {
                    let message = listener.message().await;
                    if message["event"] != "message:new" {
                        continue;
                    }
                    heard += 1;
                    assert_eq!(message["data"]["body"]["number"], heard, "each hears all, in order");
                    let upto = message["offset"].as_u64().unwrap();
                    if heard % 16 == 0 {
                        listener.say(&json!({"type": "ack", "stream": stream, "upto": upto})).await;
                    }
                }
            })
        })
        .collect();
    let text = "x".repeat(15 << 10);
    let path = format!("/api/v1/rooms/{room}/messages");
    for number in 1..=MESSAGES {
        done(&node, &path, &token, json!({"body": {"number": number, "text": text}})).await;
    }
    for listening in listening {
        tokio::time::timeout(Duration::from_mins(2), listening).await.expect("all is heard").unwrap();
    }
    let grown = node.resident_mib().saturating_sub(before);
    assert!(grown < GROWTH_MIB_MAX, "{grown} MiB more for {DEAF} who read nothing");
    drop(deaf);
    node.stop();
}
