//! Sessions against a small server that can be told to lose messages: the real one never does.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use uuid::Uuid;

use super::*;
use crate::who::Bearer;

/// One stream for all, and each device's place in it.
#[derive(Default)]
struct Served {
    head: u64,
    places: HashMap<String, u64>,
    /// This offset is never sent.
    loses: Option<u64>,
    /// Places are forgotten, as if nothing had been missed.
    forgets: bool,
}

type Shared = Arc<Mutex<Served>>;

async fn serve(served: Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(session(stream, Arc::clone(&served)));
        }
    });
    address
}

#[allow(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the signature is tungstenite's")]
fn agree(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", protocol::frame::SUBPROTOCOL.parse().unwrap());
    Ok(response)
}

fn message(stream: &str, offset: u64, at: u64) -> Value {
    // In the order in which servers usually write it.
    let text = format!(
        r#"{{"type":"message","stream":"{stream}","epoch":"e","offset":{offset},"id":"m{offset}","event":"transaction:new","class":"money","data":{{"at":{at}}}}}"#
    );
    Value::String(text)
}

async fn session(stream: TcpStream, served: Shared) {
    let mut socket = accept_hdr_async(stream, agree).await.unwrap();
    let (mut device, mut name) = (String::new(), String::new());
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let said: Value = serde_json::from_str(&text).unwrap();
        let mut answers = Vec::new();
        {
            let mut served = served.lock();
            let head = served.head;
            match said["type"].as_str().unwrap() {
                "hello" => {
                    device = said["device"].as_str().unwrap().to_owned();
                    name = said["subscribe"][0]["stream"].as_str().unwrap().to_owned();
                    assert!(said["subscribe"][0].get("after").is_none(), "a storm brings no place along");
                    let known = served.places.get(&device).copied().filter(|_| !served.forgets);
                    let from = known.unwrap_or(head);
                    served.places.entry(device.clone()).or_insert(from);
                    let nil = Uuid::nil();
                    answers.push(json!({"type":"welcome","session":nil,"user":nil,"heartbeatMs":1,"window":64,"resumed":known.is_some()}));
                    answers.push(json!({"type":"subscribed","stream":name,"epoch":"e","head":head,"from":from}));
                    answers.extend(
                        (from + 1..=head).filter(|at| served.loses != Some(*at)).map(|at| message(&name, at, 0)),
                    );
                }
                "ack" => _ = served.places.insert(device.clone(), said["upto"].as_u64().unwrap()),
                "call" => answers.push(json!({"type":"reply","id":said["id"],"result":{"offset":head}})),
                "publish" => {
                    assert_eq!(format!("room:{}", said["room"].as_str().unwrap()), name);
                    served.head += 1;
                    answers.push(json!({"type":"reply","id":said["id"],"result":{"offset":head + 1}}));
                    answers.push(message(&name, head + 1, said["body"]["at"].as_u64().unwrap()));
                }
                other => panic!("{other}"),
            }
        }
        for answer in answers {
            let text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }
}

fn job(server: SocketAddr, sessions: usize, stream: &str) -> Job {
    let bearer = Bearer { id: Uuid::nil(), token: "t".into() };
    Job {
        server,
        run: "run".into(),
        first: 0,
        bearers: vec![bearer; sessions],
        addresses: vec!["127.0.0.9".parse().unwrap()],
        streams: vec![stream.into()],
        devices: true,
        in_flight: 4,
    }
}

/// A storm over ten sessions during which three messages are made; answers what was counted.
async fn storm(loses: Option<u64>, forgets: bool) -> Delta {
    LocalSet::new()
        .run_until(async {
            let served = Shared::new(Mutex::new(Served { head: 5, loses, ..Served::default() }));
            let server = serve(Arc::clone(&served)).await;
            let crowd = Rc::new(Crowd::of(job(server, 10, "account")));
            crowd.step(Step::Connect { rate: None }).await;
            {
                let mut served = served.lock();
                (served.head, served.forgets) = (8, forgets);
            }
            crowd.step(Step::Resume { server, spread_ms: 5, patience_ms: 1_000 }).await;
            crowd.step(Step::Settle { patience_ms: 300, heads: BTreeMap::new() }).await;
            crowd.step(Step::Close).await;
            crowd.take()
        })
        .await
}

