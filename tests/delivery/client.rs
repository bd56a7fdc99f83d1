//! A WebSocket client that acknowledges only what it is told to.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that follows a stream.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects and follows its account; answers the `subscribed` as well.
    pub(crate) async fn follow(url: &str, token: &str, device: &str) -> (Self, Value) {
        Self::follow_stream(url, token, device, "account").await
    }

    /// Connects and follows a stream; answers the `subscribed` as well.
    pub(crate) async fn follow_stream(url: &str, token: &str, device: &str, stream: &str) -> (Self, Value) {
        let (socket, _) = connect_async(format!("{}/ws", url.replace("http", "ws"))).await.unwrap();
        let mut client = Self { socket };
        let hello = json!({"type": "hello", "token": token, "device": device, "subscribe": [{"stream": stream}]});
        client.say(&hello).await;
        let subscribed = client.until(|frame| frame["type"] == "subscribed").await;
        (client, subscribed)
    }

    pub(crate) async fn say(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn ack(&mut self, upto: u64) {
        self.say(&json!({"type": "ack", "stream": "account", "upto": upto})).await;
    }

    /// The first frame for which `wanted` holds.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            let Message::Text(text) = message.expect("the connection is open").unwrap() else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        self.until(|frame| frame["type"] == "message").await
    }

    /// The code that the server closes with, and the messages that came before it: each offset and attempt.
    pub(crate) async fn closed(mut self) -> (u16, Vec<(u64, u64)>) {
        let mut heard = Vec::new();
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("an end in time") {
                Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), heard),
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] == "message" {
                        heard.push((frame["offset"].as_u64().unwrap(), frame["attempt"].as_u64().unwrap_or(1)));
                    }
                }
                Some(Ok(_)) => {}
                other => panic!("no close code: {other:?}"),
            }
        }
    }
}
