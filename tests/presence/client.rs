//! A WebSocket client that keeps what it hears until it is asked for it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// One connection.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What was heard and not asked for.
    heard: VecDeque<Value>,
    /// The id of the connection.
    pub session: String,
}

impl Client {
    /// Connects and says hello; every subscription must be granted.
    pub async fn connect(url: &str, token: &str, device: Option<&str>, streams: &[&str]) -> Self {
        let mut client = Self::hello(url, token, device, streams).await;
        let welcome = client.until(|frame| frame["type"] == "welcome").await;
        welcome["session"].as_str().unwrap().clone_into(&mut client.session);
        for stream in streams {
            client.until(|frame| frame["type"] == "subscribed" && frame["stream"] == *stream).await;
        }
        client
    }

    /// Connects and says hello, and waits for nothing.
    pub async fn hello(url: &str, token: &str, device: Option<&str>, streams: &[&str]) -> Self {
        let mut client = Self::guest(url).await;
        let subscribe: Vec<_> = streams.iter().map(|stream| json!({"stream": stream})).collect();
        let mut hello = json!({"type": "hello", "token": token, "subscribe": subscribe});
        if let Some(device) = device {
            hello["device"] = device.into();
        }
        client.say(&hello).await;
        client
    }

    /// Connects, and says nothing yet.
    pub async fn guest(url: &str) -> Self {
        let (socket, _) = connect_async(format!("{}/ws", url.replacen("http", "ws", 1))).await.unwrap();
        Self { socket, heard: VecDeque::new(), session: String::new() }
    }

    pub async fn say(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The first frame for which `wanted` holds; those before it that it does not hold for stay for later.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.heard.iter().position(&wanted) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            let message = message.unwrap_or_else(|_| panic!("not heard in time, but {:?}", self.heard));
            let Message::Text(text) = message.expect("the connection is open").unwrap() else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if wanted(&frame) {
                return frame;
            }
            self.heard.push_back(frame);
        }
    }

    /// The next message of this event.
    pub async fn event(&mut self, event: &str) -> Value {
        self.until(|frame| frame["type"] == "message" && frame["event"] == event).await
    }

    /// How many frames were heard so far for which `wanted` holds. A ping is answered behind all of them.
    pub async fn count(&mut self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.say(&json!({"type": "ping", "id": "count"})).await;
        self.until(|frame| frame["type"] == "pong" && frame["id"] == "count").await;
        self.heard.iter().filter(|frame| wanted(frame)).count()
    }

    /// The code that the server closes with, and the frames that were heard and not asked for.
    pub async fn closed(mut self) -> (u16, Vec<Value>) {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("an end in time") {
                Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), self.heard.into()),
                Some(Ok(Message::Text(text))) => self.heard.push_back(serde_json::from_str(&text).unwrap()),
                Some(Ok(_)) => {}
                other => panic!("no close code: {other:?}"),
            }
        }
    }

    /// Goes without a word.
    pub fn leave(self) {
        drop(self);
    }
}