#[tokio::test]
async fn everyone_comes_back_and_hears_everything() {
    let delta = storm(None, false).await;
    let counts = ["in", "resumed", "caught up", "settled", "messages"].map(|name| delta.count(name));
    assert_eq!(counts, [10, 10, 10, 10, 30], "{:?} {:?}", delta.counts, delta.faults);
    assert_eq!(delta.count("lost") + delta.count("dropped") + delta.count("unsettled"), 0, "{:?}", delta.faults);
    assert_eq!(delta.timings["caught up"].count(), 10);
    assert_eq!(delta.timings["welcome"].count(), 10);
}

#[tokio::test]
async fn what_is_lost_is_seen() {
    let delta = storm(Some(7), false).await;
    assert_eq!(delta.count("lost"), 10, "a hole: {:?}", delta.faults);
    let delta = storm(Some(8), false).await;
    assert_eq!(delta.count("unsettled"), 10, "the last one: {:?}", delta.faults);
    let delta = storm(None, true).await;
    assert_eq!(delta.count("lost"), 10, "a place that was forgotten: {:?}", delta.faults);
}

#[tokio::test]
async fn publications_are_answered_and_heard() {
    LocalSet::new()
        .run_until(async {
            let server = serve(Shared::default()).await;
            let crowd = Rc::new(Crowd::of(job(server, 1, "room:a")));
            crowd.step(Step::Connect { rate: Some(100.0) }).await;
            crowd.step(Step::Publish { rate: 100.0, millis: 100, bytes: 10, publishers: 1 }).await;
            let heads = crowd.heads();
            assert_eq!(heads, BTreeMap::from([("room:a".to_owned(), 10)]));
            crowd.step(Step::Settle { patience_ms: 300, heads }).await;
            let delta = crowd.take();
            let counts = ["published", "durable", "messages", "settled"].map(|name| delta.count(name));
            assert_eq!(counts, [10, 10, 10, 1], "{:?}", delta.faults);
            assert_eq!((delta.timings["publish"].count(), delta.timings["delivery"].count()), (10, 10));
        })
        .await;
}

#[tokio::test]
async fn who_reads_nothing_any_more_is_not_waited_for_and_the_others_are_timed_apart() {
    LocalSet::new()
        .run_until(async {
            let server = serve(Shared::default()).await;
            let crowd = Rc::new(Crowd::of(job(server, 3, "room:a")));
            let publish = Step::Publish { rate: 100.0, millis: 100, bytes: 10, publishers: 1 };
            crowd.step(Step::Connect { rate: Some(100.0) }).await;
            crowd.step(publish.clone()).await;
            crowd.step(Step::Stall { from: 1 }).await;
            crowd.step(publish).await;
            crowd.step(Step::Settle { patience_ms: 300, heads: crowd.heads() }).await;
            let delta = crowd.take();
            let counts = ["durable", "settled", "unsettled", "dropped"].map(|name| delta.count(name));
            assert_eq!(counts, [20, 1, 0, 0], "{:?}", delta.faults);
            assert_eq!(delta.timings[DELIVERY].count(), 10);
            assert_eq!(delta.timings[DELIVERY_STALLED].count(), 10);
        })
        .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    LocalSet::new()
        .run_until(async {
            let crowd = Rc::new(Crowd::of(job("127.0.0.1:1".parse().unwrap(), 3, "account")));
            crowd.step(Step::Connect { rate: None }).await;
            let delta = crowd.take();
            assert_eq!((delta.count("in"), delta.count("refused")), (0, 3));
            assert!(delta.faults[0].contains("connection refused"), "{:?}", delta.faults);
        })
        .await;
}
